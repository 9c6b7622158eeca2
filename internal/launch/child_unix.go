//go:build unix

package launch

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func workingDirectory() string {
	dir, err := syscall.Getwd()
	if err != nil {
		return ""
	}
	return dir
}

// enter takes up the role that the token names. A token that is not from a
// launcher of ours is ignored: the program then does what its arguments say.
func enter(token string) {
	role, numbers, _ := strings.Cut(token, ":")
	var fds []int
	for s := range strings.SplitSeq(numbers, ":") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 3 {
			return
		}
		fds = append(fds, n)
	}
	if !trusted(fds[0]) {
		return
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	switch role {
	case "stage":
		os.Exit(stage(fds))
	case "daemon":
		m, err := receive(reader(fds[0]))
		if err != nil {
			return
		}
		h, ok := parseHello(m)
		if !ok {
			return
		}
		setName(h.comm)
		child = &Child{Hello: h, fd: fds[0], inherited: sealInherited()}
	}
}

// reader reads the blocking descriptor itself: nothing else runs yet.
type reader int

func (r reader) Read(b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(r), b)
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 {
			return 0, errors.Join(err, os.ErrClosed)
		}
		return n, nil
	}
}

func send(fd int, m Message) {
	b := m.encode()
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN { // a launcher that is stopped
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
			continue
		}
		if err != nil || n <= 0 {
			return // the launcher is gone: nobody is there to be told
		}
		b = b[n:]
	}
}

// stage starts the daemon from within the new session and ends.
func stage(fds []int) int {
	defaultSignals()
	pid, err := spawn("daemon", fds[:1], [3]int{0, 1, 2}, stageAttr())
	if err != nil {
		send(fds[0], failure("start the daemon", err))
		return 1
	}
	send(fds[0], Message{Kind: spawned, PID: pid})
	return stay(pid, fds)
}

func failure(act string, err error) Message {
	m := Message{Kind: Failed, Text: act + ": " + err.Error()}
	var e syscall.Errno
	if errors.As(err, &e) {
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
	if c.conn == nil {
		unix.SetNonblock(c.fd, true)
		c.conn = os.NewFile(uintptr(c.fd), "launcher")
	}
	return c.conn, nil
}

// Send tells the launcher. A launcher that is gone is no error. It writes to the
// descriptor itself, so that the first words need not wait for the poller.
func (c *Child) Send(m Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		send(c.fd, m)
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
		c.closed = true
		c.mu.Unlock()
		f.Close()
	}
}

// inherited is a descriptor that the caller had open when the program started.
type inherited struct {
	fd       int
	dev, ino uint64
}

// sealInherited makes the caller's descriptors close-on-exec and remembers
// which files they were.
func sealInherited() []inherited {
	var list []inherited
	for _, fd := range inheritable() {
		syscall.CloseOnExec(fd)
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			list = append(list, inherited{fd, uint64(st.Dev), uint64(st.Ino)})
		}
	}
	return list
}

// CloseInherited closes the caller's descriptors, unless the program has made
// other use of the number meanwhile.
func (c *Child) CloseInherited() {
	for _, i := range c.inherited {
		var st unix.Stat_t
		if unix.Fstat(i.fd, &st) == nil && uint64(st.Dev) == i.dev && uint64(st.Ino) == i.ino {
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
