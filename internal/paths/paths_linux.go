package paths

import (
	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// A directory that cannot be read, only passed through, can be a base as well.
const dirFlags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC

// readLink gives the target of a link and what it is, of one and the same link. What
// is no link is ENOTDIR.
func readLink(dir int, name string) (target string, st unix.Stat_t, err error) {
	fd, err := retried.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", st, err
	}
	defer unix.Close(fd)
	if err := retried.Fstat(fd, &st); err != nil {
		return "", st, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", st, unix.ENOTDIR
	}
	var b [unix.PathMax]byte
	n, err := retried.Readlinkat(fd, "", b[:])
	if err != nil {
		return "", st, err
	}
	return string(b[:n]), st, nil
}

// ofKernel reports whether the links in a directory are the kernel's own, which
// lead elsewhere than their text says.
func ofKernel(dir int) bool {
	var fs unix.Statfs_t
	return retried.Fstatfs(dir, &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
}

func chown(fd int, o Owner) error {
	return retried.Fchownat(fd, "", o.UID, o.GID, unix.AT_EMPTY_PATH)
}

func isFileType(error) bool { return false }
