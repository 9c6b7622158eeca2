//go:build unix

package pidfile

import (
	"slices"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

const (
	byteWho      = 0
	byteRunning  = 1
	byteNext     = 2 // held while somebody is about to take byteWho, or the file away: who holds that may not be the daemon
	byteDraining = 3 // and those behind it: one for each generation that works on, see Retire
	maxDraining  = 1 << 20
)

func record(at int64) *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: at, Len: 1}
}

func fcntl(fd, cmd int, l *unix.Flock_t) error {
	return retried.FcntlFlock(uintptr(fd), cmd, l)
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

// maxHolders is how many locks are asked for: more than one daemon has generations at work.
const maxHolders = 256

// holders are the processes that hold write locks on bytes from from on, before to, each
// once. The question is that of a reader, whom only write locks are in the way of: a read
// lock, which anybody can take who can open the file, is not even seen.
func holders(fd int, from, to int64) (pids []int) {
	type stretch struct{ from, to int64 }
	left := []stretch{{from, to}}
	for asked := 0; len(left) > 0 && asked < maxHolders; asked++ {
		s := left[len(left)-1]
		left = left[:len(left)-1]
		l := &unix.Flock_t{Type: unix.F_RDLCK, Start: s.from, Len: s.to - s.from}
		if fcntl(fd, unix.F_GETLK, l) != nil || l.Type == unix.F_UNLCK {
			continue
		}
		if pid := int(l.Pid); pid > 0 && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
		if l.Start > s.from {
			left = append(left, stretch{s.from, l.Start})
		}
		if end := l.Start + l.Len; l.Len > 0 && end < s.to {
			left = append(left, stretch{end, s.to})
		}
	}
	return pids
}
