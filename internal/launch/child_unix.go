//go:build unix

package launch

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

func workingDirectory() string {
	dir, err := syscall.Getwd()
	if err != nil {
		return ""
	}
	return dir
}

// token is the variable's value: role, number of daemons, descriptors.
func token(role string, daemons int, fds []int) string {
	b := append([]byte(role), ':')
	b = strconv.AppendInt(b, int64(daemons), 10)
	for _, fd := range fds {
		b = append(b, ':')
		b = strconv.AppendInt(b, int64(fd), 10)
	}
	return string(b)
}

func parseToken(token string) (role string, daemons int, fds []int, ok bool) {
	role, numbers, _ := strings.Cut(token, ":")
	for i, s := range strings.Split(numbers, ":") {
		n, err := strconv.Atoi(s)
		switch {
		case err != nil || n < 1:
			return "", 0, nil, false
		case i == 0:
			daemons = n
		case n < 3:
			return "", 0, nil, false
		default:
			fds = append(fds, n)
		}
	}
	return role, daemons, fds, len(fds) >= daemons
}

// enter takes up the role that the token names. A token that is not from a
// launcher of ours is ignored: the program then does what its arguments say.
func enter(token string) {
	role, daemons, fds, ok := parseToken(token)
	if !ok {
		return
	}
	for _, fd := range fds[:daemons] {
		if !trusted(fd) {
			return
		}
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	switch role {
	case "stage":
		os.Exit(runStage(daemons, fds))
	case "daemon":
		m, err := receive(reader(fds[0]))
		if err != nil {
			return
		}
		h, ok := parseHello(m)
		if !ok || len(h.Files) != len(fds)-1 {
			return
		}
		setName(h.comm)
		origin.comm = h.comm // for a successor
		child = &Child{Hello: h, fd: fds[0], files: fds[1:], inherited: sealInherited()}
	}
}

// reader reads the blocking descriptor itself: nothing else runs yet.
type reader int

func (r reader) Read(b []byte) (int, error) {
	n, err := retried.Read(int(r), b)
	if n <= 0 {
		return 0, errors.Join(err, os.ErrClosed)
	}
	return n, nil
}

func send(fd int, m Message) {
	b := m.encode()
	for len(b) > 0 {
		n, err := retried.Write(fd, b)
		if err == syscall.EAGAIN { // a launcher that is stopped
			retried.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
			continue
		}
		if err != nil || n <= 0 {
			return // the launcher is gone: nobody is there to be told
		}
		b = b[n:]
	}
}

// runStage starts the daemons from within the new session and ends.
func runStage(daemons int, fds []int) int {
	defaultSignals()
	sockets, rest := fds[:daemons], fds[daemons:]
	if len(rest) < daemons-1 {
		return 1
	}
	stderrs := append([]int{2}, rest[:daemons-1]...)
	files, life := lifeEnd(rest[daemons-1:])
	t, err := newTemplate()
	for i, socket := range sockets {
		pid, err := 0, err
		if err == nil {
			pid, err = t.spawn("daemon", 1, append([]int{socket}, files...), [3]int{0, 1, stderrs[i]}, stageAttr())
		}
		if err != nil {
			send(socket, failure("start the daemon", err))
			continue
		}
		send(socket, Message{Kind: spawned, PID: pid})
		spawnedOne(pid, socket)
	}
	return stay(life)
}

func failure(act string, err error) Message {
	m := Message{Kind: Failed, Text: act + ": " + err.Error()}
	if e, is := errors.AsType[syscall.Errno](err); is {
		m.Code = int(e)
	}
	return m
}

// open makes the descriptor one that the runtime's poller waits on.
func (c *Child) open() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, os.ErrClosed
	}
	return c.file(), nil
}

// file is open for who holds c.mu.
func (c *Child) file() *os.File {
	if c.conn == nil {
		unix.SetNonblock(c.fd, true)
		c.conn = os.NewFile(uintptr(c.fd), "launcher")
	}
	return c.conn
}

// Send tells the launcher. A launcher that is gone is no error. It never waits: while the
// launcher does not read, as when it is stopped, messages queue up in their order. There
// are few of them, for a note takes the place of one that waits still. It writes to the
// descriptor itself, so that the first words need not wait for the poller.
func (c *Child) Send(m Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.queue = slices.DeleteFunc(c.queue, func(o outgoing) bool { return o.note && m.Kind == Note })
	c.queue = append(c.queue, outgoing{m.encode(), m.Kind == Note})
	if c.idle == nil && !c.flush() {
		c.idle = make(chan struct{})
		go c.drain(c.file(), c.idle)
	}
}

// flush writes as much of the queue as there is room for, and reports whether that is all.
// c.mu is held.
func (c *Child) flush() bool {
	for len(c.queue) > 0 {
		first := &c.queue[0]
		n, err := retried.SendmsgN(c.fd, first.bytes, nil, nil, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			return false
		case err != nil: // the launcher is gone: nobody is there to be told
			c.queue = nil
		case n < len(first.bytes):
			first.bytes, first.note = first.bytes[n:], false
		default:
			c.queue = c.queue[1:]
		}
	}
	return true
}

// drain writes the queue as soon as there is room, until it is empty or the connection is
// closed.
func (c *Child) drain(conn *os.File, idle chan struct{}) {
	defer close(idle)
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Write(func(uintptr) (done bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.conn != conn || c.closed || c.flush() {
				if c.idle == idle {
					c.idle = nil
				}
				return true
			}
			return false
		})
	}
	if err != nil { // closed, or it cannot be waited for: the next message tries again
		c.mu.Lock()
		if c.idle == idle {
			c.idle = nil
		}
		c.mu.Unlock()
	}
}

// Flush waits until the launcher has room for all that Send has left in the queue, or is
// gone. It is for a process that is about to end, or to be another program.
func (c *Child) Flush(ctx context.Context) {
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// Receive waits for the launcher's next word; an error means that it is gone.
func (c *Child) Receive() (Message, error) {
	f, err := c.open()
	if err != nil {
		return Message{}, err
	}
	return receive(f)
}

// Close lets go of the launcher.
func (c *Child) Close() {
	if f, err := c.open(); err == nil {
		c.mu.Lock()
		c.closed, c.queue, c.idle = true, nil, nil
		c.mu.Unlock()
		f.Close()
	}
}

// inherited is a descriptor that the caller had open when the program started.
type inherited struct {
	fd   int
	file fileid.ID
}

// sealInherited makes the caller's descriptors close-on-exec and remembers
// which files they were.
func sealInherited() []inherited {
	var list []inherited
	for _, fd := range inheritable() {
		syscall.CloseOnExec(fd)
		if id, err := fileid.OfFD(fd); err == nil {
			list = append(list, inherited{fd, id})
		}
	}
	return list
}

// Files are the files that the launcher has handed over, by name. Whoever calls
// this first has them; they are close-on-exec.
func (c *Child) Files() []*os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	var files []*os.File
	for i, fd := range c.files {
		if fd >= 0 {
			files = append(files, os.NewFile(uintptr(fd), c.Hello.Files[i]))
		}
	}
	c.files = nil
	return files
}

// Take offers the files by their names. A descriptor that is wanted is the caller's from
// then on; it is close-on-exec.
func (c *Child) Take(wants func(name string, fd int) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, fd := range c.files {
		if fd >= 0 && wants(c.Hello.Files[i], fd) {
			c.files[i] = -1
		}
	}
}

// Switch changes to another launcher's descriptor: a keeper's, once its former daemon
// has let this one take its place.
func (c *Child) Switch(fd int) {
	c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fd, c.conn, c.closed = fd, nil, false
}

// HandOn gives the launcher's descriptor for a successor to inherit, -1 if the
// launcher was let go of.
func (c *Child) HandOn() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return -1
	}
	return c.fd
}

// CloseInherited closes the caller's descriptors, unless the program has made
// other use of the number meanwhile.
func (c *Child) CloseInherited() {
	for _, i := range c.inherited {
		if id, err := fileid.OfFD(i.fd); err == nil && id == i.file {
			unix.Close(i.fd)
		}
	}
	c.inherited = nil
}

// CloseInheritable closes, in a process that nobody launched, every descriptor
// from 3 up that would survive an exec, but those in keep: the program's own
// are close-on-exec.
func CloseInheritable(keep func(fd int) bool) {
	for _, fd := range inheritable() {
		if !keep(fd) {
			unix.Close(fd)
		}
	}
}

// SealInheritable makes them close-on-exec.
func SealInheritable() {
	for _, fd := range inheritable() {
		syscall.CloseOnExec(fd)
	}
}
