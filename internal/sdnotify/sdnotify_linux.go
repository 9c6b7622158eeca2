package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is the connection to a service manager. Its methods may be called
// concurrently; those of a nil Conn do nothing.
type Conn struct {
	address string

	mu     sync.Mutex
	fd     int
	silent bool // another process is the main one
}

// Dial connects to the socket that NOTIFY_SOCKET names: a path, or an abstract name
// with a leading @.
func Dial(address string) (*Conn, error) {
	if !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "@") {
		return nil, fmt.Errorf("connect to the service manager: %q is neither a path nor an abstract name", address)
	}
	fd, err := connect(address)
	if err != nil {
		return nil, fmt.Errorf("connect to the service manager: %s: %w", address, err)
	}
	return &Conn{address: address, fd: fd}, nil
}

func connect(address string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: address}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// FD is the connected socket, for a successor to inherit.
func (c *Conn) FD() int { return c.fd }

// Adopt is the connection of which a predecessor has handed over the socket. The
// manager is told by the kernel who sends each message.
func Adopt(fd int, address string) *Conn { return &Conn{address: address, fd: fd} }

// Address is the one that was dialled.
func (c *Conn) Address() string { return c.address }

// patience is for a manager that is busy: its queue has room for few messages.
const patience = 5 * time.Second

// Send tells the manager; the fields are one message.
func (c *Conn) Send(fields ...string) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent {
		return nil
	}
	return c.send([]byte(strings.Join(fields, "\n")), nil)
}

// HandOver makes that process the service's main one, and returns when the manager
// knows: it closes a descriptor that it is sent (sd_notify_barrier(3)). ctx bounds the
// waiting. Send says nothing from then on, for a manager hears the main process only.
func (c *Conn) HandOver(ctx context.Context, pid int) error {
	if c == nil {
		return nil
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("wait for the service manager: %w", err)
	}
	r := os.NewFile(uintptr(pipe[0]), "barrier")
	defer r.Close()
	c.mu.Lock()
	c.silent = true
	err := c.send([]byte(mainPID(pid)), nil)
	if err == nil {
		err = c.send([]byte("BARRIER=1"), unix.UnixRights(pipe[1]))
	}
	c.mu.Unlock()
	unix.Close(pipe[1])
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var b [1]byte
	if _, err := r.Read(b[:]); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for the service manager: %w", context.Cause(ctx))
	}
	return nil // end of file
}

// TakeBack makes this process the main one again.
func (c *Conn) TakeBack() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = false
	return c.send([]byte(mainPID(os.Getpid())), nil)
}

// send is for who holds c.mu.
func (c *Conn) send(message, rights []byte) error {
	err := c.write(message, rights)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTCONN) {
		// The manager has made a new socket. From a chroot it is out of reach.
		if fd, again := connect(c.address); again == nil {
			unix.Close(c.fd)
			c.fd = fd
			err = c.write(message, rights)
		}
	}
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

func (c *Conn) write(message, rights []byte) error {
	end := time.Now().Add(patience)
	for {
		err := unix.Sendmsg(c.fd, message, rights, nil, unix.MSG_NOSIGNAL)
		left := time.Until(end)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN && left > 0:
			unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLOUT}}, int(left.Milliseconds())+1)
		default:
			return err
		}
	}
}

// Reloading begins a reload, which Ready ends. The manager compares the time with
// its own to tell this reload from an earlier one, and ignores a message without.
func Reloading() string {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return "RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10)
}
