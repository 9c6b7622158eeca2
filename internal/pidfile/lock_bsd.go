//go:build unix && !linux

package pidfile

import (
	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

func set(fd int, at int64) error { return fcntl(fd, unix.F_SETLK, record(at)) }

func setRead(fd int) error {
	return fcntl(fd, unix.F_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Len: byteDraining})
}

// letGo gives both locks up: no process can share one. There is a moment in which
// nobody has them.
func letGo(fd int) error {
	if err := unlock(fd, byteWho); err != nil {
		return err
	}
	return unlock(fd, byteRunning)
}

// No lock can be shared with a successor that has not come to itself yet.
func setNext(int)      {}
func clearNext(int)    {}
func nextSet(int) bool { return false }

// replace lets a descriptor lead to the file of another one.
func replace(fd, by int) error {
	err := retried.Dup2(by, fd)
	unix.CloseOnExec(fd)
	return err
}

// takeOver takes both as soon as they can be had, in the order of a start.
func takeOver(fd int) error {
	if err := fcntl(fd, unix.F_SETLKW, record(byteRunning)); err != nil {
		return err
	}
	return awaitWho(fd)
}

// daemon reports whether the lock is the running daemon's: here one process
// holds both.
func (l lock) daemon(who int) bool { return l.held && l.write && l.pid == who }

// anonymous: a start has the first lock and not yet the second.
func (l lock) anonymous() bool { return l.held && l.write }

// callsItself: there is one namespace of process numbers.
func callsItself(pid, number int) bool { return pid == number }

func shows(*proc.Handle) bool { return true }

func severed(int, fileid.ID) bool { return false }

func lacks(int, fileid.ID, string) bool { return false }

func has(int, fileid.ID) (locked, known, any bool) { return false, false, false }

// Left finds nobody: a lock is not inherited here.
func (*File) Left(*Report) []int { return nil }

func (*File) IsLeft(*Report, int) bool { return false }

// namesMe: every lock is named here, where there are only POSIX locks.
func namesMe(int) bool { return true }
