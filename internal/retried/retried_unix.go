//go:build unix

// Package retried has the system calls that a signal can interrupt, each made again when
// that happens: none of them returns EINTR.
//
// Go's runtime asks the kernel to restart what its signal handlers interrupt, and package
// os takes care of the rest of its own calls. For a call that is made directly this is
// not enough. Linux never restarts poll, ppoll, select, epoll_wait and nanosleep after a
// handler, nor accept, connect, and what sends and receives on a socket with a timeout;
// some of these end with EINTR after a mere stop and SIGCONT, without any handler. A
// handler of a C library's need not ask for restarts, nor need a tracer or a seccomp
// supervisor grant them. And everything that has to do with a file can end with EINTR on
// FUSE, NFS and CIFS, whose server was waited for; fallocate does on tmpfs and ext4.
//
// Two calls are not here. close must not be made again: the descriptor is gone with the
// first one, and may be another file's. fcntl waits for nothing but F_SETLKW, which
// FcntlFlock makes.
package retried

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func value[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if err != unix.EINTR {
			return v, err
		}
	}
}

func only(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// Files.

func Open(path string, flags int, mode uint32) (int, error) {
	return value(func() (int, error) { return unix.Open(path, flags, mode) })
}

func Openat(dir int, path string, flags int, mode uint32) (int, error) {
	return value(func() (int, error) { return unix.Openat(dir, path, flags, mode) })
}

func Read(fd int, b []byte) (int, error) {
	return value(func() (int, error) { return unix.Read(fd, b) })
}

func Pread(fd int, b []byte, offset int64) (int, error) {
	return value(func() (int, error) { return unix.Pread(fd, b, offset) })
}

func Write(fd int, b []byte) (int, error) {
	return value(func() (int, error) { return unix.Write(fd, b) })
}

func Pwrite(fd int, b []byte, offset int64) (int, error) {
	return value(func() (int, error) { return unix.Pwrite(fd, b, offset) })
}

func Ftruncate(fd int, size int64) error {
	return only(func() error { return unix.Ftruncate(fd, size) })
}

func Fstat(fd int, st *unix.Stat_t) error {
	return only(func() error { return unix.Fstat(fd, st) })
}

func Stat(path string, st *unix.Stat_t) error {
	return only(func() error { return unix.Stat(path, st) })
}

func Lstat(path string, st *unix.Stat_t) error {
	return only(func() error { return unix.Lstat(path, st) })
}

func Fstatat(dir int, path string, st *unix.Stat_t, flags int) error {
	return only(func() error { return unix.Fstatat(dir, path, st, flags) })
}

func Access(path string, mode uint32) error {
	return only(func() error { return unix.Access(path, mode) })
}

func Faccessat(dir int, path string, mode uint32, flags int) error {
	return only(func() error { return unix.Faccessat(dir, path, mode, flags) })
}

func Readlinkat(dir int, path string, b []byte) (int, error) {
	return value(func() (int, error) { return unix.Readlinkat(dir, path, b) })
}

func Unlinkat(dir int, path string, flags int) error {
	return only(func() error { return unix.Unlinkat(dir, path, flags) })
}

func Mkdirat(dir int, path string, mode uint32) error {
	return only(func() error { return unix.Mkdirat(dir, path, mode) })
}

func Fchmod(fd int, mode uint32) error {
	return only(func() error { return unix.Fchmod(fd, mode) })
}

func Fchown(fd, uid, gid int) error {
	return only(func() error { return unix.Fchown(fd, uid, gid) })
}

func Fchownat(dir int, path string, uid, gid, flags int) error {
	return only(func() error { return unix.Fchownat(dir, path, uid, gid, flags) })
}

func Fchdir(fd int) error {
	return only(func() error { return unix.Fchdir(fd) })
}

func Chroot(path string) error {
	return only(func() error { return unix.Chroot(path) })
}

func FcntlFlock(fd uintptr, cmd int, l *unix.Flock_t) error {
	return only(func() error { return unix.FcntlFlock(fd, cmd, l) })
}

func Flock(fd, how int) error {
	return only(func() error { return unix.Flock(fd, how) })
}

// Sockets, and what waits.

func Connect(fd int, to unix.Sockaddr) error {
	return only(func() error { return unix.Connect(fd, to) })
}

func SendmsgN(fd int, b, oob []byte, to unix.Sockaddr, flags int) (int, error) {
	return value(func() (int, error) { return unix.SendmsgN(fd, b, oob, to, flags) })
}

// Poll waits for the timeout, in milliseconds, in all.
func Poll(fds []unix.PollFd, timeout int) (int, error) {
	end := time.Now().Add(time.Duration(timeout) * time.Millisecond)
	return value(func() (int, error) {
		n, err := unix.Poll(fds, timeout)
		if timeout > 0 {
			timeout = int((max(time.Until(end), 0) + time.Millisecond - 1).Milliseconds())
		}
		return n, err
	})
}

func Wait4(pid int, status *syscall.WaitStatus, options int, usage *syscall.Rusage) (int, error) {
	return value(func() (int, error) { return syscall.Wait4(pid, status, options, usage) })
}
