//go:build unix

package proc

import (
	"context"
	"errors"
	"math"
	"os"
	"sync"
	"syscall"
	"testing"
)

func TestOpenRefuses(t *testing.T) {
	for _, pid := range []int{0, -1, -os.Getpid(), math.MinInt} {
		if h, err := Open(pid); err == nil || errors.Is(err, ErrGone) {
			t.Errorf("Open(%d) = %v, %v, want an error that is not ErrGone", pid, h, err)
		}
		if Alive(pid) {
			t.Errorf("Alive(%d) = true", pid)
		}
	}
	// The kernel would look at the low half only.
	if pid := uint64(os.Getpid()) + 1<<32; pid <= math.MaxInt {
		if _, err := Open(int(pid)); !errors.Is(err, ErrGone) {
			t.Errorf("Open(%d) = %v, want ErrGone", pid, err)
		}
		if Alive(int(pid)) {
			t.Errorf("Alive(%d) = true", pid)
		}
	}
}

func TestZombieIsGone(t *testing.T) {
	each(t, func(t *testing.T) {
		p := run(t, "wait")
		h := mustOpen(t, p.pid())
		if h.PID() != p.pid() {
			t.Errorf("PID() = %d, want %d", h.PID(), p.pid())
		}
		if h.Gone() || !Alive(p.pid()) {
			t.Errorf("living process: Gone %v, Alive %v", h.Gone(), Alive(p.pid()))
		}
		if err := h.Signal(0); err != nil {
			t.Errorf("Signal(0) = %v", err)
		}
		unasked := mustOpen(t, p.pid()) // hears of it only after the reaping
		p.zombie()

		check := func(when string) {
			t.Helper()
			if !h.Gone() {
				t.Errorf("%s: Gone() = false", when)
			}
			if err := h.Signal(syscall.SIGTERM); !errors.Is(err, ErrGone) {
				t.Errorf("%s: Signal = %v, want ErrGone", when, err)
			}
			if err := h.Wait(limit(t)); err != nil {
				t.Errorf("%s: Wait = %v", when, err)
			}
			if Alive(p.pid()) {
				t.Errorf("%s: Alive = true", when)
			}
			if h, err := Open(p.pid()); !errors.Is(err, ErrGone) {
				t.Errorf("%s: Open = %v, %v, want ErrGone", when, h, err)
			}
		}
		check("zombie")
		p.Wait()
		check("reaped")
		if err := unasked.Signal(syscall.SIGTERM); !errors.Is(err, ErrGone) {
			t.Errorf("reaped: first Signal = %v, want ErrGone", err)
		}
	})
}

func TestWait(t *testing.T) {
	each(t, func(t *testing.T) {
		p := run(t, "wait")
		h := mustOpen(t, p.pid())

		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(why)
		if err := h.Wait(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("Wait with an ended context = %v, want Canceled and its cause", err)
		}

		// One waiter's context ends, the others wait on.
		ctx, cancel = context.WithCancelCause(context.Background())
		impatient := make(chan error, 1)
		go func() { impatient <- h.Wait(ctx) }()
		const n = 10
		var wg sync.WaitGroup
		patient := make(chan error, n)
		for range n {
			wg.Go(func() { patient <- h.Wait(limit(t)) })
		}
		cancel(why)
		if err := <-impatient; !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("Wait = %v, want Canceled and its cause", err)
		}
		if err := h.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		for range n {
			if err := <-patient; err != nil {
				t.Errorf("Wait = %v", err)
			}
		}
		if !h.Gone() {
			t.Error("Gone() = false after Wait")
		}
		if err := h.Wait(ctx); err != nil {
			t.Errorf("Wait for a gone process with an ended context = %v, want nil", err)
		}
	})
}

func TestCloseEndsWait(t *testing.T) {
	each(t, func(t *testing.T) {
		p := run(t, "wait")
		h := mustOpen(t, p.pid())
		waiting := make(chan error, 1)
		go func() { waiting <- h.Wait(limit(t)) }()
		if err := h.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		if err := <-waiting; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Wait = %v, want os.ErrClosed", err)
		}
		if err := h.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Signal = %v, want os.ErrClosed", err)
		}
		if err := h.Wait(limit(t)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Wait = %v, want os.ErrClosed", err)
		}
		if err := h.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("second Close = %v, want os.ErrClosed", err)
		}
		if h.Gone() || !Alive(p.pid()) {
			t.Error("the process did not survive Close")
		}
	})
}

func TestOpenFDWithoutPidfd(t *testing.T) {
	each(t, func(t *testing.T) {
		p := run(t, "wait")
		h := OpenFD(p.pid(), -1)
		defer h.Close()
		if h.Gone() || h.Signal(0) != nil {
			t.Errorf("living process: Gone %v, Signal %v", h.Gone(), h.Signal(0))
		}
		p.zombie()
		p.Wait()
		dead := OpenFD(p.pid(), -1)
		defer dead.Close()
		for _, h := range []*Handle{h, dead} {
			if !h.Gone() || h.Wait(limit(t)) != nil || !errors.Is(h.Signal(0), ErrGone) {
				t.Errorf("gone process: Gone %v, Wait %v, Signal %v", h.Gone(), h.Wait(limit(t)), h.Signal(0))
			}
		}
	})
}

func TestSignalPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may signal everybody; run the tests as an ordinary user, too")
	}
	h, err := Open(1)
	if err != nil {
		t.Skipf("process 1 cannot be opened: %v", err)
	}
	defer h.Close()
	if err := h.Signal(0); !errors.Is(err, syscall.EPERM) || errors.Is(err, ErrGone) {
		t.Errorf("Signal = %v, want EPERM", err)
	}
	if h.Gone() || !Alive(1) {
		t.Error("process 1 is gone")
	}
}
