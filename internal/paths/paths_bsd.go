//go:build unix && !linux

package paths

import (
	"errors"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC

// openDir follows absolute links inside root out of it: these systems have no
// call that resolves a path in another root.
func openDir(root, dir string) (int, error) {
	return retry(func() (int, error) { return unix.Open(filepath.Join("/", root, dir), dirFlags, 0) })
}

func chown(fd int, o Owner) error { return unix.Fchown(fd, o.UID, o.GID) }

// NetBSD's answer to O_NOFOLLOW on a link is EFTYPE, which is 79 on every BSD.
func isFileType(err error) bool { return errors.Is(err, syscall.Errno(79)) }
