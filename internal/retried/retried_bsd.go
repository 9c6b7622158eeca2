//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package retried

import "golang.org/x/sys/unix"

// Kevent waits for ever if the timeout is nil, and else not at all: what is left of a
// timeout is not known.
func Kevent(kq int, changes, events []unix.Kevent_t, timeout *unix.Timespec) (n int, err error) {
	for {
		if n, err = unix.Kevent(kq, changes, events, timeout); err != unix.EINTR {
			return n, err
		}
	}
}
