//go:build unix

package pidfile

import "golang.org/x/sys/unix"

const (
	byteWho     = 0
	byteRunning = 1
)

func record(at int64) *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: at, Len: 1}
}

func fcntl(fd, cmd int, l *unix.Flock_t) error {
	for {
		if err := unix.FcntlFlock(uintptr(fd), cmd, l); err != unix.EINTR {
			return err
		}
	}
}

// setWho takes the lock that names this process.
func setWho(fd int) error { return fcntl(fd, unix.F_SETLK, record(byteWho)) }

// asked tests a lock without taking it, also through a read-only descriptor.
func asked(fd int, at int64) (lock, error) {
	l := record(at)
	if err := fcntl(fd, unix.F_GETLK, l); err != nil {
		return lock{}, err
	}
	return lock{held: l.Type != unix.F_UNLCK, write: l.Type == unix.F_WRLCK, pid: int(l.Pid)}, nil
}
