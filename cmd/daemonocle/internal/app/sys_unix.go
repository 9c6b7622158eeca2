//go:build unix

package app

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

const nonblock = syscall.O_NONBLOCK

func signalNumber(name string) syscall.Signal { return unix.SignalNum(name) }

func signalText(s syscall.Signal) string { return unix.SignalName(s) }

func signalName(s syscall.Signal) string { return fmt.Sprintf("%s (%d)", unix.SignalName(s), int(s)) }

// checkStateDir refuses a directory in which others could put what we execute. One
// that is missing holds nothing.
func checkStateDir(op, name, dir string) error {
	var stranger *paths.LinkError
	if _, err := (paths.Name{Path: dir}).Stat(); errors.As(err, &stranger) {
		return failure(op, name, stranger, "Remove the link, or set XDG_STATE_HOME. Each user has daemons of his own: with sudo, use its option -H.")
	}
	info, err := os.Stat(dir)
	if err != nil {
		if link, bad := os.Lstat(dir); bad == nil && link.Mode()&fs.ModeSymlink != 0 {
			return failure(op, name, fmt.Errorf("%s is a symbolic link that leads nowhere", dir), "Make the directory, or set XDG_STATE_HOME.")
		}
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return failure(op, name, fmt.Errorf("%s is not a directory", dir), "Remove it, or set XDG_STATE_HOME.")
	case ok && int(st.Uid) != os.Geteuid():
		return failure(op, name, fmt.Errorf("%s belongs to somebody else", dir), "Each user has daemons of his own: with sudo, use its option -H; or set XDG_STATE_HOME.")
	case info.Mode().Perm()&0o022 != 0:
		return failure(op, name, fmt.Errorf("others can write to %s", dir), "chmod go-w it.")
	}
	return nil
}

// makeStateDir creates it, with its parents, behind nobody's link but root's and our own.
func makeStateDir(dir string) error {
	return paths.Name{Path: dir}.MakeAll(0o700, paths.Nobody, nil)
}

// isOwn reports whether what is there belongs to this process's user and group, or is not
// there. To remove a directory takes a file system longer than to look.
func isOwn(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && int(st.Gid) == os.Getegid()
}

// openState opens a file that is ours alone.
func openState(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if err := fault.Cause(err); err == syscall.ELOOP {
			return nil, fmt.Errorf("is a symbolic link")
		}
		return nil, fmt.Errorf("cannot be opened: %w", fault.Cause(err))
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		err = fmt.Errorf("is not a regular file")
	case ok && int(st.Uid) != os.Geteuid():
		err = fmt.Errorf("belongs to somebody else")
	case info.Mode().Perm()&0o022 != 0:
		err = fmt.Errorf("can be written to by others")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lockName makes what starts or forgets one name wait for each other, so that what is remembered
// is what runs. The lock is a byte of a file for all names, and ends with this
// process; what it starts does not inherit it.
func lockName(op, name string) (unlock func(), err error) {
	at, err := findPlaces()
	if err != nil {
		return nil, err
	}
	cannot := func(err error) error {
		hint := "Nothing was done."
		if errors.Is(err, fs.ErrPermission) {
			hint += " Set XDG_STATE_HOME to a directory of this user's."
		}
		return failure(op, name, fmt.Errorf("cannot lock %s: %w", at.state, fault.Cause(err)), hint)
	}
	err = makeStateDir(at.state)
	if bad := checkStateDir(op, name, at.state); bad != nil {
		return nil, bad
	}
	if err != nil {
		return nil, cannot(err)
	}
	f, err := os.OpenFile(filepath.Join(at.state, ".lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, cannot(err)
	}
	h := fnv.New32a()
	io.WriteString(h, name)
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(h.Sum32()), Len: 1}
	if err := retried.FcntlFlock(f.Fd(), unix.F_SETLKW, &l); err != nil {
		f.Close()
		return nil, cannot(err)
	}
	return func() { f.Close() }, nil
}

// syncDir makes what was renamed in a directory last; see fsync(2). File systems
// that have no such thing say EINVAL.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
