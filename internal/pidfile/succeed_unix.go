//go:build unix

package pidfile

import (
	"os"
	"path/filepath"
	"time"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/retried"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// FDs are the descriptors of the file and its directory, for a successor to inherit.
// They are this process's: to close even a duplicate of the first would drop its lock.
func (h *Held) FDs() (file, dir int) { return h.fd, h.dir }

// Spare is another descriptor of the file for the successor to inherit, which has no lock
// and can be written to, or -1: a daemon that has changed its user cannot open one.
func (h *Held) Spare() int { return h.spare }

// Inode is what Look reports for the file.
func (h *Held) Inode() string { return h.inode.String() }

// coming is who is on the way to the lock on byteWho: a set of the following.
type coming uint8

const (
	successor coming = 1 << iota // of this process, or this process itself, which may be ended yet
	itself                       // this process, which waits for the lock
)

func (h *Held) comes(c coming) {
	h.next.Lock()
	defer h.next.Unlock()
	h.next.who |= c
	setNext(h.fd)
}

func (h *Held) comesNot(c coming) {
	h.next.Lock()
	defer h.next.Unlock()
	if h.next.who &^= c; h.next.who == 0 {
		clearNext(h.fd)
	}
}

// Succeed makes a Held of the descriptors that this process has inherited from its
// predecessor. What it holds is the predecessor's, until granted is closed: that is
// when the predecessor has let go, or is dead, and the number in the file is ours.
// spare is the predecessor's Spare, or -1.
func Succeed(file, dir, spare int, path string) (h *Held, granted <-chan struct{}, err error) {
	var st unix.Stat_t
	if err := retried.Fstat(file, &st); err != nil {
		return nil, nil, err
	}
	h = &Held{fd: file, dir: dir, spare: spare, base: filepath.Base(path), path: path, inode: fileid.Of(&st)}
	h.waiting.Store(true)
	h.next.who = successor | itself
	h.register()
	got := make(chan struct{})
	go func() {
		took := takeOver(file) == nil && h.Insist() == nil
		h.comesNot(itself)
		if took {
			close(got)
		}
	}()
	return h, got, nil
}

// Insist makes this process the daemon although the lock that names it is not there
// yet: a stranger's read lock can have come between the predecessor's and ours. The
// other lock says meanwhile that a daemon runs, and the number says which.
func (h *Held) Insist() error {
	h.waiting.Store(false)
	return write(h.fd, os.Getpid())
}

// Expect is for the time in which a successor comes up that has inherited the
// descriptors: should this process die before the successor can take its place, the
// file is that one's, and not that of orphans. The same if the successor dies, until this
// process has left it the place. Unexpect ends it.
func (h *Held) Expect() { h.comes(successor) }

// Unexpect is for a successor that does not come, or whose predecessor cannot come back. While
// this process waits for the lock that names it, it is expected itself.
func (h *Held) Unexpect() { h.comesNot(successor) }

// Yield lets the successor take the lock that says who the daemon is.
func (h *Held) Yield() error {
	h.waiting.Store(true)
	return letGo(h.fd)
}

// Regain is for a successor that has died after Yield: this process is the daemon
// again.
func (h *Held) Regain() error {
	h.comes(itself)
	got, written := make(chan struct{}), make(chan struct{})
	go func() {
		takeOver(h.fd)
		close(got)
		<-written
		h.comesNot(itself)
	}()
	select {
	case <-got:
	case <-time.After(timing.MomentPasses): // a stranger's lock
	}
	defer close(written)
	return h.Insist()
}

// Retire is for a process that has handed over, and works on. It gives up what its
// successor has as well, or that one's end would not free the file; a lock of its own
// names it until it ends. That is a write lock, for which the file must have been opened
// for writing: a read lock could be anybody's. Where there is no such descriptor, nothing
// names it.
func (h *Held) Retire(generation int) {
	mine.Lock()
	defer mine.Unlock()
	if h.spare < 0 {
		h.spare = again(h.dir, h.base, h.inode, unix.O_RDWR)
	}
	err := error(unix.EBADF)
	if h.spare >= 0 {
		err = replace(h.fd, h.spare) // under its number, for somebody may be looking
	}
	h.dropSpare() // before the lock, which that would drop
	if err == nil {
		err = fcntl(h.fd, unix.F_SETLK, record(byteDraining+int64(generation)%maxDraining))
	}
	if err != nil {
		h.drop()
	}
}

// Draining are those who have retired and work on. Inode is a report's.
func (f *File) Draining(inode string) []int {
	f = f.holding(inode)
	dir, base, err := f.Dir()
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || isMine(fileid.Of(&st)) {
		return nil
	}
	fd, err := open(dir, base, unix.O_RDONLY, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	if retried.Fstat(fd, &st) != nil || fileid.Of(&st).String() != inode {
		return nil
	}
	return holders(fd, byteDraining, byteDraining+maxDraining)
}
