//go:build unix

package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxPath: the zero byte at the end is not counted.
const maxPath = len(unix.RawSockaddrUnix{}.Path) - 1

// listening reports whether the descriptor is a stream socket that accepts
// connections.
func listening(fd int) bool {
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || typ != unix.SOCK_STREAM {
		return false
	}
	accepts, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && accepts == 1
}

// duplicate does without the File method of the listener, whose descriptor may
// become a blocking one for all who share the socket.
func duplicate(k *socket) (*os.File, error) {
	c, err := k.listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dup error
	if err := c.Control(func(old uintptr) { fd, dup = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return nil, err
	}
	if dup != nil {
		return nil, os.NewSyscallError("fcntl", dup)
	}
	return os.NewFile(uintptr(fd), k.String()), nil
}

// identify tells a file from every other that exists at the same time.
func identify(path string) string {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return ""
	}
	return strconv.FormatUint(uint64(st.Dev), 16) + ":" + strconv.FormatUint(uint64(st.Ino), 16)
}

func listen(ctx context.Context, network, address string, shared bool) (net.Listener, error) {
	var c net.ListenConfig
	if shared && network != "unix" {
		c.Control = reusePort
	}
	return c.Listen(ctx, network, address)
}

func reusePort(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return errors.Join(err, os.NewSyscallError("setsockopt", set))
}

// create makes a new socket, if need be in the place of a Unix socket's file that
// a dead process has left behind.
func create(ctx context.Context, network, address string, shared bool) (net.Listener, error) {
	ln, err := listen(ctx, network, address, shared)
	if network != "unix" || strings.HasPrefix(address, "@") || !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	// Whoever removes the file of a dead one must not remove that of another
	// process, which has come to the same conclusion a moment earlier.
	unlock, locked := lockDirectory(ctx, filepath.Dir(address))
	if locked != nil {
		return nil, fmt.Errorf("%w; nobody may be listening there, but %w", err, locked)
	}
	defer unlock()
	was := identify(address)
	if was == "" || !dead(address) {
		return nil, err
	}
	// Between the birth of a file and that of its socket there is a moment in which
	// it looks like a dead one's. To try again outlasts it: the kernel locks the
	// directory for both.
	if ln, err = listen(ctx, network, address, shared); !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	if !dead(address) || identify(address) != was {
		return nil, err
	}
	if err := unix.Unlink(address); err != nil {
		return nil, fmt.Errorf("listen unix %s: remove what a dead process has left: %w", address, err)
	}
	return listen(ctx, network, address, shared)
}

// dead reports whether the file is a socket's that nobody has open any more. A
// datagram socket that connects to a stream socket is refused in one way if that
// lives, in another if it does not, and leaves no trace there.
func dead(path string) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	unix.CloseOnExec(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) == unix.ECONNREFUSED
}

// removeDead removes the file of a socket, if it is that one and nobody has it open
// any more. A file that may not be removed, as after a change of user, stays: it
// is in nobody's way.
func removeDead(path, identity string) {
	if identify(path) != identity || !dead(path) {
		return
	}
	unlock, err := lockDirectory(context.Background(), filepath.Dir(path))
	if err != nil {
		return
	}
	defer unlock()
	if identify(path) == identity && dead(path) {
		unix.Unlink(path)
	}
}

// lockPatience: nobody who means well holds the lock for longer than a few system
// calls take.
const lockPatience = time.Second

// lockDirectory keeps others of our kind from removing files there. A lock on the
// directory needs no file of its own, and ends with the process.
func lockDirectory(ctx context.Context, dir string) (unlock func(), err error) {
	ctx, stop := context.WithTimeout(ctx, lockPatience)
	defer stop()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	for {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { unix.Close(fd) }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || ctx.Err() != nil {
			unix.Close(fd)
			return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
		}
		time.Sleep(time.Millisecond)
	}
}
