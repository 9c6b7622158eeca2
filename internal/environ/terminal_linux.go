package environ

import (
	"strconv"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// LeaveTerminal takes from this process what it could do with its terminal in the place
// of the person there, but for what it writes: it has no controlling terminal any more, by
// which it could push input, as if typed, to whoever reads there next (TIOCSTI in
// ioctl_tty(2)), and cannot read what is typed from descriptors 1 and 2, which a shell has
// opened for both. It stays in its session and process group, so that the terminal's
// signals reach it. A session's leader keeps the terminal: nobody reads there after it.
// What cannot be done is left, as where there is no /proc.
func LeaveTerminal() {
	if session, err := unix.Getsid(0); err != nil || session == unix.Getpid() {
		return
	}
	if fd, err := retried.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
		unix.IoctlSetInt(fd, unix.TIOCNOTTY, 0)
		unix.Close(fd)
	}
	for fd := range 3 {
		if !Terminal(fd) {
			continue
		}
		unix.IoctlSetInt(fd, unix.TIOCNOTTY, 0) // where there is no /dev/tty; an error if it is another terminal
		if fd > 0 {
			onlyWrite(fd)
		}
	}
}

// onlyWrite opens the terminal of a descriptor anew, for writing, in its place.
func onlyWrite(fd int) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE != unix.O_RDWR {
		return
	}
	flags &= unix.O_APPEND | unix.O_NONBLOCK
	again, err := retried.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY|unix.O_NOCTTY|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return
	}
	retried.Dup3(again, fd, 0)
	unix.Close(again)
}
