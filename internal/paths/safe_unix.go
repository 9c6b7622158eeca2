//go:build unix

package paths

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// Safe gives an *UnsafeError if somebody else than root, this process's user and
// the trusted users can decide what the directory n is or which names are in it.
// It looks at n and at the directory that holds n; while n is missing, at the
// innermost directory above it that is there. Members of a group are trusted: a
// directory such as /var/local is open to one on purpose.
//
// What cannot be looked at is no UnsafeError: whoever opens it will be told.
func (n Name) Safe(trusted []int) error {
	return n.judge(func(st *unix.Stat_t) bool {
		open := uint32(st.Mode)&0o002 != 0 && uint32(st.Mode)&unix.S_ISVTX == 0
		return !open && trusts(trusted, st.Uid)
	})
}

// Owned is Safe, but asks only whose the directories are.
func (n Name) Owned(trusted []int) error {
	return n.judge(func(st *unix.Stat_t) bool { return trusts(trusted, st.Uid) })
}

func (n Name) judge(good func(*unix.Stat_t) bool) error {
	dir := filepath.Clean("/" + n.Path)
	err := safe(n.Root, dir, good)
	if err == nil && dir != "/" {
		return safe(n.Root, filepath.Dir(dir), good)
	}
	for errors.Is(err, unix.ENOENT) && dir != "/" {
		dir = filepath.Dir(dir)
		err = safe(n.Root, dir, good)
	}
	return err
}

func safe(root, dir string, good func(*unix.Stat_t) bool) error {
	w, err := Name{Root: root}.walk(dir, nil)
	if err != nil {
		return err
	}
	defer w.close()
	return judge(w.fd, filepath.Join("/", root, dir), good)
}

func judge(fd int, shown string, good func(*unix.Stat_t) bool) error {
	var st unix.Stat_t
	if err := retried.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: shown, Err: err}
	}
	if !good(&st) {
		return &UnsafeError{Path: shown, UID: int(st.Uid), Mode: fs.ModeDir | fs.FileMode(uint32(st.Mode)&0o777)}
	}
	return nil
}

// OwnedDir is Owned for an open directory that holds n.
func (n Name) OwnedDir(fd int, trusted []int) error {
	return judge(fd, filepath.Dir(n.String()), func(st *unix.Stat_t) bool { return trusts(trusted, st.Uid) })
}

// IsMine reports whether a file belongs to this process's user.
func IsMine(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}
