package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

const ioctlGetTermios = unix.TCGETS

var (
	past  = time.Unix(1, 0)
	never time.Time
)

const selfExe = "/proc/self/exe"

// image is the file to execute: the running one, also after it was deleted or
// replaced. Without /proc, as in a bare chroot, its path has to do.
func image() (string, error) {
	if err := retried.Access(selfExe, unix.X_OK); err == nil {
		return selfExe, nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program's own file without /proc: %w", err)
	}
	return path, nil
}

// stageAttr: CLONE_PARENT makes the daemon the launcher's child, so that the
// launcher gets its true wait status although the stage has gone.
func stageAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Cloneflags: unix.CLONE_PARENT}
}

func successorAttr(sibling bool) *syscall.SysProcAttr {
	if sibling {
		return stageAttr()
	}
	return &syscall.SysProcAttr{Setpgid: true}
}

// ownName reports whether the path is the running image's own name, not one that
// happens to be the same in another root directory.
func ownName(path string) bool { return path == selfExe }

// spawnedOne: the socket is the daemon's alone, or its end would not be seen
// before that of the stage.
func spawnedOne(_, socket int) { unix.Close(socket) }

// stageStays: else the daemon is the launcher's child, whose wait status nobody else
// can tell.
const stageStays = false

// stay: the stage has nothing left to do.
func stay(int) int { return 0 }

func lifeline(fds []int) (*os.File, []int, func(), error) { return nil, fds, func() {}, nil }

func lifeEnd(fds []int) (files []int, life int) { return fds, -1 }

func (l *Launch) reap(pid int) Status {
	ws, err := wait4(pid)
	if err != nil {
		return Status{} // ECHILD: somebody in this program was faster
	}
	return StatusOf(ws)
}

func socketpair() ([2]int, error) {
	return unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
}

// trusted: a socket pair made by our own user. A setuid program must not take orders from
// the user who runs it: a connection to a service of root's, which that user could have
// made, has root behind it as well, but a name at one end.
func trusted(fd int) bool {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(cred.Uid) == os.Geteuid() && unnamed(syscall.Getsockname(fd)) && unnamed(syscall.Getpeername(fd))
}

// unnamed: package syscall shows a name of no length as an abstract one of no length.
func unnamed(name syscall.Sockaddr, err error) bool {
	u, ok := name.(*syscall.SockaddrUnix)
	return err == nil && ok && (u.Name == "" || u.Name == "@")
}

// scratch is where the daemon's stderr goes until it is ready: memory, which
// cannot break like a pipe when the launcher goes.
func scratch() (*os.File, error) {
	const name = "stderr"
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("create a memory file: %w", err)
	}
	unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND)
	return os.NewFile(uintptr(fd), name), nil
}

// processName runs in init, on the main thread, whose name is the process's.
// The kernel takes it from the path in exec, which is "exe" for /proc/self/exe.
func processName() string {
	var b [16]byte
	if unix.Prctl(unix.PR_GET_NAME, uintptr(unsafe.Pointer(&b[0])), 0, 0, 0) != nil {
		return ""
	}
	return unix.ByteSliceToString(b[:])
}

// setName runs in init, on the main thread.
func setName(comm string) {
	b, err := unix.ByteSliceFromString(comm)
	if err == nil && comm != "" {
		unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&b[0])), 0, 0, 0)
	}
}

func clearMask() (restore func()) {
	var none, old unix.Sigset_t
	if unix.PthreadSigmask(unix.SIG_SETMASK, &none, &old) != nil {
		return func() {}
	}
	return func() { unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }
}

// inheritable lists the descriptors from 3 up that survive an exec: those that
// the caller gave us, for Go makes its own close-on-exec.
func inheritable() []int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return probe(1024)
	}
	var list []int
	for _, e := range entries { // the directory's own is closed meanwhile
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 && survives(fd) {
			list = append(list, fd)
		}
	}
	return list
}

// defaultSignals gives back to its default what the caller may have ignored
// (nohup, a script's background job) and Go's runtime then leaves alone: the
// daemon and its children would inherit it. Only for the stage, whose runtime
// needs none of these signals: it is behind the runtime's back.
func defaultSignals() {
	var dfl [64]byte // a zero struct sigaction
	for _, sig := range [...]syscall.Signal{syscall.SIGHUP, syscall.SIGINT,
		syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCONT} {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&dfl)), 0, 8, 0, 0)
	}
}

// Redirect puts a descriptor in the place of a standard stream.
func Redirect(from, to int) error { return retried.Dup3(from, to, 0) }

// reserve asks for one byte behind the end without changing the size. File
// systems that cannot are trusted.
func reserve(fd int, size int64) error {
	err := retried.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, size, 1)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return err
	}
	return nil
}

// WaitStopped waits until the child is stopped by a signal; false means that it
// has ended, whose status is left for others.
func WaitStopped(pid int) bool {
	var info unix.Siginfo
	err := retried.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
	const cldStopped = 5
	if err != nil || info.Code != cldStopped {
		return false
	}
	// The stop itself is ours to take.
	retried.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WNOHANG, nil)
	return true
}
