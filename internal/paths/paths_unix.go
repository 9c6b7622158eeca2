//go:build unix

package paths

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// Dir opens the directory that holds n and gives n's last element. The
// descriptor is close-on-exec and serves only as a base for other calls.
func (n Name) Dir() (fd int, base string, err error) {
	w, base, err := n.holder(nil)
	if err != nil {
		return -1, "", err
	}
	return w.fd, base, nil
}

// holder walks to the directory that holds n. Without create, what is wrong is said
// of that directory.
func (n Name) holder(create func(w *walk)) (*walk, string, error) {
	dir, base, err := n.split()
	if err != nil {
		return nil, "", &fs.PathError{Op: "open", Path: n.String(), Err: err}
	}
	w, err := n.walk(dir, create)
	return w, base, err
}

func (n Name) walk(dir string, prepare func(w *walk)) (*walk, error) {
	w, err := newWalk(n.Root)
	if err == nil {
		if prepare != nil {
			prepare(w)
		}
		if err = w.to(dir); err == nil {
			return w, nil
		}
		w.close()
	}
	if _, is := errors.AsType[*fs.PathError](err); is {
		return nil, err
	}
	return nil, &fs.PathError{Op: "open", Path: filepath.Join("/", n.Root, dir), Err: err}
}

// MakeDir is Dir, but creates what is missing with mode 0777 less the umask,
// and gives the last directory, if it was created, to owner.
func (n Name) MakeDir(owner Owner, undo *Undo) (fd int, base string, err error) {
	w, base, err := n.holder(making(0o777, 0o777, owner, undo))
	if err != nil {
		return -1, "", err
	}
	return w.fd, base, nil
}

// MakeAll creates the directory n, and its parents, like MakeDir, but with that mode
// less the umask, and the parents are never open to everybody.
func (n Name) MakeAll(mode uint32, owner Owner, undo *Undo) error {
	w, err := n.walk(n.Path, making(0o775&mode, mode, owner, undo))
	if err == nil {
		w.close()
	}
	return err
}

// making lets a walk create what is missing of its path. Where a link leads to
// nothing, nothing is created.
func making(parents, mode uint32, owner Owner, undo *Undo) func(*walk) {
	return func(w *walk) {
		w.create = func(dir int, name string, last bool) (int, error) {
			m := parents
			if last {
				m = mode
			}
			fd, created, err := makeOne(dir, name, m, undo)
			if err == nil && created && last && (owner.UID >= 0 || owner.GID >= 0) && empty(fd) {
				err = give(fd, owner)
			}
			if err != nil {
				if fd >= 0 {
					unix.Close(fd)
				}
				return -1, &fs.PathError{Op: "create directory", Path: w.shown(name), Err: err}
			}
			return fd, nil
		}
	}
}

// empty: what was created is, and where a stranger can rename directories, one that
// has come to its place since may be full of what is not for the owner's eyes.
func empty(fd int) bool {
	open, err := retried.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.Is(err, fs.ErrPermission) // by its mode, in this moment
	}
	d := os.NewFile(uintptr(open), "")
	defer d.Close()
	names, _ := d.Readdirnames(1)
	return len(names) == 0
}

// Chdir makes the directory n the working directory.
func (n Name) Chdir() error {
	w, err := n.walk(n.Path, nil)
	if err != nil {
		return err
	}
	defer w.close()
	if err := retried.Fchdir(w.fd); err != nil {
		return &fs.PathError{Op: "chdir", Path: n.String(), Err: err}
	}
	return nil
}

// Chroot makes the directory n the root directory, and the working directory as
// well, or the old root would stay within reach.
func (n Name) Chroot() error {
	err := n.Chdir()
	if err == nil {
		err = os.NewSyscallError("chroot", retried.Chroot("."))
	}
	return err
}

// Absent lists n and the directories above it that are missing, the innermost first.
func (n Name) Absent() (list []Name) {
	for n.Path = filepath.Clean("/" + n.Path); n.Path != "/" && n.missing(); n.Path = filepath.Dir(n.Path) {
		list = append(list, n)
	}
	return list
}

func (n Name) missing() bool {
	dir, base, err := n.Dir()
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	return errors.Is(retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW), fs.ErrNotExist)
}

// RemoveEmpty removes the file or directory n if nothing is in it.
func (n Name) RemoveEmpty() {
	dir, base, err := n.Dir()
	if err != nil {
		return
	}
	defer unix.Close(dir)
	if retried.Unlinkat(dir, base, unix.AT_REMOVEDIR) != nil {
		removeEmpty(dir, base)
	}
}

// makeOne opens a directory that somebody else was faster to create, too, but
// that one is not ours to give away.
func makeOne(parent int, name string, mode uint32, undo *Undo) (fd int, created bool, err error) {
	// Not empty means that somebody else uses it by now.
	created, err = undo.create(parent, func() error { return retried.Mkdirat(parent, name, mode) },
		func(parent int) { retried.Unlinkat(parent, name, unix.AT_REMOVEDIR) })
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, false, err
	}
	fd, err = retried.Openat(parent, name, dirFlags|unix.O_NOFOLLOW, 0)
	return fd, created, err
}

// create makes something in a directory that it keeps open for taking it back: without a
// descriptor for that nothing is made.
func (u *Undo) create(dir int, do func() error, undo func(dir int)) (created bool, err error) {
	keep, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return false, err
	}
	if err := do(); err != nil {
		unix.Close(keep)
		return false, err
	}
	u.add(func() { undo(keep) }, func() { unix.Close(keep) })
	return true, nil
}

// Stat asks whether n is there, as it will be seen once Root is the root
// directory, and whether it is a directory.
func (n Name) Stat() (isDir bool, err error) {
	if w, err := n.walk(n.Path, nil); err == nil {
		w.close()
		return true, nil
	} else if !errors.Is(err, unix.ENOTDIR) {
		return false, err
	}
	dir, base, err := n.Dir()
	if err != nil {
		return false, err
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	return false, retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
}

// Log opens a log file for appending, and creates it, with its parents, if it
// is missing; what is created belongs to owner. A symbolic link at n is followed
// only where nobody but root and this process's user can have made it: we may
// be root, and the directory may be the service's own. Where everybody can put files,
// what is there must belong to one of these, or to owner: a stranger would read what is
// logged, or not read his FIFO, and writing would wait.
func (n Name) Log(owner Owner, undo *Undo) (f *os.File, err error) {
	err = Insist(func() error {
		f, err = n.log(owner, undo)
		return err
	})
	return f, err
}

// Insist calls create again, within reason, while what it creates lacks its
// directory: another start may have created that as well, failed, and taken it back
// in the moment between.
func Insist(create func() error) (err error) {
	for range 100 {
		if err = create(); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return err
}

// notOpened is called from many places, each of which would be larger with its code.
//
//go:noinline
func (n Name) notOpened(err error) error {
	return &fs.PathError{Op: "open", Path: n.String(), Err: err}
}

func (n Name) log(owner Owner, undo *Undo) (*os.File, error) {
	w, base, err := n.holder(making(0o777, 0o777, owner, undo))
	if link, ok := errors.AsType[*LinkError](err); ok {
		return nil, n.notOpened(link)
	}
	if err != nil {
		return nil, err
	}
	defer w.close()
	// Neither a FIFO nor a terminal may hold us up or become ours.
	flags := unix.O_WRONLY | unix.O_APPEND | unix.O_CLOEXEC | unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_NOFOLLOW
	created := false
	for range 100 {
		fd, err := retried.Openat(w.fd, base, flags, 0)
		switch {
		case errors.Is(err, unix.ENOENT):
			created, err = undo.create(w.fd, func() (err error) {
				fd, err = retried.Openat(w.fd, base, flags|unix.O_CREAT|unix.O_EXCL, 0o666)
				return err
			}, func(dir int) { removeEmpty(dir, base) })
			if errors.Is(err, unix.EEXIST) {
				continue
			}
		case isLink(err):
			if n.Root != "" { // there all links are somebody else's affair
				return nil, n.notOpened(errors.New("is a symbolic link in a directory that others can write"))
			}
			var again bool
			if base, again, err = w.file(base); again {
				flags &^= unix.O_NOFOLLOW
			}
			if err != nil {
				return nil, n.notOpened(err)
			}
			continue
		}
		if err != nil {
			return nil, n.notOpened(err)
		}
		f := os.NewFile(uintptr(fd), n.String())
		if err := n.checkLog(fd, w.fd, created, owner); err != nil {
			f.Close()
			return nil, n.notOpened(err)
		}
		return f, nil
	}
	return nil, n.notOpened(errors.New("keeps appearing and disappearing"))
}

// Read opens a regular file for reading. Links are followed as Log follows them: we may
// be root, and show what is there to whoever looks at our terminal.
func (n Name) Read() (*os.File, error) {
	w, base, err := n.holder(nil)
	if err != nil {
		return nil, err
	}
	defer w.close()
	flags := unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_NOFOLLOW
	open := func() (int, error) {
		return retried.Openat(w.fd, base, flags, 0)
	}
	fd, err := open()
	if isLink(err) {
		if n.Root != "" { // there all links are somebody else's affair
			return nil, n.notOpened(errors.New("is a symbolic link in a directory that others can write"))
		}
		var again bool
		if base, again, err = w.file(base); again {
			flags &^= unix.O_NOFOLLOW
		}
		if err == nil {
			fd, err = open()
		}
	}
	if err != nil {
		return nil, n.notOpened(err)
	}
	f := os.NewFile(uintptr(fd), n.String())
	var st unix.Stat_t
	switch err = retried.Fstat(fd, &st); {
	case err != nil:
	case uint32(st.Mode)&unix.S_IFMT != unix.S_IFREG:
		err = errors.New("is not a regular file")
	case st.Nlink > 1 && !ours(w.fd):
		err = errors.New("has several hard links in a directory that others can write")
	}
	if err != nil {
		f.Close()
		return nil, n.notOpened(err)
	}
	return f, nil
}

func (n Name) checkLog(fd, dir int, created bool, owner Owner) error {
	var st unix.Stat_t
	if err := retried.Fstat(fd, &st); err != nil {
		return err
	}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
		if st.Nlink != 1 && !ours(dir) {
			return errors.New("has several hard links in a directory that others can write")
		}
	case unix.S_IFDIR:
		return unix.EISDIR
	}
	if !created && !trusts([]int{owner.UID}, st.Uid) && strange(dir, st.Uid) {
		return fmt.Errorf("belongs to user %d in a directory that others can write", st.Uid)
	}
	if created && (owner.UID >= 0 || owner.GID >= 0) {
		if err := give(fd, owner); err != nil {
			return fmt.Errorf("change owner: %w", err)
		}
	}
	return unix.SetNonblock(fd, false)
}

// give makes what was created the owner's. Who has no right to that has none to
// become the owner either, which is what the start will say.
func give(fd int, owner Owner) error {
	err := chown(fd, owner)
	if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 {
		return nil
	}
	return err
}

func removeEmpty(dir int, base string) {
	var st unix.Stat_t
	if retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && uint32(st.Mode)&unix.S_IFMT == unix.S_IFREG && st.Size == 0 {
		retried.Unlinkat(dir, base, 0)
	}
}

// ours reports whether only root and this process's user can put names into the
// directory.
func ours(dir int) bool {
	var st unix.Stat_t
	if retried.Fstat(dir, &st) != nil {
		return false
	}
	return (st.Uid == 0 || int(st.Uid) == os.Geteuid()) && uint32(st.Mode)&0o022 == 0
}

// strange reports whether that user can have put a file into the directory without being
// who decides about it: as for a PID file, its owner is. Members of a group are trusted, see Safe.
func strange(dir int, uid uint32) bool {
	var st unix.Stat_t
	return retried.Fstat(dir, &st) != nil || uint32(st.Mode)&0o002 != 0 && st.Uid != uid
}

// isLink: O_NOFOLLOW answers ELOOP on Linux and macOS, EMLINK on FreeBSD,
// EFTYPE on NetBSD (which x/sys does not name everywhere).
func isLink(err error) bool {
	return errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK) || isFileType(err)
}

// MayExecute asks for the effective user of this process, from its own root directory.
func MayExecute(path string) error {
	return retried.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}
