package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openSuite makes this process a suite: a token for all that it starts, and a
// socket whose end is theirs.
func openSuite() (token string, err error) {
	token = fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	name := deathPrefix + token
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.Bind(l, &unix.SockaddrUnix{Name: name})
	}
	if err == nil {
		err = unix.Listen(l, 4096)
	}
	if err != nil {
		return "", fmt.Errorf("death socket %s: %w", name, err)
	}
	go serveDeath(l)
	os.Setenv(envDeath, name)
	if outer := os.Getenv(envSuite); outer != "" {
		os.Setenv(envSuite, outer+","+token)
	} else {
		os.Setenv(envSuite, token)
	}
	return token, nil
}

// deathPrefix begins the name of every socket of ours, at both ends, so that
// FDs can tell them from those of the tests. "@" stands for the abstract name
// space: no file that a chroot would hide or that would have to be removed.
const deathPrefix = "@testkit-"

// serveDeath holds the suite's end of the helpers' connections until they go.
// One goroutine and raw system calls, whatever the number of helpers: tests
// that count goroutines, or have an opinion on the poller, see one constant.
func serveDeath(l int) {
	polled := []unix.PollFd{{Fd: int32(l), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(polled, -1); err != nil && err != unix.EINTR {
			return
		}
		incoming := polled[0].Revents != 0
		polled = slices.DeleteFunc(polled, func(p unix.PollFd) bool {
			gone := p.Fd != int32(l) && p.Revents != 0
			if gone {
				unix.Close(int(p.Fd))
			}
			return gone
		})
		for incoming {
			c, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			if err != nil {
				break
			}
			polled = append(polled, unix.PollFd{Fd: int32(c)}) // the end is always reported
		}
		for i := range polled {
			polled[i].Revents = 0
		}
	}
}

// deathFD is written once, by Main, before the helper runs.
var deathFD = -1

// DeathFD returns the descriptor of this process's connection to its suite, or
// -1: for helpers that look at their own descriptors. It is a high number, so
// that the numbers of what the helper opens are as without it.
func DeathFD() int { return deathFD }

// dieWith connects to the death socket and has the kernel kill this process
// when the other end is closed: SIGKILL as the signal of an asynchronous
// descriptor. There is no goroutine and no thread in wait, so that the process
// under test has neither more than it would have, deadlocks are still found,
// and a stopped process dies too. It works in a chroot, and after a change of
// user if the process was root. It ends with the descriptor: a helper that closes
// every number up to its limit lives on, to be counted as a straggler.
func dieWith(name string) error {
	fail := func(what string, err error) error {
		return fmt.Errorf("the suite is gone, or in another network namespace: %s %s: %w", what, name, err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail("socket for", err)
	}
	// Both ends of a connection are anonymous unless they are bound; see FDs.
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("%s/%016x", name, rand.Uint64())}); err != nil {
		return fail("bind to", err)
	}
	if err := ignoringEINTR(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: name}) }); err != nil {
		return fail("connect to", err)
	}
	for _, least := range []int{900, 200} { // beyond RLIMIT_NOFILE: EINVAL
		if high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, least); err == nil {
			unix.Close(fd)
			fd = high
			break
		}
	}
	deathFD = fd
	if os.Getpid() == 1 {
		// The kernel protects the first process of a PID namespace from every
		// signal of its own doing.
		go func() {
			var b [1]byte
			_ = ignoringEINTR(func() error { _, err := unix.Read(fd, b[:]); return err })
			os.Exit(128 + int(unix.SIGKILL))
		}()
		return nil
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETSIG, int(unix.SIGKILL))
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETOWN, os.Getpid())
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_ASYNC)
	}
	if err != nil {
		return fail("watch", err)
	}
	// What came before O_ASYNC was not signalled.
	p := []unix.PollFd{{Fd: int32(fd)}}
	if n, _ := unix.Poll(p, 0); n > 0 {
		return fail("watch", unix.ECONNRESET)
	}
	return nil
}

func ignoringEINTR(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// initialEnviron returns the environment that the process was started with, or
// nil if it cannot be read.
func initialEnviron(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// stragglers returns the living processes that were started with the token. A
// process that the token was kept from, or whose environment this user may not
// read, is not found.
func stragglers(token string) []straggler {
	var found []straggler
	for _, pid := range processes() {
		if !carries(initialEnviron(pid), token) || Gone(pid) {
			continue
		}
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		found = append(found, straggler{pid, strings.ReplaceAll(strings.TrimSuffix(string(cmdline), "\x00"), "\x00", " ")})
	}
	return found
}

// kill kills the process if the number is still its own, and waits for its end.
func (s straggler) kill(token string) {
	fd, err := unix.PidfdOpen(s.pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if !carries(initialEnviron(s.pid), token) {
		return
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		fmt.Fprintf(os.Stderr, "testkit: kill process %d: %v\n", s.pid, err)
		return
	}
	awaitEnd(fd, Patience)
}

// Pinned is a process that its holder means, also when it has ended and its number is
// another's, as with many tests beside each other it is within a minute or two.
type Pinned struct {
	PID int
	fd  int
}

// Pin takes the process that has the number now. It is for one that is not reaped before
// that: one that waits at a gate, or a child of the test's own process.
func Pin(t testing.TB, pid int) *Pinned {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("testkit: open process %d: %v", pid, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &Pinned{pid, fd}
}

// Gone reports whether it has ended; a zombie has.
func (p *Pinned) Gone() bool { return awaitEnd(p.fd, 0) }

// Signal reaches nobody else. To a process that is gone it is ESRCH or nothing.
func (p *Pinned) Signal(sig syscall.Signal) error { return unix.PidfdSendSignal(p.fd, sig, nil, 0) }

// Kill kills it and returns when it has ended.
func (p *Pinned) Kill(t testing.TB) {
	t.Helper()
	if err := p.Signal(unix.SIGKILL); err != nil && err != unix.ESRCH {
		t.Fatalf("testkit: kill process %d: %v", p.PID, err)
	}
	if !awaitEnd(p.fd, Patience) {
		t.Fatalf("waited %v for process %d to end", Patience, p.PID)
	}
}

// Freeze stops a process, and returns when its last thread has stopped. kill(2) returns
// before that: one thread is to act upon the signal when its turn comes, on a busy machine
// much later, and until then the others go on.
func Freeze(t testing.TB, pid int) {
	t.Helper()
	p := Pin(t, pid)
	if err := p.Signal(unix.SIGSTOP); err != nil {
		t.Fatalf("testkit: stop process %d: %v", pid, err)
	}
	WaitFor(t, fmt.Sprintf("process %d to stop", pid), func() bool {
		if p.Gone() {
			t.Fatalf("process %d has ended before it stopped", pid)
		}
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		return err == nil && !slices.ContainsFunc(tasks, func(task os.DirEntry) bool {
			tid, _ := strconv.Atoi(task.Name())
			s := Stat(tid).State
			return s != 'T' && s != 'Z' && s != 'X' && s != 0 // threads end, the first one as a zombie
		})
	})
}

// Sweep kills all that was started with this variable in its environment, NAME=value,
// and what that starts meanwhile.
func Sweep(t testing.TB, variable string) {
	t.Helper()
	for again := true; again; {
		again = false
		for _, pid := range processes() {
			fd, err := unix.PidfdOpen(pid, 0) // before it is looked at: the number may change hands
			if err != nil {
				continue
			}
			if slices.Contains(initialEnviron(pid), variable) {
				if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err == nil {
					again = true
				}
				if !awaitEnd(fd, Patience) {
					t.Errorf("waited %v for process %d to end", Patience, pid)
					again = false
				}
			}
			unix.Close(fd)
		}
	}
}

// processes are the numbers of all, this one left out.
func processes() (pids []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// awaitGone reports whether the process ended within the limit.
func awaitGone(pid int, limit time.Duration) bool {
	if pid <= 0 {
		return true
	}
	fd, err := unix.PidfdOpen(pid, 0)
	switch err {
	case nil:
		defer unix.Close(fd)
		return awaitEnd(fd, limit)
	case unix.ESRCH, unix.EINVAL: // EINVAL: the number of a thread that is no process
		return true
	}
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if s := Stat(pid).State; s == 0 || s == 'Z' || s == 'X' {
			return true
		}
		if !time.Now().Before(end) {
			return false
		}
	}
}

// awaitEnd waits for a pidfd to say that its process is a zombie or reaped.
func awaitEnd(fd int, limit time.Duration) bool {
	end := time.Now().Add(limit)
	for {
		left := max(0, time.Until(end))
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, int((left+time.Millisecond-1)/time.Millisecond))
		switch {
		case n > 0:
			return true
		case err != nil && err != unix.EINTR, err == nil && left == 0:
			return false
		}
	}
}

// Stat reads /proc/PID/stat.
func Stat(pid int) ProcStat {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ProcStat{}
	}
	// The name in brackets may hold anything, brackets and spaces included.
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 5 {
		return ProcStat{}
	}
	num := func(i int) int { n, _ := strconv.Atoi(string(f[i])); return n }
	return ProcStat{State: f[0][0], PPID: num(1), PGrp: num(2), Session: num(3), TTY: num(4)}
}

// FDs returns what the open descriptors of a process are, as /proc/PID/fd shows
// it: a path, "socket:[123]", "anon_inode:[eventpoll]". The connections of
// testkit itself are left out. It returns nil if there is no such process or it
// may not be looked at. A process that looks at itself sees one descriptor more
// than it has, that of the directory it reads; it is left out as well.
func FDs(pid int) map[int]string {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	ours := deathSockets()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	fds := map[int]string{}
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		link, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil { // else closed in the meantime, such as that of dir
			fds[n] = link
		}
	}
	// Twice: a helper may come or go while we look.
	for inode := range deathSockets() {
		ours[inode] = true
	}
	for n, link := range fds {
		if ours[link] {
			delete(fds, n)
		}
	}
	return fds
}

// deathSockets returns the links of all death connections of this machine.
func deathSockets() map[string]bool {
	found := map[string]bool{}
	b, _ := os.ReadFile("/proc/net/unix")
	for line := range strings.Lines(string(b)) {
		// Num RefCount Protocol Flags Type St Inode Path
		if f := strings.Fields(line); len(f) == 8 && strings.HasPrefix(f[7], deathPrefix) {
			found["socket:["+f[6]+"]"] = true
		}
	}
	return found
}

// idsMapped reports whether the id is one in this user namespace.
func idsMapped(id int) error {
	for _, name := range []string{"uid_map", "gid_map"} {
		b, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			continue // no /proc, or no user namespaces: nothing is in the way
		}
		mapped := false
		for line := range strings.Lines(string(b)) {
			var inside, outside, n int
			if _, err := fmt.Sscan(line, &inside, &outside, &n); err == nil && inside <= id && id-inside < n {
				mapped = true
			}
		}
		if !mapped {
			return fmt.Errorf("%d is nobody in this user namespace (%s)", id, name)
		}
	}
	return nil
}

// InPIDNamespace returns the command that runs the named helper as PID 1 of a
// new PID namespace, with a /proc that shows this namespace, not started. Seen
// from the test it is an ordinary child: cmd.Process.Pid is its number outside,
// and when it ends the kernel kills all in the namespace. It skips the test if
// this user may not make namespaces.
//
// The package's init functions still see the outer /proc.
func InPIDNamespace(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "pidns", "only root can make a PID namespace")
	}
	if err := tryPIDNamespace(t); err != nil {
		Skip(t, "pidns", err.Error())
	}
	return pidNamespace(Helper(t, name, args...))
}

func pidNamespace(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(cmd.Env, envOwnProc+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	return cmd
}

var pidns struct {
	once sync.Once
	err  error
}

// tryPIDNamespace finds out by doing: the reasons for not being allowed are
// many, and none can be asked for.
func tryPIDNamespace(t testing.TB) error {
	pidns.once.Do(func() {
		if out, err := pidNamespace(Helper(t, probe)).CombinedOutput(); err != nil {
			pidns.err = fmt.Errorf("new PID namespace: %w %s", err, bytes.TrimSpace(out))
		}
	})
	return pidns.err
}

// mountOwnProc is called in the PID 1 of a new PID and mount namespace.
func mountOwnProc() error {
	if os.Getpid() != 1 {
		return nil
	}
	// First, or the mount would appear outside as well.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

func openPty() (_ *PtyPair, err error) {
	// Non-blocking, so that the poller takes it and Close ends a Read.
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	p := &PtyPair{Master: os.NewFile(uintptr(m), "/dev/ptmx")}
	defer func() {
		if err != nil {
			p.Master.Close()
		}
	}()
	if err := unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock pseudo terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("name pseudo terminal: %w", err)
	}
	p.Name = "/dev/pts/" + strconv.Itoa(n)
	s, err := unix.Open(p.Name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: p.Name, Err: err}
	}
	p.Slave = os.NewFile(uintptr(s), p.Name)
	if err := unix.IoctlSetWinsize(s, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		return nil, errors.Join(fmt.Errorf("size of pseudo terminal: %w", err), p.Slave.Close())
	}
	return p, nil
}

// Resize changes the size of the terminal; 0 by 0 is one that does not know.
func (p *PtyPair) Resize(t testing.TB, rows, cols int) {
	t.Helper()
	c, err := p.Master.SyscallConn()
	if err == nil {
		var ioctl error
		err = c.Control(func(fd uintptr) {
			ioctl = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(cols)})
		})
		err = errors.Join(err, ioctl)
	}
	if err != nil {
		t.Fatalf("testkit: resize the terminal: %v", err)
	}
}

// Attach makes the terminal the command's three streams, and the controlling
// terminal of a new session that it leads, as a login does.
func (p *PtyPair) Attach(cmd *exec.Cmd) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Slave, p.Slave, p.Slave
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, true, 0
}

// KillSlowly kills a process, which ends when the function is called that it gives back, or
// the test ends: until then the kernel has not begun to take it apart.
func KillSlowly(t testing.TB, pid int) (end func()) {
	t.Helper()
	held, ended, over := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		runtime.LockOSThread() // a tracer is a thread
		defer runtime.UnlockOSThread()
		defer close(over)
		if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, unix.PTRACE_O_TRACEEXIT, 0, 0); errno != 0 {
			held <- errno
			return
		}
		err := unix.Kill(pid, unix.SIGKILL)
		var status unix.WaitStatus
		if err == nil {
			_, err = unix.Wait4(pid, &status, unix.WALL, nil)
		}
		if err == nil && !(status.Stopped() && status.TrapCause() == unix.PTRACE_EVENT_EXIT) {
			err = fmt.Errorf("process %d is not about to end: %#x", pid, status)
		}
		held <- err
		<-ended
		unix.PtraceDetach(pid)
	}()
	switch err := <-held; {
	case err == unix.EPERM || err == unix.ENOSYS:
		Skip(t, "ptrace", err.Error())
	case err != nil:
		t.Error(err)
	}
	end = sync.OnceFunc(func() { close(ended); <-over })
	t.Cleanup(end)
	return end
}
