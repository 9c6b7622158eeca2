//go:build unix && !linux

package retried

import "golang.org/x/sys/unix"

func Dup2(from, to int) (err error) {
	for {
		if err = unix.Dup2(from, to); err != unix.EINTR {
			return err
		}
	}
}
