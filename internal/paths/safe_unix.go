//go:build unix

package paths

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

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
	dir := filepath.Clean("/" + n.Path)
	err := safe(n.Root, dir, trusted)
	if err == nil && dir != "/" {
		return safe(n.Root, filepath.Dir(dir), trusted)
	}
	for errors.Is(err, unix.ENOENT) && dir != "/" {
		dir = filepath.Dir(dir)
		err = safe(n.Root, dir, trusted)
	}
	return err
}

// safe opens dir before it looks at the name. Should the name have been a
// stranger's link to a good directory, the stranger can put nothing in its place
// that looks trustworthy.
func safe(root, dir string, trusted []int) error {
	shown := filepath.Join("/", root, dir)
	fd, err := openDir(root, dir)
	if err != nil {
		return &fs.PathError{Op: "open", Path: shown, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: shown, Err: err}
	}
	mode := uint32(st.Mode)
	open := mode&0o002 != 0 && mode&unix.S_ISVTX == 0
	if open || !trusts(trusted, st.Uid) {
		return &UnsafeError{Path: shown, UID: int(st.Uid), Mode: fs.ModeDir | fs.FileMode(mode&0o777)}
	}
	if dir == "/" {
		return nil
	}
	holder, base, err := Name{root, dir}.Dir()
	if err != nil {
		return err
	}
	defer unix.Close(holder)
	if err := unix.Fstatat(holder, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "stat", Path: shown, Err: err}
	}
	if uint32(st.Mode)&unix.S_IFMT == unix.S_IFLNK && !trusts(trusted, st.Uid) {
		return &UnsafeError{Path: shown, UID: int(st.Uid), Mode: fs.ModeSymlink | 0o777}
	}
	return nil
}

func trusts(trusted []int, uid uint32) bool {
	return uid == 0 || int(uid) == os.Geteuid() || slices.Contains(trusted, int(uid))
}
