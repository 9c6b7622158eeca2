//go:build unix && !linux

package launch

import (
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

const ioctlGetTermios = unix.TIOCGETA

var (
	past  = time.Unix(1, 0)
	never time.Time
)

// image: there is no name for the running image, only for its path.
func image() (string, error) { return os.Executable() }

func stageAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func successorAttr(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// ownName: no path leads to the running image for certain.
func ownName(string) bool { return false }

// spawnedOne: the daemon is the stage's child, which relays how it ended.
func spawnedOne(pid, socket int) {
	go func() {
		if ws, err := wait4(pid); err == nil {
			send(socket, Message{Kind: exited, Code: int(ws)})
		}
	}()
}

// stageStays: it relays the daemon's wait status.
const stageStays = true

// stay waits until the launcher has all verdicts.
func stay(life int) int {
	io.Copy(io.Discard, os.NewFile(uintptr(life), "life"))
	return 0
}

// lifeline adds a pipe's end, whose other end the launcher keeps for as long as
// it needs the stage. done is to be called when the stage has its own.
func lifeline(fds []int) (life *os.File, all []int, done func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fds, nil, err
	}
	return w, append(fds, int(r.Fd())), func() { r.Close() }, nil
}

func lifeEnd(fds []int) (files []int, life int) {
	if len(fds) == 0 {
		return nil, -1
	}
	return fds[:len(fds)-1], fds[len(fds)-1]
}

// reap: a detached daemon is the stage's child, which relays its status; in the
// foreground it is ours.
func (l *Launch) reap(pid int) Status {
	ws, err := wait4(pid)
	if err != nil {
		return Status{}
	}
	return StatusOf(ws)
}

func socketpair() ([2]int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(pair[0])
		unix.CloseOnExec(pair[1])
	}
	return pair, err
}

// trusted: a setuid program takes no orders from the user who runs it.
func trusted(fd int) bool {
	var st unix.Stat_t
	return os.Getuid() == os.Geteuid() && retried.Fstat(fd, &st) == nil && uint32(st.Mode)&unix.S_IFMT == unix.S_IFSOCK
}

// scratch is an unlinked file: there is no portable memory file.
func scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "daemonocle-stderr-")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	unix.FcntlInt(f.Fd(), unix.F_SETFL, unix.O_APPEND)
	return f, nil
}

func processName() string { return "" }
func setName(string)      {}

// clearMask: x/sys has no pthread_sigmask here; a mask that was inherited
// reaches the daemon.
func clearMask() (restore func()) { return func() {} }

func inheritable() []int { return probe(256) }

// Redirect puts a descriptor in the place of a standard stream.
func Redirect(from, to int) error { return retried.Dup2(from, to) }

func reserve(int, int64) error { return nil }

// WaitStopped: x/sys has no waitid here, and wait4 would take the status.
func WaitStopped(int) bool { return false }

// defaultSignals: a signal that Go handles has its default disposition in a
// child, also one that the caller ignored.
func defaultSignals() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT,
		syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCONT)
}
