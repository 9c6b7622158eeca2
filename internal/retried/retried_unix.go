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
//
// Each has a loop of its own: one for all, which is given the call, would be written out by
// the compiler wherever a function of this package is used, 25 KB of it.
package retried

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Files.

func Open(path string, flags int, mode uint32) (n int, err error) {
	for {
		if n, err = unix.Open(path, flags, mode); err != unix.EINTR {
			return n, err
		}
	}
}

func Openat(dir int, path string, flags int, mode uint32) (n int, err error) {
	for {
		if n, err = unix.Openat(dir, path, flags, mode); err != unix.EINTR {
			return n, err
		}
	}
}

func Read(fd int, b []byte) (n int, err error) {
	for {
		if n, err = unix.Read(fd, b); err != unix.EINTR {
			return n, err
		}
	}
}

func Pread(fd int, b []byte, offset int64) (n int, err error) {
	for {
		if n, err = unix.Pread(fd, b, offset); err != unix.EINTR {
			return n, err
		}
	}
}

func Write(fd int, b []byte) (n int, err error) {
	for {
		if n, err = unix.Write(fd, b); err != unix.EINTR {
			return n, err
		}
	}
}

func Pwrite(fd int, b []byte, offset int64) (n int, err error) {
	for {
		if n, err = unix.Pwrite(fd, b, offset); err != unix.EINTR {
			return n, err
		}
	}
}

func Ftruncate(fd int, size int64) (err error) {
	for {
		if err = unix.Ftruncate(fd, size); err != unix.EINTR {
			return err
		}
	}
}

// Fstat is called from many places, each of which would be larger with its code.
//
//go:noinline
func Fstat(fd int, st *unix.Stat_t) (err error) {
	for {
		if err = unix.Fstat(fd, st); err != unix.EINTR {
			return err
		}
	}
}

func Stat(path string, st *unix.Stat_t) (err error) {
	for {
		if err = unix.Stat(path, st); err != unix.EINTR {
			return err
		}
	}
}

func Lstat(path string, st *unix.Stat_t) (err error) {
	for {
		if err = unix.Lstat(path, st); err != unix.EINTR {
			return err
		}
	}
}

// Fstatat is called from many places, each of which would be larger with its code.
//
//go:noinline
func Fstatat(dir int, path string, st *unix.Stat_t, flags int) (err error) {
	for {
		if err = unix.Fstatat(dir, path, st, flags); err != unix.EINTR {
			return err
		}
	}
}

func Access(path string, mode uint32) (err error) {
	for {
		if err = unix.Access(path, mode); err != unix.EINTR {
			return err
		}
	}
}

func Faccessat(dir int, path string, mode uint32, flags int) (err error) {
	for {
		if err = unix.Faccessat(dir, path, mode, flags); err != unix.EINTR {
			return err
		}
	}
}

func Readlinkat(dir int, path string, b []byte) (n int, err error) {
	for {
		if n, err = unix.Readlinkat(dir, path, b); err != unix.EINTR {
			return n, err
		}
	}
}

func Unlinkat(dir int, path string, flags int) (err error) {
	for {
		if err = unix.Unlinkat(dir, path, flags); err != unix.EINTR {
			return err
		}
	}
}

func Renameat(fromDir int, from string, toDir int, to string) (err error) {
	for {
		if err = unix.Renameat(fromDir, from, toDir, to); err != unix.EINTR {
			return err
		}
	}
}

func Mkdirat(dir int, path string, mode uint32) (err error) {
	for {
		if err = unix.Mkdirat(dir, path, mode); err != unix.EINTR {
			return err
		}
	}
}

func Fchmod(fd int, mode uint32) (err error) {
	for {
		if err = unix.Fchmod(fd, mode); err != unix.EINTR {
			return err
		}
	}
}

func Fchown(fd, uid, gid int) (err error) {
	for {
		if err = unix.Fchown(fd, uid, gid); err != unix.EINTR {
			return err
		}
	}
}

func Fchownat(dir int, path string, uid, gid, flags int) (err error) {
	for {
		if err = unix.Fchownat(dir, path, uid, gid, flags); err != unix.EINTR {
			return err
		}
	}
}

func Fchdir(fd int) (err error) {
	for {
		if err = unix.Fchdir(fd); err != unix.EINTR {
			return err
		}
	}
}

func Chroot(path string) (err error) {
	for {
		if err = unix.Chroot(path); err != unix.EINTR {
			return err
		}
	}
}

func FcntlFlock(fd uintptr, cmd int, l *unix.Flock_t) (err error) {
	for {
		if err = unix.FcntlFlock(fd, cmd, l); err != unix.EINTR {
			return err
		}
	}
}

func Flock(fd, how int) (err error) {
	for {
		if err = unix.Flock(fd, how); err != unix.EINTR {
			return err
		}
	}
}

// Sockets, and what waits.

func Connect(fd int, to unix.Sockaddr) (err error) {
	for {
		if err = unix.Connect(fd, to); err != unix.EINTR {
			return err
		}
	}
}

func SendmsgN(fd int, b, oob []byte, to unix.Sockaddr, flags int) (n int, err error) {
	for {
		if n, err = unix.SendmsgN(fd, b, oob, to, flags); err != unix.EINTR {
			return n, err
		}
	}
}

// Poll waits for the timeout, in milliseconds, in all.
func Poll(fds []unix.PollFd, timeout int) (n int, err error) {
	end := time.Now().Add(time.Duration(timeout) * time.Millisecond)
	for {
		if n, err = unix.Poll(fds, timeout); err != unix.EINTR {
			return n, err
		}
		if timeout > 0 {
			timeout = int((max(time.Until(end), 0) + time.Millisecond - 1).Milliseconds())
		}
	}
}

func Wait4(pid int, status *syscall.WaitStatus, options int, usage *syscall.Rusage) (n int, err error) {
	for {
		if n, err = syscall.Wait4(pid, status, options, usage); err != unix.EINTR {
			return n, err
		}
	}
}
