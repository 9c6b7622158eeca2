package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// each runs a test with pidfds, and as on a kernel without.
func each(t *testing.T, f func(t *testing.T)) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Fatalf("no /proc: %v", err)
	}
	t.Run("pidfd", f)
	for _, errno := range []error{unix.ENOSYS, unix.EPERM} {
		t.Run(unix.ErrnoName(errno.(syscall.Errno)), func(t *testing.T) {
			pidfdOpen = func(int, int) (int, error) { return -1, errno }
			// Before the clean-ups of f: those still run without pidfds.
			t.Cleanup(func() { pidfdOpen = unix.PidfdOpen })
			f(t)
		})
	}
}

func TestPidfdFlags(t *testing.T) {
	check := func(t *testing.T) {
		p := run(t, "wait")
		h := mustOpen(t, p.pid())
		h.sys.conn.Control(func(fd uintptr) {
			if f, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || f&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor flags = %#x, %v, want close-on-exec", f, err)
			}
			if f, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || f&unix.O_NONBLOCK == 0 {
				t.Errorf("status flags = %#x, %v, want non-blocking", f, err)
			}
		})
		p.zombie()
		if err := h.Wait(limit(t)); err != nil {
			t.Error(err)
		}
	}
	t.Run("5.10", check)
	t.Run("5.3", func(t *testing.T) {
		pidfdOpen = func(pid, flags int) (int, error) {
			if flags != 0 {
				return -1, unix.EINVAL
			}
			return unix.PidfdOpen(pid, 0)
		}
		t.Cleanup(func() { pidfdOpen = unix.PidfdOpen })
		check(t)
	})
}

// A thread's number names no process.
func TestOpenThread(t *testing.T) {
	runtime.LockOSThread() // the first thread runs TestMain, which is locked to none
	defer runtime.UnlockOSThread()
	tid := make(chan int)
	end := make(chan struct{})
	defer close(end)
	go func() {
		runtime.LockOSThread() // cannot be the thread the test has
		tid <- unix.Gettid()
		<-end
	}()
	id := <-tid
	if id == os.Getpid() {
		id = unix.Gettid()
	}
	if h, err := Open(id); !errors.Is(err, ErrGone) {
		t.Errorf("Open of thread %d = %v, %v, want ErrGone", id, h, err)
	}
	if Alive(id) {
		t.Errorf("Alive of thread %d = true", id)
	}
}

// os.Process goes on waiting by its own duplicate of the descriptor.
func TestOpenFD(t *testing.T) {
	p := command(t, "wait")
	fd := -1
	p.SysProcAttr = &syscall.SysProcAttr{PidFD: &fd}
	p.start()
	h := OpenFD(p.pid(), fd)
	defer h.Close()
	h.sys.conn.Control(func(now uintptr) {
		if int(now) != fd {
			t.Errorf("descriptor %d was replaced by %d", fd, now)
		}
		if f, err := unix.FcntlInt(now, unix.F_GETFD, 0); err != nil || f&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags = %#x, %v, want close-on-exec", f, err)
		}
	})
	if h.Gone() {
		t.Error("Gone() = true")
	}
	waited := make(chan error, 1)
	go func() { waited <- h.Wait(limit(t)) }()
	var state *os.ProcessState
	reaped := make(chan error, 1)
	go func() {
		var err error
		state, err = p.Process.Wait()
		reaped <- err
	}()
	p.in.Close()
	if err := <-waited; err != nil {
		t.Errorf("Wait = %v", err)
	}
	if err := <-reaped; err != nil || state.ExitCode() != 7 {
		t.Errorf("os.Process.Wait = %v, %v, want exit code 7", state, err)
	}
	if err := h.Signal(syscall.SIGTERM); !errors.Is(err, ErrGone) {
		t.Errorf("Signal = %v, want ErrGone", err)
	}
}

// The descriptor says who it is, whatever the number says.
func TestOpenFDOfAnother(t *testing.T) {
	p := run(t, "wait")
	other := run(t, "wait")
	fd, err := unix.PidfdOpen(p.pid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	h := OpenFD(other.pid(), fd)
	defer h.Close()
	p.zombie()
	if !h.Gone() {
		t.Error("the handle is of the number, not of the descriptor")
	}
	p.Wait()
	for _, pid := range []int{p.pid(), os.Getpid()} { // a reaped process and its number, given to another
		fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		h := OpenFD(pid, fd)
		if err := h.Signal(0); !h.Gone() || !errors.Is(err, ErrGone) || h.Wait(limit(t)) != nil {
			t.Errorf("reaped process: Gone %v, Signal %v", h.Gone(), err)
		}
		h.Close()
	}
}

func TestOpenFDOfNothing(t *testing.T) {
	h := OpenFD(os.Getpid(), 1<<20)
	defer h.Close()
	if h.Gone() || h.Signal(0) == nil || h.Wait(limit(t)) == nil {
		t.Error("a descriptor that is not open makes a handle")
	}
}

// A number that was given to another process: the start time tells.
func TestReusedNumber(t *testing.T) {
	p := run(t, "wait")
	pidfdOpen = func(int, int) (int, error) { return -1, unix.ENOSYS }
	defer func() { pidfdOpen = unix.PidfdOpen }()
	h := mustOpen(t, p.pid())
	h.sys.start-- // as if it had been another
	if err := h.Signal(syscall.SIGKILL); !errors.Is(err, ErrGone) {
		t.Errorf("Signal = %v, want ErrGone", err)
	}
	if !Alive(p.pid()) {
		t.Error("the innocent was killed")
	}
}

func init() {
	// The first thread ends, the process goes on.
	helpers["threads"] = func([]string) {
		ended := make(chan struct{})
		go func() {
			<-ended
			for { // it is Z when the call below has run its course
				st, err := readStat(os.Getpid())
				if err == nil && st.state == 'Z' {
					break
				}
				runtime.Gosched()
			}
			fmt.Println("ready")
			io.Copy(io.Discard, os.Stdin)
			os.Exit(7)
		}()
		if unix.Gettid() != os.Getpid() {
			fmt.Println("main is not on the first thread")
			return
		}
		close(ended)
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
	if os.Getenv(helperVar) == "threads" {
		runtime.LockOSThread() // main stays on the first thread
	}
}

func TestFirstThreadEnds(t *testing.T) {
	each(t, func(t *testing.T) {
		p := command(t, "threads")
		p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if s := p.start(); s != "ready" {
			t.Fatal(s)
		}
		h := mustOpen(t, p.pid())
		if h.Gone() || !Alive(p.pid()) {
			t.Errorf("Gone %v, Alive %v, want a living process", h.Gone(), Alive(p.pid()))
		}
		if g, err := Group(p.pid()); err != nil || len(g) != 1 || g[0] != p.pid() {
			t.Errorf("Group = %v, %v, want %d", g, err, p.pid())
		}
		if _, err := Snapshot(p.pid(), []string{"status"}); err != nil {
			t.Errorf("Snapshot: %v", err)
		}
		p.in.Close()
		if err := h.Wait(limit(t)); err != nil {
			t.Error(err)
		}
	})
}

// Waiting must cost neither threads nor, afterwards, descriptors.
func TestWaitIsCheap(t *testing.T) {
	self := func(field string) int64 {
		m, err := Snapshot(os.Getpid(), []string{field})
		if err != nil {
			t.Fatal(err)
		}
		return m[field].(int64)
	}
	p := run(t, "wait")
	fds, threads := self("num_fds"), self("num_threads")
	ctx, cancel := context.WithCancel(context.Background())
	var started, ended sync.WaitGroup
	for range 50 {
		h, err := Open(p.pid())
		if err != nil {
			t.Fatal(err)
		}
		started.Add(1)
		ended.Go(func() {
			defer h.Close()
			started.Done()
			h.Wait(ctx)
		})
	}
	started.Wait()
	runtime.Gosched()
	if n := self("num_threads"); n > threads+20 {
		t.Errorf("50 waiters: %d threads, %d before", n, threads)
	}
	cancel()
	ended.Wait()
	if n := self("num_fds"); n > fds { // fewer: the garbage collector has closed an earlier test's
		t.Errorf("%d descriptors, %d before", n, fds)
	}
}
