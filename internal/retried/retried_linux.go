package retried

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func Fallocate(fd int, mode uint32, offset, size int64) error {
	return only(func() error { return unix.Fallocate(fd, mode, offset, size) })
}

func Statfs(path string, st *unix.Statfs_t) error {
	return only(func() error { return unix.Statfs(path, st) })
}

func Fstatfs(fd int, st *unix.Statfs_t) error {
	return only(func() error { return unix.Fstatfs(fd, st) })
}

func Getdents(fd int, b []byte) (int, error) {
	return value(func() (int, error) { return unix.Getdents(fd, b) })
}

func ReadDirent(fd int, b []byte) (int, error) {
	return value(func() (int, error) { return unix.ReadDirent(fd, b) })
}

func Dup3(from, to, flags int) error {
	return only(func() error { return unix.Dup3(from, to, flags) })
}

func Getrandom(b []byte, flags int) (int, error) {
	return value(func() (int, error) { return unix.Getrandom(b, flags) })
}

// Accept4 does not say who has connected, nor Recvmsg who has sent: the x/sys functions that
// do link every address family there is.
func Accept4(fd, flags int) (int, error) {
	return value(func() (n int, err error) {
		n, _, err = syscall.Accept4(fd, flags)
		return n, err
	})
}

func Sendmsg(fd int, b, oob []byte, to unix.Sockaddr, flags int) error {
	return only(func() error { return unix.Sendmsg(fd, b, oob, to, flags) })
}

func Recvmsg(fd int, b, oob []byte, flags int) (n, oobn, got int, err error) {
	err = only(func() error {
		n, oobn, got, _, err = syscall.Recvmsg(fd, b, oob, flags)
		return err
	})
	return n, oobn, got, err
}

func Waitid(kind, id int, info *unix.Siginfo, options int, usage *unix.Rusage) error {
	return only(func() error { return unix.Waitid(kind, id, info, options, usage) })
}

// Nanosleep sleeps for all of the time.
func Nanosleep(t unix.Timespec) error {
	return only(func() error { return unix.Nanosleep(&t, &t) })
}
