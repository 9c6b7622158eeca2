//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func groupID(pid int) (pgid, sid int, err error) {
	pgid, err = unix.Getpgid(pid)
	if err == nil {
		sid, err = unix.Getsid(pid)
	}
	if err == unix.ESRCH {
		return 0, 0, gone(pid)
	}
	if err != nil {
		return 0, 0, errorf("read group and session of process %d: %w", pid, err)
	}
	return pgid, sid, nil
}

// signalText is the signal as people know it.
func signalText(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(int(sig))
}
