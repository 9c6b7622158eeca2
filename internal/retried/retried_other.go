//go:build unix && !linux

package retried

import "golang.org/x/sys/unix"

func Dup2(from, to int) error {
	return only(func() error { return unix.Dup2(from, to) })
}
