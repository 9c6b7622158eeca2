package proc

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/retried"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// pidfdOpen is a variable so that a test can be a kernel without it.
var pidfdOpen = unix.PidfdOpen

// handle is a pidfd, or where the kernel has none, a number and a start time.
type handle struct {
	pid   int
	start uint64 // only without a pidfd
	err   error  // OpenFD could not open: the answer to everything

	file *os.File // the pidfd; nil without one
	conn syscall.RawConn

	watch  sync.Once
	done   chan struct{} // closed when the one watcher has ended
	result error         // what it ended with; read after done

	dead   atomic.Bool // gone was seen; what is gone stays gone
	closed atomic.Bool
}

func open(pid int) (*handle, error) {
	h, err := openAny(pid)
	if err != nil {
		return nil, err
	}
	if h.gone() {
		h.close()
		return nil, gone(pid)
	}
	return h, nil
}

// openAny opens zombies, too.
func openAny(pid int) (*handle, error) {
	fd, err := openPidfd(pid)
	switch {
	case err == nil:
		return fromPidfd(pid, fd)
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // EPERM is a seccomp filter's way to say ENOSYS
		start, err := startTime(pid)
		if err != nil {
			return nil, err
		}
		return &handle{pid: pid, start: start}, nil
	}
	return nil, err
}

// openPidfd returns a non-blocking pidfd: only those does the os package give
// to the runtime's poller. Every pidfd is close-on-exec.
func openPidfd(pid int) (int, error) {
	fd, err := pidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err == unix.EINVAL {
		// The flag came with Linux 5.10. EINVAL is also the answer to the
		// number of a thread that leads no process; then it stays EINVAL.
		if fd, err = pidfdOpen(pid, 0); err == nil {
			err = unix.SetNonblock(fd, true)
		}
	}
	switch err {
	case nil:
		return fd, nil
	case unix.ESRCH, unix.EINVAL, unix.ENOENT: // ENOENT: a mere thread, since Linux 6.15
		return -1, gone(pid)
	}
	return -1, errorf("open pidfd of process %d: %w", pid, err)
}

func fromPidfd(pid, fd int) (*handle, error) {
	h := &handle{pid: pid, file: os.NewFile(uintptr(fd), "pidfd"), done: make(chan struct{})}
	if h.file == nil {
		return nil, errorf("open pidfd of process %d: %w", pid, os.ErrInvalid)
	}
	conn, err := h.file.SyscallConn()
	if err != nil {
		return nil, errorf("open pidfd of process %d: %w", pid, err)
	}
	h.conn = conn
	return h, nil
}

func openFD(pid, fd int) *handle {
	var h *handle
	var err error
	if fd < 0 {
		h, err = openAny(pid)
	} else if err = makePollable(pid, fd); err == nil {
		h, err = fromPidfd(pid, fd)
	} else {
		unix.Close(fd)
	}
	if err != nil {
		h = &handle{pid: pid, err: err}
		h.dead.Store(errors.Is(err, ErrGone))
	}
	return h
}

// makePollable makes a pidfd from elsewhere non-blocking. os.Process may hold a
// duplicate of it, and O_NONBLOCK is shared between duplicates: waitid(2) in
// os.Process.Wait would return EAGAIN. So a pidfd of our own takes its place, in
// one step: ReapStrays must find one at any time.
func makePollable(pid, fd int) error {
	if own, err := openPidfd(pid); err == nil {
		same := sameProcess(own, fd)
		if same {
			err = retried.Dup3(own, fd, unix.O_CLOEXEC)
		}
		unix.Close(own)
		if same {
			return err
		}
	}
	// Of a process that was reaped, or of another PID namespace in which pid
	// means another: os.Process cannot be waiting for it.
	unix.CloseOnExec(fd)
	return unix.SetNonblock(fd, true)
}

// sameProcess reports whether own, opened by number, and fd name one process.
func sameProcess(own, fd int) bool {
	// While the process is not reaped its number cannot have been given away,
	// so own got that one. A reaped process has no number.
	if unix.PidfdSendSignal(fd, 0, nil, 0) == unix.ESRCH {
		return false
	}
	// Should the caller's number be wrong: the inode is the process's own
	// since Linux 6.9. Before, all pidfds have one and the number is trusted.
	a, err := fileid.OfFD(own)
	b, other := fileid.OfFD(fd)
	return err == nil && other == nil && a == b
}

// exited asks a pidfd, which is readable once its process is a zombie (and not
// while only its first thread is).
func exited(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := retried.Poll(p, 0)
	return n > 0 && p[0].Revents&unix.POLLIN != 0
}

func (h *handle) gone() bool {
	switch {
	case h.dead.Load():
		return true
	case h.err != nil:
		return false
	case h.file != nil:
		is := false
		h.conn.Control(func(fd uintptr) { is = exited(fd) })
		if is {
			h.dead.Store(true)
		}
		return is
	}
	// A /proc that has become unreadable says nothing about the process.
	st, err := readStat(h.pid)
	is := err == nil && (st.start != h.start || st.zombie()) || errors.Is(err, ErrGone)
	if is {
		h.dead.Store(true)
	}
	return is
}

func (h *handle) signal(sig syscall.Signal) error {
	// The kernel takes signals for zombies and drops them.
	if h.gone() {
		return ErrGone
	}
	if h.err != nil {
		return h.err
	}
	if h.closed.Load() {
		return os.ErrClosed
	}
	var err error
	if h.file == nil {
		err = unix.Kill(h.pid, sig)
	} else if h.conn.Control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), sig, nil, 0) }) != nil {
		return os.ErrClosed
	}
	if err == unix.ESRCH {
		h.dead.Store(true)
		return ErrGone
	}
	return err
}

// pidfdInfo is a variable so that a test can be a kernel without it.
var pidfdInfo = unix.IoctlPidfdInfo

// ids asks the pidfd itself, which works without /proc, since Linux 6.13.
func (h *handle) ids() (IDs, error) {
	if h.gone() {
		return IDs{}, ErrGone
	}
	if h.err != nil {
		return IDs{}, h.err
	}
	if h.closed.Load() {
		return IDs{}, os.ErrClosed
	}
	if h.file != nil {
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_CREDS}
		err := error(os.ErrClosed)
		h.conn.Control(func(fd uintptr) { err = pidfdInfo(int(fd), &info) })
		if err == nil && info.Mask&unix.PIDFD_INFO_CREDS != 0 {
			return IDs{
				UID: [3]int{int(info.Ruid), int(info.Euid), int(info.Suid)},
				GID: [3]int{int(info.Rgid), int(info.Egid), int(info.Sgid)},
			}, nil
		}
	}
	b, err := readFile(procPath(h.pid, "status"))
	if err != nil {
		return IDs{}, goneOr(h.pid, err)
	}
	s, err := parseStatus(b)
	if err != nil {
		return IDs{}, err
	}
	return idsOf(s.uids, s.gids), nil
}

func (h *handle) wait(ctx context.Context) error {
	if h.gone() {
		return nil
	}
	if h.err != nil {
		return h.err
	}
	if h.closed.Load() {
		return os.ErrClosed
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if h.file == nil {
		return h.waitWeak(ctx)
	}
	// One goroutine asks the poller for all waiters: reads of one descriptor
	// queue behind each other, out of reach of the later ones' contexts. It
	// costs no thread and lives until the process is gone or the handle closed.
	h.watch.Do(func() {
		go func() {
			defer close(h.done)
			h.result = h.conn.Read(exited)
		}()
	})
	select {
	case <-h.done:
		if h.result == nil {
			h.dead.Store(true)
			return nil
		}
		if h.closed.Load() {
			return os.ErrClosed
		}
		return h.result
	case <-ctx.Done():
		if h.gone() {
			return nil
		}
		return ended(ctx)
	}
}

func (h *handle) waitWeak(ctx context.Context) error {
	t := time.NewTicker(timing.ProcessPolls)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		switch {
		case h.gone():
			return nil
		case h.closed.Load():
			return os.ErrClosed
		case ctx.Err() != nil:
			return ended(ctx)
		}
	}
}

func (h *handle) fd() int {
	n := -1
	if h.conn != nil {
		h.conn.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

func (h *handle) close() error {
	if h.closed.Swap(true) {
		return os.ErrClosed
	}
	if h.file != nil {
		return h.file.Close()
	}
	return nil
}
