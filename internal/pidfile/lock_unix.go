//go:build unix

package pidfile

import "golang.org/x/sys/unix"

const (
	byteWho     = 0
	byteRunning = 1
	byteNext    = 2 // held while a successor comes up, which cannot be named yet
	byteElder   = 3 // and those behind it: one for each generation that works on, see Retire
	maxElder    = 1 << 20
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

// awaitWho takes it as soon as its holder lets it go, or dies.
func awaitWho(fd int) error { return fcntl(fd, unix.F_SETLKW, record(byteWho)) }

func unlock(fd int, at int64) error {
	l := record(at)
	l.Type = unix.F_UNLCK
	return fcntl(fd, unix.F_SETLK, l)
}

// asked tests a lock without taking it, also through a read-only descriptor.
func asked(fd int, at int64) (lock, error) {
	l := record(at)
	if err := fcntl(fd, unix.F_GETLK, l); err != nil {
		return lock{}, err
	}
	return lock{held: l.Type != unix.F_UNLCK, write: l.Type == unix.F_WRLCK, pid: int(l.Pid)}, nil
}

// holders are the processes that each hold one byte from from on, before to.
func holders(fd int, from, to int64) []int {
	l := &unix.Flock_t{Type: unix.F_WRLCK, Start: from, Len: to - from}
	if from >= to || fcntl(fd, unix.F_GETLK, l) != nil || l.Type == unix.F_UNLCK {
		return nil
	}
	if l.Len != 1 || l.Start < from || l.Pid <= 0 { // a stranger's
		return nil
	}
	return append(append(holders(fd, from, l.Start), int(l.Pid)), holders(fd, l.Start+1, to)...)
}
