//go:build unix && !linux

package paths

import (
	"errors"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

const dirFlags = search | unix.O_DIRECTORY | unix.O_CLOEXEC

// readLink cannot open a link: between the look at it and its reading somebody could
// put another one in its place, and back.
func readLink(dir int, name string) (target string, st unix.Stat_t, err error) {
	if err := retried.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", st, err
	}
	if uint32(st.Mode)&unix.S_IFMT != unix.S_IFLNK {
		return "", st, unix.ENOTDIR
	}
	var b [4096]byte
	n, err := retried.Readlinkat(dir, name, b[:])
	if err != nil {
		return "", st, err
	}
	var after unix.Stat_t
	if err := retried.Fstatat(dir, name, &after, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", st, err
	}
	if after.Ino != st.Ino || after.Uid != st.Uid {
		return "", st, unix.ELOOP
	}
	return string(b[:n]), st, nil
}

func ofKernel(int) bool { return false }

func chown(fd int, o Owner) error { return retried.Fchown(fd, o.UID, o.GID) }

// NetBSD's answer to O_NOFOLLOW on a link is EFTYPE, which is 79 on every BSD.
func isFileType(err error) bool { return errors.Is(err, syscall.Errno(79)) }
