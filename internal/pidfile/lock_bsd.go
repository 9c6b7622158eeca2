//go:build unix && !linux

package pidfile

import "golang.org/x/sys/unix"

func set(fd int, at int64) error { return fcntl(fd, unix.F_SETLK, record(at)) }

// daemon reports whether the lock is the running daemon's: here one process
// holds both.
func (l lock) daemon(who int) bool { return l.held && l.write && l.pid == who }

// anonymous: a start has the first lock and not yet the second.
func (l lock) anonymous() bool { return l.held && l.write }

func holds(int, inode) bool { return false }
