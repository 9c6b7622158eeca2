//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/retried"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// handle is a kqueue that hears when the process exits. Better than a start
// time: it needs no more than the number, and two processes cannot share it.
type handle struct {
	pid int
	err error // OpenFD could not open: the answer to everything

	life context.Context // until close
	end  context.CancelFunc

	mu   sync.Mutex
	kq   int  // -1 when the system does not let this caller watch
	dead bool // gone was seen, which uses the event up
}

func newHandle(pid int) *handle {
	h := &handle{pid: pid, kq: -1}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

func open(pid int) (*handle, error) {
	h := newHandle(pid)
	kq, err := watch(pid)
	switch {
	case err == nil:
		h.kq = kq
	// OpenBSD and NetBSD: somebody else's process. Such a process can usually
	// not be signalled either.
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
	default:
		return nil, err
	}
	if h.gone() {
		h.close()
		return nil, gone(pid)
	}
	return h, nil
}

func openFD(pid, _ int) *handle {
	h, err := open(pid)
	if err != nil {
		h = newHandle(pid)
		h.err, h.dead = err, errors.Is(err, ErrGone)
	}
	return h
}

// watch returns a kqueue that will have one event, the exit of the process. It
// is not inherited over fork(2), and close-on-exec besides.
func watch(pid int) (int, error) {
	kq, err := newKqueue()
	if err != nil {
		return -1, err
	}
	var ev [1]unix.Kevent_t
	unix.SetKevent(&ev[0], pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	ev[0].Fflags = unix.NOTE_EXIT
	if _, err = retried.Kevent(kq, ev[:], nil, nil); err == nil {
		return kq, nil
	}
	unix.Close(kq)
	if err == unix.ESRCH {
		return -1, gone(pid)
	}
	return -1, errorf("watch process %d: %w", pid, err)
}

func newKqueue() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	kq, err := unix.Kqueue()
	if err != nil {
		return -1, errorf("make kqueue: %w", err)
	}
	unix.CloseOnExec(kq)
	return kq, nil
}

// heard reports whether a kqueue has an event, and uses it up.
func heard(kq int) bool {
	var ev [1]unix.Kevent_t
	n, _ := retried.Kevent(kq, nil, ev[:], &unix.Timespec{})
	return n > 0
}

func (h *handle) gone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.goneLocked()
}

func (h *handle) goneLocked() bool {
	if h.dead || h.isClosed() || h.err != nil {
		return h.dead
	}
	if h.kq >= 0 {
		h.dead = heard(h.kq)
	} else {
		h.dead = unix.Kill(h.pid, 0) == unix.ESRCH
	}
	return h.dead
}

func (h *handle) signal(sig syscall.Signal) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.goneLocked():
		return ErrGone
	case h.err != nil:
		return h.err
	case h.isClosed():
		return os.ErrClosed
	}
	err := unix.Kill(h.pid, sig)
	if err == unix.ESRCH {
		h.dead = true
		return ErrGone
	}
	return err
}

func (h *handle) wait(ctx context.Context) error {
	if h.gone() {
		return nil
	}
	if h.err != nil {
		return h.err
	}
	kq, err := watch(h.pid)
	if err == nil {
		defer unix.Close(kq)
	}
	switch {
	// Not gone after that means that both kqueues watch the same process.
	case h.gone():
		return nil
	case h.isClosed():
		return os.ErrClosed
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return h.waitWeak(ctx)
	case err != nil:
		return err
	}

	// The end of ctx, or of the handle, is the end of a pipe.
	r, w, err := os.Pipe()
	if err != nil {
		return errorf("make pipe: %w", err)
	}
	defer r.Close()
	defer w.Close()
	defer context.AfterFunc(ctx, func() { w.Close() })()
	defer context.AfterFunc(h.life, func() { w.Close() })()

	var ev [1]unix.Kevent_t
	unix.SetKevent(&ev[0], int(r.Fd()), unix.EVFILT_READ, unix.EV_ADD)
	if _, err := retried.Kevent(kq, ev[:], nil, nil); err != nil {
		return errorf("watch pipe: %w", err)
	}
	_, err = retried.Kevent(kq, nil, ev[:], nil)
	switch {
	case err != nil:
		return errorf("read kqueue: %w", err)
	case int(ev[0].Filter) == unix.EVFILT_PROC || h.gone():
		return nil
	case h.isClosed():
		return os.ErrClosed
	}
	return ended(ctx)
}

func (h *handle) waitWeak(ctx context.Context) error {
	t := time.NewTicker(timing.ProcessPolls)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
		case <-h.life.Done():
		}
		switch {
		case h.gone():
			return nil
		case h.isClosed():
			return os.ErrClosed
		case ctx.Err() != nil:
			return ended(ctx)
		}
	}
}

func (h *handle) isClosed() bool { return h.life.Err() != nil }

func (h *handle) fd() int { return -1 }

func (h *handle) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isClosed() {
		return os.ErrClosed
	}
	h.end()
	if h.kq >= 0 {
		return unix.Close(h.kq)
	}
	return nil
}

func (h *handle) ids() (IDs, error) {
	if h.gone() {
		return IDs{}, ErrGone
	}
	if h.err != nil {
		return IDs{}, h.err
	}
	k, err := info(h.pid)
	if err != nil {
		return IDs{}, err
	}
	return idsOf(k.uids, k.gids), nil
}
