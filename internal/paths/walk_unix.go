//go:build unix

package paths

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links a path may lead through, as in the kernel.
const maxLinks = 40

// walk resolves a path by hand, one name after the other, each relative to the
// descriptor of the directory before: whoever exchanges a directory for a link
// meanwhile changes nothing about those that are open, and a link is followed only
// after it was seen whose it is. It never leaves its top, which is the root
// directory or one that becomes it later.
type walk struct {
	fd    int      // the directory that was reached
	done  []string // its names below the top; none of them is a link
	rest  []string // still to go
	given int      // that many at the end of rest are from the path, not from a link
	links int
	root  string // the top, as it is seen from outside; empty: the root directory
	magic bool   // done does not lead to fd: the kernel has followed a link of /proc

	// create, if it is set, makes a name of the path that is missing.
	create func(dir int, name string, last bool) (fd int, err error)
	// passed, if it is set, hears of each directory that was entered and of each link
	// that was followed: where it was, and whose it is.
	passed func(dir int, owner uint32) error
}

// newWalk begins at the top. Whoever gets no error closes fd at the end.
func newWalk(root string) (*walk, error) {
	w := &walk{fd: -1, root: root}
	return w, w.rewind()
}

func (w *walk) rewind() error {
	var fd int
	var err error
	if w.root == "" {
		fd, err = retried.Open("/", dirFlags, 0)
	} else {
		fd, err = openDir("", w.root)
	}
	if err != nil {
		return err
	}
	w.close()
	w.fd, w.done = fd, nil
	return nil
}

func (w *walk) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
	w.fd = -1
}

// openDir opens a directory as it will be found once root is the root directory.
func openDir(root, dir string) (int, error) {
	w, err := newWalk(root)
	if err != nil {
		return -1, err
	}
	if err := w.to(dir); err != nil {
		w.close()
		return -1, err
	}
	return w.fd, nil
}

// to goes on to a directory below the top.
func (w *walk) to(dir string) error {
	w.rest = elements(dir)
	w.given = len(w.rest)
	return w.run()
}

func (w *walk) run() error {
	for len(w.rest) > 0 {
		name := w.rest[0]
		w.rest = w.rest[1:]
		given := len(w.rest) < w.given
		w.given = min(w.given, len(w.rest))
		switch name {
		case "", ".":
			continue
		case "..":
			if err := w.up(); err != nil {
				return err
			}
			continue
		}
		next, err := retried.Openat(w.fd, name, dirFlags|unix.O_NOFOLLOW, 0)
		switch {
		case err == nil:
		case errors.Is(err, unix.ENOENT) && given && w.create != nil:
			if next, err = w.create(w.fd, name, len(w.rest) == 0); err != nil {
				return err
			}
		case errors.Is(err, unix.ENOTDIR) || isLink(err):
			magic, link := w.follow(name)
			if link != nil {
				return link
			}
			if !magic {
				continue
			}
			next, err = retried.Openat(w.fd, name, dirFlags, 0)
			w.magic = true
		}
		if err != nil {
			return err
		}
		if w.passed != nil {
			owner, err := ownerOf(next)
			if err == nil {
				err = w.passed(w.fd, owner)
			}
			if err != nil {
				unix.Close(next)
				return err
			}
		}
		w.close()
		w.fd, w.done = next, append(w.done, name)
	}
	return nil
}

// up goes to the directory above by way of the top: ".." of a directory that was
// moved meanwhile could be outside.
func (w *walk) up() error {
	if w.magic {
		return unix.ELOOP
	}
	above := w.done[:max(len(w.done)-1, 0)]
	w.rest = slices.Concat(above, w.rest)
	return w.rewind()
}

// follow puts the target of a link in the place of its name. magic: it is one of
// /proc, whose text is not where it leads, and which only the kernel can follow.
func (w *walk) follow(name string) (magic bool, err error) {
	target, st, err := readLink(w.fd, name)
	if err != nil {
		return false, err
	}
	uid := int(st.Uid)
	if st.Nlink > 1 {
		// Somebody may have made a hard link of it, to have a link of root's here.
		if owner, err := ownerOf(w.fd); err != nil || !trusts(nil, owner) {
			uid = int(owner)
		}
	}
	if !trusts(nil, uint32(uid)) {
		return false, &LinkError{Path: w.shown(name), UID: uid}
	}
	if w.passed != nil {
		if err := w.passed(w.fd, st.Uid); err != nil {
			return false, err
		}
	}
	if w.links++; w.links > maxLinks {
		return false, unix.ELOOP
	}
	if target == "" {
		return false, unix.ENOENT
	}
	if w.root == "" && ofKernel(w.fd) {
		return true, nil
	}
	w.rest = append(strings.Split(target, "/"), w.rest...)
	if filepath.IsAbs(target) {
		w.magic = false
		return false, w.rewind()
	}
	return false, nil
}

// file follows the link that name is, and what that leads to, until it is at the
// directory of what is no link. again: the kernel must follow the last one.
func (w *walk) file(name string) (base string, again bool, err error) {
	for {
		w.rest, w.given = nil, 0
		if !ours(w.fd) {
			return "", false, errors.New("is a symbolic link in a directory that others can write")
		}
		magic, err := w.follow(name)
		if magic || err != nil {
			return name, magic, err
		}
		last := len(w.rest) - 1
		name, w.rest = w.rest[last], w.rest[:last]
		if name == "" || name == "." || name == ".." {
			return "", false, unix.EISDIR
		}
		if err := w.run(); err != nil {
			return "", false, err
		}
		var st unix.Stat_t
		err = retried.Fstatat(w.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return "", false, err
		}
		if err != nil || uint32(st.Mode)&unix.S_IFMT != unix.S_IFLNK {
			return name, false, nil
		}
	}
}

// shown is a name in the directory that was reached, as it is seen from outside.
func (w *walk) shown(name string) string {
	return filepath.Join("/", w.root, filepath.Join(w.done...), name)
}

func ownerOf(fd int) (uint32, error) {
	var st unix.Stat_t
	err := retried.Fstat(fd, &st)
	return st.Uid, err
}

// trusts: root and this process's user decide about paths anyway, and so does
// whoever owns the root directory: in a user namespace, where root is nobody, that
// is how root looks.
func trusts(trusted []int, uid uint32) bool {
	if uid == 0 || int(uid) == os.Geteuid() || slices.Contains(trusted, int(uid)) {
		return true
	}
	var st unix.Stat_t
	return retried.Stat("/", &st) == nil && st.Uid == uid
}

// SteadyDir is Dir, and says whether nobody but root and this process's user can
// exchange a directory on the way for another one, or for a link. For what is opened
// relative to the descriptor that makes no difference.
func (n Name) SteadyDir() (fd int, base string, steady bool, err error) {
	steady = true
	w, base, err := n.holder(func(w *walk) {
		w.passed = func(dir int, owner uint32) error {
			var st unix.Stat_t
			err := retried.Fstat(dir, &st)
			steady = steady && !exchangeable(uint32(st.Mode), trusts(nil, st.Uid), trusts(nil, owner))
			return err
		}
	})
	if err != nil {
		return -1, "", false, err
	}
	return w.fd, base, steady, nil
}

// exchangeable: in a directory of that mode a stranger can rename an entry. In a
// sticky one its owner can, too. Members of a group are trusted, see Safe.
func exchangeable(mode uint32, trustedHolder, trustedOwner bool) bool {
	return !trustedHolder || mode&0o002 != 0 && (mode&unix.S_ISVTX == 0 || !trustedOwner)
}
