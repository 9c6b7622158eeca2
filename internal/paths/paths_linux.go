package paths

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A directory that cannot be read, only passed through, can be a base as well.
const dirFlags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC

// openDir resolves dir as it will be resolved once root is the root directory:
// an absolute link inside must not lead out of it, for we may be root and the
// tree somebody else's.
func openDir(root, dir string) (int, error) {
	if root == "" {
		return retry(func() (int, error) { return unix.Open(dir, dirFlags, 0) })
	}
	at, err := retry(func() (int, error) { return unix.Open(root, dirFlags, 0) })
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	rel := strings.TrimPrefix(filepath.Clean("/"+dir), "/")
	if rel == "" {
		rel = "."
	}
	how := unix.OpenHow{Flags: dirFlags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := retry(func() (int, error) { return unix.Openat2(at, rel, &how) })
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.6: no links at all
		return openPlain(at, rel)
	}
	return fd, err
}

func openPlain(at int, rel string) (int, error) {
	fd, err := unix.FcntlInt(uintptr(at), unix.F_DUPFD_CLOEXEC, 3)
	for _, name := range elements(rel) {
		if err != nil {
			return -1, err
		}
		next, e := retry(func() (int, error) { return unix.Openat(fd, name, dirFlags|unix.O_NOFOLLOW, 0) })
		unix.Close(fd)
		fd, err = next, e
	}
	return fd, err
}

func chown(fd int, o Owner) error {
	return unix.Fchownat(fd, "", o.UID, o.GID, unix.AT_EMPTY_PATH)
}

func isFileType(error) bool { return false }
