//go:build unix

package launch

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// Launch is a launcher's hold on a process that it has started.
type Launch struct {
	conn   *os.File
	in     *bufio.Reader
	stage  *stage // nil if there is none
	stderr *os.File

	reaping sync.Mutex // held around wait4, which only one call can win
	closing sync.Once

	mu     sync.Mutex
	pid    int
	handle *proc.Handle
	status *Status
}

// stage is the process that several launches have come from.
type stage struct {
	pid    int
	reaped sync.Once
	status Status       // once it is reaped
	users  atomic.Int32 // launches that are open
	life   *os.File     // BSD: its end lets the stage go
}

func (s *stage) reap() {
	s.reaped.Do(func() {
		if ws, err := wait4(s.pid); err == nil {
			s.status = StatusOf(ws)
		}
	})
}

// Status is how a process ended.
type Status struct {
	Known bool // false if somebody else took the wait status
	Code  int  // exit code, or minus the signal's number
}

// Detached starts a stage, which starts a daemon for each of the hellos in one new
// session. The daemons inherit the files.
func Detached(hellos []Hello, files []*os.File) ([]*Launch, error) {
	null, err := retried.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/null: %w", err)
	}
	defer unix.Close(null)
	t, err := newTemplate()
	if err != nil {
		return nil, err
	}
	var launches []*Launch
	var theirs []int // ends of the socket pairs
	started := false
	defer func() {
		for _, fd := range theirs {
			unix.Close(fd)
		}
		for _, l := range launches {
			if !started {
				l.conn.Close()
				l.stderr.Close()
			}
		}
	}()
	for _, h := range hellos {
		l := &Launch{}
		if l.stderr, err = scratch(); err != nil {
			return nil, err
		}
		fd, err := l.connect(h)
		if err != nil {
			l.stderr.Close()
			return nil, err
		}
		launches, theirs = append(launches, l), append(theirs, fd)
	}

	fds := slices.Clone(theirs)
	for _, l := range launches[1:] { // the first one's is the stage's own
		fds = append(fds, int(l.stderr.Fd()))
	}
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	life, fds, done, err := lifeline(fds)
	if err != nil {
		return nil, err
	}
	defer done()
	std := [3]int{null, null, int(launches[0].stderr.Fd())}
	pid, err := t.spawn("stage", len(hellos), fds, std, &syscall.SysProcAttr{Setsid: true})
	if err != nil {
		if life != nil {
			life.Close()
		}
		return nil, fmt.Errorf("execute this program again: %w", err)
	}
	runtime.KeepAlive(files)
	started = true
	s := &stage{pid: pid, life: life}
	s.users.Store(int32(len(launches)))
	for _, l := range launches {
		l.stage = s
	}
	return launches, nil
}

// Foreground starts the daemon as a child in its own process group, with this
// process's output and the files. Its input is null where the terminal would stop
// it.
func Foreground(h Hello, files []*os.File) (*Launch, error) {
	h.Foreground = true
	stdin := 0
	if _, err := unix.IoctlGetTermios(0, ioctlGetTermios); err == nil {
		null, err := retried.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open /dev/null: %w", err)
		}
		defer unix.Close(null)
		stdin = null
	}
	t, err := newTemplate()
	if err != nil {
		return nil, err
	}
	l := &Launch{}
	theirs, err := l.connect(h)
	if err != nil {
		return nil, err
	}
	defer unix.Close(theirs)
	fds := []int{theirs}
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	pid, err := t.spawn("daemon", 1, fds, [3]int{stdin, 1, 2}, &syscall.SysProcAttr{Setpgid: true})
	runtime.KeepAlive(files)
	if err != nil {
		l.conn.Close()
		return nil, fmt.Errorf("execute this program again: %w", err)
	}
	l.adopt(pid)
	return l, nil
}

// connect makes the socket pair, and queues the hello in it, so that the daemon
// need not wait. It returns the daemon's end.
func (l *Launch) connect(h Hello) (int, error) {
	h.comm = origin.comm
	m := h.message()
	if len(m.Text) > maxText {
		return -1, errors.New("hand over so many files: their names are too long")
	}
	pair, err := socketpair()
	if err != nil {
		return -1, fmt.Errorf("create a socket pair: %w", err)
	}
	send(pair[0], m)
	unix.SetNonblock(pair[0], true)
	l.conn = os.NewFile(uintptr(pair[0]), "daemon")
	l.in = bufio.NewReaderSize(l.conn, 4+maxMessage)
	return pair[1], nil
}

// template is what all processes have in common that are executed at one time.
type template struct {
	path   string // of the running image
	dir    string // to change to; empty: none
	theirs []int  // the caller's descriptors
}

func newTemplate() (template, error) {
	var t template
	var err error
	if t.path, err = image(); err != nil {
		return t, err
	}
	// No descriptor of another goroutine is between open and close-on-exec
	// while this lock is held.
	syscall.ForkLock.Lock()
	t.theirs = inheritable()
	syscall.ForkLock.Unlock()
	t.dir = origin.dir
	if now, err := syscall.Getwd(); err != nil || now == t.dir || retried.Access(t.dir, unix.X_OK) != nil {
		t.dir = "" // also where the directory has been removed
	}
	return t, nil
}

// spawn executes the running image again with the original arguments. The first
// fds are sockets, one for each daemon; in the child the descriptors have the
// lowest numbers that are not the caller's own.
func (t template) spawn(role string, daemons int, fds []int, std [3]int, attr *syscall.SysProcAttr) (int, error) {
	files, numbers := arrange(std, fds, t.theirs)
	var pid int
	err := withCleanMask(func() error {
		var err error
		pid, err = syscall.ForkExec(t.path, origin.args, &syscall.ProcAttr{
			Dir:   t.dir,
			Env:   append(origin.env[:len(origin.env):len(origin.env)], env+"="+token(role, daemons, numbers)),
			Files: files,
			Sys:   attr,
		})
		return err
	})
	return pid, err
}

// arrange lays out the child's descriptors: the standard three, the caller's
// under their own numbers, ours in the gaps between them. Numbers above ours
// need no entry: they go through exec by themselves.
func arrange(std [3]int, ours, theirs []int) (files []uintptr, numbers []int) {
	own := map[int]bool{}
	for _, fd := range ours {
		own[fd] = true
	}
	kept := map[int]bool{}
	for _, fd := range theirs {
		kept[fd] = !own[fd]
	}
	files = []uintptr{uintptr(std[0]), uintptr(std[1]), uintptr(std[2])}
	for len(ours) > 0 {
		n := len(files)
		if kept[n] {
			files = append(files, uintptr(n))
			continue
		}
		files = append(files, uintptr(ours[0]))
		numbers = append(numbers, n)
		ours = ours[1:]
	}
	return files, numbers
}

// withCleanMask runs fork with no signal blocked on its thread, so that a mask
// that this program inherited ends here.
func withCleanMask(fork func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore := clearMask()
	defer restore()
	return fork()
}

// adopt notes the daemon's PID. It is an unreaped child of ours, so the number
// is its own; a zombie is held as well, or it would be a stray.
func (l *Launch) adopt(pid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pid != 0 {
		return
	}
	l.pid = pid
	var err error // without a handle the end of the socket must do
	if l.handle, err = proc.Open(pid); errors.Is(err, proc.ErrGone) {
		l.handle = proc.OpenFD(pid, -1)
	}
}

// PID is the daemon's process ID, 0 while it is unknown.
func (l *Launch) PID() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pid
}

// Session is that of the daemons that were started together, 0 if it is the caller's. The
// number is nobody else's until Close, or Stage.
func (l *Launch) Session() int {
	if l.stage == nil {
		return 0
	}
	return l.stage.pid
}

// Stage says how the process has ended that was to start the daemon, when the wire has ended
// before it could.
func (l *Launch) Stage() Status {
	if l.stage == nil {
		return Status{}
	}
	l.stage.reap()
	return l.stage.status
}

// Handle names the daemon's process; nil while it is unknown.
func (l *Launch) Handle() *proc.Handle {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.handle
}

// Receive waits for the next message. io.EOF means that the daemon is gone or
// has let go, or with ErrMalformed that nothing more can be heard of it. ctx bounds the
// wait.
func (l *Launch) Receive(ctx context.Context) (Message, error) {
	stop := context.AfterFunc(ctx, func() { l.conn.SetReadDeadline(past) })
	defer stop()
	for {
		m, err := l.next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.conn.SetReadDeadline(never)
			if ctx.Err() != nil {
				return m, context.Cause(ctx)
			}
			continue // a deadline of an earlier call
		}
		if errors.Is(err, ErrMalformed) {
			return m, fmt.Errorf("%w: %w", io.EOF, err)
		}
		if err != nil {
			// However the wire breaks, nothing more is heard on it. What has become of the
			// daemon is the process's to tell.
			return m, io.EOF
		}
		switch {
		case m.Kind == spawned, m.Kind == Claimed: // the latter if the stage was killed before it could
			l.adopt(m.PID)
		case m.Kind == exited && stageStays:
			s := StatusOf(syscall.WaitStatus(m.Code))
			l.ended(&s)
			return m, io.EOF
		}
		return m, nil
	}
}

// next takes a message only when all of it has come: a deadline in the middle
// would lose its beginning, and with it the meaning of all that follows.
func (l *Launch) next() (Message, error) {
	head, err := l.in.Peek(4)
	if err == nil {
		if size := binary.BigEndian.Uint32(head); size <= maxMessage { // else nothing is waited for
			_, err = l.in.Peek(4 + int(size))
		}
	}
	if err != nil {
		return Message{}, err
	}
	return receive(l.in)
}

// Send tells the daemon; one that is gone is no error.
func (l *Launch) Send(k Kind) { l.conn.Write(Message{Kind: k}.encode()) }

func (l *Launch) ended(s *Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == nil {
		l.status = s
	}
}

// Wait waits until the daemon's process is gone and says how it ended.
func (l *Launch) Wait(ctx context.Context) (Status, error) {
	for {
		l.mu.Lock()
		pid, handle, status := l.pid, l.handle, l.status
		l.mu.Unlock()
		if status != nil {
			return *status, nil
		}
		if pid == 0 {
			// The stage ended before it could say; or never started anything.
			return Status{}, nil
		}
		if handle != nil {
			if err := handle.Wait(ctx); err != nil {
				return Status{}, err
			}
		}
		l.reaping.Lock()
		l.mu.Lock()
		status = l.status
		l.mu.Unlock()
		if status == nil {
			s := l.reap(pid)
			l.ended(&s)
		}
		l.reaping.Unlock()
	}
}

// Reap, in a launcher that goes on, takes the daemon's wait status when it ends,
// so that no zombie is left. It holds no thread.
func (l *Launch) Reap() {
	go func() {
		l.Wait(context.Background())
		if h := l.Handle(); h != nil {
			h.Close()
		}
	}()
}

// Output gives what the daemon wrote to stderr before the verdict.
func (l *Launch) Output() io.ReaderAt {
	if l.stderr == nil {
		return strings.NewReader("")
	}
	return l.stderr
}

// Close lets the daemon go. Its process goes on.
func (l *Launch) Close() {
	l.closing.Do(func() {
		if l.conn != nil {
			l.conn.Close()
		}
		if l.stderr != nil {
			l.stderr.Close()
		}
		if s := l.stage; s != nil && s.users.Add(-1) == 0 {
			if s.life != nil {
				s.life.Close()
			}
			s.reap()
		}
	})
}

func wait4(pid int) (syscall.WaitStatus, error) {
	var ws syscall.WaitStatus
	_, err := retried.Wait4(pid, &ws, 0, nil)
	return ws, err
}

// StatusOf is for who has taken a wait status by other means than Wait.
func StatusOf(ws syscall.WaitStatus) Status {
	if ws.Signaled() {
		return Status{Known: true, Code: -int(ws.Signal())}
	}
	return Status{Known: true, Code: ws.ExitStatus()}
}
