package proc

import (
	"os"

	"golang.org/x/sys/unix"
)

// parent asks the pidfd itself, which works without /proc, since Linux 6.13.
func (h *handle) parent() (int, error) {
	if h.err != nil {
		return 0, h.err
	}
	if h.closed.Load() {
		return 0, os.ErrClosed
	}
	if h.file != nil {
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_PID}
		err := error(os.ErrClosed)
		h.conn.Control(func(fd uintptr) { err = pidfdInfo(int(fd), &info) })
		if err == nil && info.Mask&unix.PIDFD_INFO_PID != 0 {
			return int(info.Ppid), nil
		}
	}
	st, err := readStat(h.pid)
	if err != nil {
		return 0, err
	}
	return st.ppid, nil
}

func orphanParent() int { return os.Getpid() }
