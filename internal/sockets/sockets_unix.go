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

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/retried"
	"github.com/daemonocle/daemonocle/internal/timing"
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

// place is where the file of a Unix socket is, or will be.
type place struct {
	dir     int // the directory, however its name may lead elsewhere later
	base    string
	address string // by which the kernel finds the file in that directory
}

// at finds the place of a path. No system call binds a socket relative to a descriptor:
// where somebody could lead the path elsewhere meanwhile, the address goes through /proc.
func at(path string) (place, error) {
	n := paths.Name{Path: path}
	dir, base, steady, err := n.SteadyDir()
	if err != nil {
		return place{}, err
	}
	p := place{dir, base, path}
	if !steady {
		p.address = "/proc/self/fd/" + strconv.Itoa(dir) + "/" + base
		there, err := fileid.OfFD(dir)
		through, missing := fileid.OfPath(filepath.Dir(p.address))
		if len(p.address) > maxPath || err != nil || missing != nil || there != through {
			unix.Close(dir)
			return place{}, &os.PathError{Op: "use", Path: path, Err: errors.New("somebody else can exchange a directory on the way, and there is no /proc to go past him")}
		}
	}
	return p, nil
}

func (p place) close() { unix.Close(p.dir) }

// identify tells a file from every other that exists at the same time.
func (p place) identify() string {
	var st unix.Stat_t
	if retried.Fstatat(p.dir, p.base, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return ""
	}
	return fileid.Of(&st).String()
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
// a dead process has left behind. identity is that of the file, if there is one.
func create(ctx context.Context, network, address string, shared bool) (ln net.Listener, identity string, err error) {
	if network != "unix" || strings.HasPrefix(address, "@") {
		ln, err := listen(ctx, network, address, shared)
		return ln, "", err
	}
	p, err := at(address)
	if err != nil {
		return nil, "", fmt.Errorf("listen %s %s: %w", network, address, err)
	}
	defer p.close()
	ln, err = p.create(ctx, address)
	if err != nil {
		return nil, "", err
	}
	return ln, p.identify(), nil
}

func (p place) create(ctx context.Context, path string) (net.Listener, error) {
	ln, err := listen(ctx, "unix", p.address, false)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ln, p.named(err, path)
	}
	err = p.named(err, path)
	was := p.identify()
	if was == "" || !p.dead() {
		return nil, p.taken(err)
	}
	// Whoever removes the file of a dead one must not remove that of another
	// process, which has come to the same conclusion a moment earlier.
	unlock, locked := p.lock(ctx, path)
	if locked != nil {
		return nil, fmt.Errorf("%w; nobody may be listening there, but %w", err, locked)
	}
	defer unlock()
	was = p.identify()
	// Between the birth of a file and that of its socket there is a moment in which
	// it looks like a dead one's. To try again outlasts it: the kernel locks the
	// directory for both.
	if ln, err := listen(ctx, "unix", p.address, false); !errors.Is(err, syscall.EADDRINUSE) {
		return ln, p.named(err, path)
	}
	if was == "" || !p.dead() || p.identify() != was {
		return nil, p.taken(err)
	}
	if err := retried.Unlinkat(p.dir, p.base, 0); err != nil {
		return nil, fmt.Errorf("listen unix %s: remove what a dead process has left: %w", path, err)
	}
	ln, err = listen(ctx, "unix", p.address, false)
	return ln, p.named(err, path)
}

// taken says what has the path, and whose it is.
func (p place) taken(err error) error {
	var st unix.Stat_t
	if retried.Fstatat(p.dir, p.base, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return err
	}
	kind := "file"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		kind = "symbolic link"
	case unix.S_IFSOCK:
		kind = "socket"
	}
	return fmt.Errorf("%w by a %s of user %d", err, kind, st.Uid)
}

// named lets an error speak of the path that was asked for.
func (p place) named(err error, path string) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && p.address != path {
		op.Addr = &net.UnixAddr{Name: path, Net: "unix"}
	}
	return err
}

// dead reports whether the file is a socket's that nobody has open any more. A
// datagram socket that connects to a stream socket is refused in one way if that
// lives, in another if it does not, and leaves no trace there.
func (p place) dead() bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	unix.CloseOnExec(fd)
	return retried.Connect(fd, &unix.SockaddrUnix{Name: p.address}) == unix.ECONNREFUSED
}

// removeDead removes the file of a socket, if it is that one and nobody has it open
// any more. A file that may not be removed, as after a change of user, stays: it
// is in nobody's way.
func removeDead(path, identity string) {
	p, err := at(path)
	if err != nil {
		return
	}
	defer p.close()
	if p.identify() != identity || !p.dead() {
		return
	}
	unlock, err := p.lock(context.Background(), path)
	if err != nil {
		return
	}
	defer unlock()
	if p.identify() == identity && p.dead() {
		retried.Unlinkat(p.dir, p.base, 0)
	}
}

// lock keeps others of our kind from removing the socket's file at the path. Its own file is
// for this user alone, for whoever can open a file can lock it, and goes with the lock. One
// that a dead process has left is as good as a new one.
func (p place) lock(ctx context.Context, path string) (unlock func(), err error) {
	ctx, stop := context.WithTimeout(ctx, timing.SocketLocked)
	defer stop()
	name := "." + p.base + ".lock"
	for {
		fd, err := retried.Openat(p.dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
		if err == nil {
			if err = retried.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil {
				if p.names(name, fd) {
					return func() {
						retried.Unlinkat(p.dir, name, 0)
						unix.Close(fd)
					}, nil
				}
				err = unix.EWOULDBLOCK // its holder has removed it meanwhile
			}
			unix.Close(fd)
		}
		if err != unix.EWOULDBLOCK || ctx.Err() != nil {
			return nil, &os.PathError{Op: "lock", Path: filepath.Join(filepath.Dir(path), name), Err: err}
		}
		time.Sleep(time.Millisecond)
	}
}

// names reports whether the name in the directory is that of the open file.
func (p place) names(name string, fd int) bool {
	var st unix.Stat_t
	open, err := fileid.OfFD(fd)
	return err == nil && retried.Fstatat(p.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && fileid.Of(&st) == open
}
