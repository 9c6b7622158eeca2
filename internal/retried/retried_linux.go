package retried

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func Fallocate(fd int, mode uint32, offset, size int64) (err error) {
	for {
		if err = unix.Fallocate(fd, mode, offset, size); err != unix.EINTR {
			return err
		}
	}
}

func Statfs(path string, st *unix.Statfs_t) (err error) {
	for {
		if err = unix.Statfs(path, st); err != unix.EINTR {
			return err
		}
	}
}

func Fstatfs(fd int, st *unix.Statfs_t) (err error) {
	for {
		if err = unix.Fstatfs(fd, st); err != unix.EINTR {
			return err
		}
	}
}

func Getdents(fd int, b []byte) (n int, err error) {
	for {
		if n, err = unix.Getdents(fd, b); err != unix.EINTR {
			return n, err
		}
	}
}

func Dup3(from, to, flags int) (err error) {
	for {
		if err = unix.Dup3(from, to, flags); err != unix.EINTR {
			return err
		}
	}
}

func Getrandom(b []byte, flags int) (n int, err error) {
	for {
		if n, err = unix.Getrandom(b, flags); err != unix.EINTR {
			return n, err
		}
	}
}

// Accept4 does not say who has connected, nor Recvmsg who has sent: the x/sys functions that
// do link every address family there is.
func Accept4(fd, flags int) (n int, err error) {
	for {
		if n, _, err = syscall.Accept4(fd, flags); err != unix.EINTR {
			return n, err
		}
	}
}

func Sendmsg(fd int, b, oob []byte, to unix.Sockaddr, flags int) (err error) {
	for {
		if err = unix.Sendmsg(fd, b, oob, to, flags); err != unix.EINTR {
			return err
		}
	}
}

func Recvmsg(fd int, b, oob []byte, flags int) (n, oobn, got int, err error) {
	for {
		if n, oobn, got, _, err = syscall.Recvmsg(fd, b, oob, flags); err != unix.EINTR {
			return n, oobn, got, err
		}
	}
}

func Waitid(kind, id int, info *unix.Siginfo, options int, usage *unix.Rusage) (err error) {
	for {
		if err = unix.Waitid(kind, id, info, options, usage); err != unix.EINTR {
			return err
		}
	}
}

// Nanosleep sleeps for all of the time.
func Nanosleep(t unix.Timespec) (err error) {
	for {
		if err = unix.Nanosleep(&t, &t); err != unix.EINTR {
			return err
		}
	}
}
