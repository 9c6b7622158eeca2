//go:build unix

package environ

import (
	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// ControllingTerminal reports whether this process has a controlling terminal, whose
// end is a SIGHUP. Ask before that: afterwards there is none.
func ControllingTerminal() bool {
	fd, err := retried.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
		return true
	}
	if err == unix.ENXIO {
		return false
	}
	// There is no such file in this root directory, or it is not for us. The question
	// for the foreground group is answered by a controlling terminal only.
	for fd := range 3 {
		if _, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil {
			return true
		}
	}
	return false
}
