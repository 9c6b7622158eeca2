//go:build unix

package pidfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// errNamesNobody: the file system does not say who holds a lock.
var errNamesNobody = errors.New("the file system does not name the holder of a lock")

func (f *File) earlier() (list []*File) {
	for _, n := range f.Earlier {
		// What is not this user's alone may be anybody's, who puts there what he likes.
		if f.Private != "" && strings.HasPrefix(n.Path, f.Private+"/") && !isPrivate(f.Private) {
			continue
		}
		list = append(list, &File{Name: n, Trusted: f.Trusted, Umask: f.Umask})
	}
	return list
}

// Look says who holds the file. A state that can only be a moment of a start
// is looked at again, for at most 100 ms, or 2 s where a daemon is about to write its
// number; ctx may cut that short. If nobody does, it is what is in an earlier place: a
// daemon, or else a file that nobody holds. What cannot be looked at there, or is not
// trusted, is none of ours.
func (f *File) Look(ctx context.Context) (*Report, error) {
	r, err := f.lookHere(ctx)
	if err != nil || r.State == Running || r.State == Blocked {
		return r, err
	}
	for _, e := range f.earlier() {
		other, err := e.lookHere(ctx)
		if err == nil && (other.State == Running || other.State == Free && r.State == Absent) {
			r = other
		}
		if r.State == Running {
			break
		}
	}
	return r, nil
}

// Acquire takes the file for this process: both locks, then the number. The
// umask must be set; missing directories are created for owner. It fails with a
// *BusyError if a daemon runs, also in an earlier place, or a stranger's lock does not
// go away. Where the file system does not name the holder of a lock, the first
// earlier place is used.
func (f *File) Acquire(ctx context.Context, owner paths.Owner, undo *paths.Undo) (*Held, error) {
	h, err := f.acquireHere(ctx, owner, undo)
	if errors.Is(err, errNamesNobody) {
		if f.Private != "" {
			if err := (paths.Name{Root: f.Root, Path: f.Private}).MakeAll(0o700, paths.Nobody, undo); err != nil {
				return nil, err
			}
		}
		places := f.earlier()
		if len(places) == 0 {
			return nil, wrap("lock", f.Name, fmt.Errorf("%w, and %s is open to others", err, f.Private))
		}
		f = places[0]
		f.Earlier = nil
		for _, e := range places[1:] {
			f.Earlier = append(f.Earlier, e.Name)
		}
		if h, err = (&File{Name: f.Name, Trusted: f.Trusted, Umask: f.Umask}).acquireHere(ctx, owner, undo); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	for _, e := range f.earlier() {
		r, err := e.lookHere(ctx)
		if err == nil && r.State == Running && r.Inode != h.inode.String() {
			h.Remove()
			h.Release()
			return nil, &BusyError{Path: e.String(), Report: r}
		}
	}
	return h, nil
}

func isPrivate(dir string) bool {
	var st unix.Stat_t
	return retried.Lstat(dir, &st) == nil && uint32(st.Mode)&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == os.Getuid() && uint32(st.Mode)&0o077 == 0
}

// noLocks: the file system has no locks at all.
func noLocks(err error) bool {
	return errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)
}

// here is the place where there is a file, f itself if there is none.
func (f *File) here() *File {
	return f.place(func(unix.Stat_t) bool { return true })
}

// holding is the place of the file with that inode.
func (f *File) holding(inode string) *File {
	return f.place(func(st unix.Stat_t) bool { return fileid.Of(&st).String() == inode })
}

func (f *File) place(is func(unix.Stat_t) bool) *File {
	if len(f.Earlier) == 0 {
		return f
	}
	for _, p := range append([]*File{f}, f.earlier()...) {
		dir, base, err := p.Dir()
		if err != nil {
			continue
		}
		var st unix.Stat_t
		err = retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
		unix.Close(dir)
		if err == nil && is(st) {
			return p
		}
	}
	return f
}

// Where is the place where there is a file, Name if there is none.
func (f *File) Where() paths.Name { return f.here().Name }

// proves reports whether the file system is known to name the holder of a lock.
func (f *File) proves(fd int) bool {
	if f.names != nil {
		return f.names(fd)
	}
	return namesMe(fd)
}
