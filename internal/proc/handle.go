package proc

import (
	"context"
	"syscall"
)

// Handle names one process, not a number that may be given to another. The
// package comment says how well each system keeps that promise.
//
// All methods may be called at the same time from several goroutines.
type Handle struct {
	pid int
	sys *handle
}

// Open returns a handle of a living process. It is ErrGone when there is none,
// also when there is a zombie. Close it after use.
func Open(pid int) (*Handle, error) {
	if err := checkPID(pid); err != nil {
		return nil, err
	}
	sys, err := open(pid)
	if err != nil {
		return nil, err
	}
	return &Handle{pid, sys}, nil
}

// OpenFD returns a handle of the process that a pidfd names, such as the one
// that starting a process with syscall.SysProcAttr.PidFD yields, and takes the
// descriptor over; pid is its number. Unlike Open it also takes a process that
// has ended. With a negative pidfd, and on systems other than Linux, it opens
// by number; if that fails, the handle's methods say why.
func OpenFD(pid, pidfd int) *Handle {
	return &Handle{pid, openFD(pid, pidfd)}
}

// FD is the pidfd, for another process to inherit, or -1 where there is none. It
// stays the handle's.
func (h *Handle) FD() int { return h.sys.fd() }

// PID returns the number the process has, or had.
func (h *Handle) PID() int { return h.pid }

// Signal sends a signal to the process. It is ErrGone when the process is
// gone, and an error that wraps the system's (syscall.EPERM, say) when the
// caller may not.
func (h *Handle) Signal(sig syscall.Signal) error {
	if err := h.sys.signal(sig); err != nil {
		return errorf("send %s to process %d: %w", signalText(sig), h.pid, err)
	}
	return nil
}

// IDs are the users and groups of a process: real, effective, saved.
type IDs struct{ UID, GID [3]int }

// Only reports whether the process is that user and nobody else. One that executes a
// set-user-ID program, or has given its rights away for a while, has several users.
func (i IDs) Only(uid int) bool { return i.UID == [3]int{uid, uid, uid} }

// IDs returns whose the process is. It is of the very process that the handle names, at
// a moment of the call; ErrGone when that is gone. An error that is not ErrGone says
// that it cannot be told: a /proc that is not there, or hides the process.
func (h *Handle) IDs() (IDs, error) {
	ids, err := h.sys.ids()
	if err == nil && h.Gone() { // what was read can be of a later process of its number
		err = ErrGone
	}
	if err != nil {
		return IDs{}, errorf("read users of process %d: %w", h.pid, err)
	}
	return ids, nil
}

// Gone reports whether the process is gone. It does not wait. On a closed
// handle it reports only what was known before.
func (h *Handle) Gone() bool { return h.sys.gone() }

// Wait returns nil the moment the process is gone. When ctx ends first, the
// error is ctx.Err() and context.Cause(ctx) in one; when the handle is closed
// first, os.ErrClosed. The context bounds the waiting and nothing else.
func (h *Handle) Wait(ctx context.Context) error {
	if err := h.sys.wait(ctx); err != nil {
		return errorf("wait for process %d: %w", h.pid, err)
	}
	return nil
}

// Close lets go of the process, which does not notice.
func (h *Handle) Close() error { return h.sys.close() }
