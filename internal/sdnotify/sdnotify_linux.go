package sdnotify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/daemonocle/daemonocle/internal/retried"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// Conn is the connection to a service manager. Its methods may be called
// concurrently; those of a nil Conn do nothing.
type Conn struct {
	address string

	mu     sync.Mutex // never held while anything waits
	fd     int
	silent bool            // another process is the main one
	queue  []*notification // for which the manager has no room yet
	idle   chan struct{}   // closed when the queue is empty again; nil: it is
	late   error           // of what had to wait
}

// notification is one message.
type notification struct {
	text, rights []byte
	until        time.Time    // when it is given up
	sent         chan<- error // buffered; nil: nobody waits for it
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
	if err := retried.Connect(fd, &unix.SockaddrUnix{Name: address}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// FD is the connected socket, for a successor to inherit.
func (c *Conn) FD() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fd
}

// Adopt is the connection of which a predecessor has handed over the socket. The
// manager is told by the kernel who sends each message.
func Adopt(fd int, address string) *Conn { return &Conn{address: address, fd: fd} }

// Address is the one that was dialled.
func (c *Conn) Address() string { return c.address }

// Send tells the manager; the fields are one message. It never waits: while the manager
// has no room, messages queue up in their order, and one replaces an earlier one of the
// same fields. The error of a message that had to wait is the next call's.
func (c *Conn) Send(fields ...string) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent {
		return nil
	}
	return c.post(&notification{text: []byte(strings.Join(fields, "\n"))})
}

// Flush waits for what Send has left in the queue, for a process that is about to end:
// it is sent, or given up.
func (c *Conn) Flush() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	if idle != nil {
		<-idle
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.takeLate()
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
	sent := make(chan error, 2)
	both := []*notification{
		{text: []byte(mainPID(pid)), sent: sent},
		{text: []byte("BARRIER=1"), rights: unix.UnixRights(pipe[1]), sent: sent},
	}
	c.mu.Lock()
	c.silent = true
	for _, n := range both {
		c.post(n)
	}
	c.mu.Unlock()
	var err error
	for range both {
		select {
		case one := <-sent:
			err = cmp.Or(err, one)
		case <-ctx.Done():
			err = cmp.Or(err, fmt.Errorf("wait for the service manager: %w", context.Cause(ctx)))
		}
	}
	c.mu.Lock()
	c.queue = slices.DeleteFunc(c.queue, func(n *notification) bool { return slices.Contains(both, n) })
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
	return c.post(&notification{text: []byte(mainPID(os.Getpid()))})
}

// post sends the notification, or leaves it in the queue. c.mu is held. The error is for
// a notification for which nobody waits.
func (c *Conn) post(n *notification) error {
	if len(c.queue) == 0 {
		if err := c.try(n); !errors.Is(err, unix.EAGAIN) {
			c.done(n, err)
			return c.takeLate()
		}
	}
	n.until = time.Now().Add(timing.ManagerHears)
	if n.sent == nil {
		c.queue = slices.DeleteFunc(c.queue, func(earlier *notification) bool {
			return earlier.sent == nil && slices.Equal(names(earlier.text), names(n.text))
		})
	}
	c.queue = append(c.queue, n)
	if c.idle == nil {
		c.idle = make(chan struct{})
		go c.drain(c.idle)
	}
	return c.takeLate()
}

// done notes what has become of a notification. c.mu is held.
func (c *Conn) done(n *notification, err error) {
	switch {
	case n.sent != nil:
		n.sent <- err
	case err != nil:
		c.late = err
	}
}

func (c *Conn) takeLate() error {
	err := c.late
	c.late = nil
	return err
}

// names are those of the message's fields.
func names(text []byte) (list []string) {
	for field := range bytes.SplitSeq(text, []byte("\n")) {
		name, _, _ := bytes.Cut(field, []byte("="))
		list = append(list, string(name))
	}
	return list
}

// drain sends what is in the queue.
func (c *Conn) drain(idle chan<- struct{}) {
	defer close(idle)
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.idle = nil
			c.mu.Unlock()
			return
		}
		n := c.queue[0]
		err := c.try(n)
		left := time.Until(n.until)
		if errors.Is(err, unix.EAGAIN) && left > 0 {
			fd := c.fd // which nobody but this goroutine changes while there is a queue
			c.mu.Unlock()
			retried.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left.Milliseconds())+1)
			continue
		}
		c.queue = c.queue[1:]
		c.done(n, err)
		c.mu.Unlock()
	}
}

// try sends without waiting. c.mu is held.
func (c *Conn) try(n *notification) error {
	err := c.write(n)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTCONN) {
		// The manager has made a new socket. From a chroot it is out of reach.
		if fd, again := connect(c.address); again == nil {
			unix.Close(c.fd)
			c.fd = fd
			err = c.write(n)
		}
	}
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

func (c *Conn) write(n *notification) error {
	return retried.Sendmsg(c.fd, n.text, n.rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
}

// Reloading begins a reload, which Ready ends. The manager compares the time with
// its own to tell this reload from an earlier one, and ignores a message without.
func Reloading() string {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return "RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10)
}
