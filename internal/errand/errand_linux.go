package errand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/privs"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/retried"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// env marks the child. Its ending is so that nobody types it, its beginning is that of
// all variables that a status does not show.
const env = "DAEMONOCLE_LAUNCH_ERRAND_4KD9"

// Descriptors of the child.
const (
	orders = 3 // a socket pair's end
	target = 4 // a pidfd
)

// What the child says that is no error of the kernel.
const (
	unable  = 255 // to become the user
	unclear = 254 // what it is told
)

// maxOrders is less than any socket's buffer, so that to write them cannot block.
const maxOrders = 32 << 10

func init() {
	if _, is := os.LookupEnv(env); is {
		os.Unsetenv(env)
		if ordered(orders) {
			syscall.Exit(run()) // without what others have registered for the end
		}
	}
}

// ordered reports whether this process was made by send. In a set-user-ID program the
// variable and the descriptors are its caller's: it is not all root. Nor can a caller who
// comes to be root by another way, such as sudo, have them by chance: a pair of unnamed
// sockets, and our parent, as root, has made it.
func ordered(fd int) bool {
	if r, e, s := unix.Getresuid(); r != 0 || e != 0 || s != 0 {
		return false
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && cred.Uid == 0 && int(cred.Pid) == os.Getppid() && unnamed(syscall.Getsockname(fd)) && unnamed(syscall.Getpeername(fd))
}

// unnamed: package syscall shows a name of no length as an abstract one of no length.
func unnamed(name syscall.Sockaddr, err error) bool {
	u, ok := name.(*syscall.SockaddrUnix)
	return err == nil && ok && (u.Name == "" || u.Name == "@")
}

// run becomes the user and sends the signal. The exit code is the kernel's answer.
func run() int {
	var b []byte
	buf := make([]byte, 4096)
	for {
		n, err := retried.Read(orders, buf)
		if err != nil || len(b) > maxOrders {
			return unclear
		}
		if n == 0 {
			break
		}
		b = append(b, buf[:n]...)
	}
	sig, as, ok := parse(string(b))
	if !ok {
		return unclear
	}
	// Nothing is kept but the handle: not the orders, nor what the caller's own caller
	// had open.
	unix.Close(orders)
	closeFrom(target + 1)
	change, err := privs.Prepare(as)
	if err != nil {
		return unable
	}
	if err := change.Drop(); err != nil {
		return unable
	}
	err = unix.PidfdSendSignal(target, sig, nil, 0)
	if errno, is := err.(syscall.Errno); is && errno > 0 && errno < unclear {
		return int(errno)
	}
	if err != nil {
		return unclear
	}
	return 0
}

func closeFrom(first int) {
	if unix.CloseRange(uint(first), ^uint(0)>>1&0x7fffffff, 0) == nil {
		return
	}
	var limit unix.Rlimit // before Linux 5.9
	unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	for fd := first; fd < int(min(limit.Cur, 1<<20)); fd++ {
		unix.Close(fd)
	}
}

// words are the orders: signal, user, group, other groups.
func words(sig syscall.Signal, as privs.Identity) string {
	b := strconv.AppendInt(nil, int64(sig), 10)
	for _, n := range append([]int{as.UID, as.GID}, as.Groups...) {
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(append(b, '\n'))
}

// parse reads them. An order to be root is none.
func parse(s string) (sig syscall.Signal, as privs.Identity, ok bool) {
	line, whole := strings.CutSuffix(s, "\n")
	fields := strings.Split(line, " ")
	if !whole || len(fields) < 3 {
		return 0, as, false
	}
	var n []int
	for _, f := range fields {
		v, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return 0, as, false
		}
		n = append(n, int(v))
	}
	as = privs.Identity{SwitchUser: true, UID: n[1], SwitchGroup: true, GID: n[2], Groups: n[3:]}
	return syscall.Signal(n[0]), as, n[0] < 128 && as.UID != 0
}

func send(as privs.Identity, h *proc.Handle, sig syscall.Signal) error {
	if h.FD() < 0 {
		return fmt.Errorf("without pidfds: %w", errors.ErrUnsupported)
	}
	text := words(sig, as)
	if len(text) > maxOrders {
		return errors.New("so many groups")
	}
	null, err := retried.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/null", Err: err}
	}
	defer unix.Close(null)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[1])
	_, err = retried.Write(pair[0], []byte(text))
	unix.Close(pair[0])
	if err != nil {
		return os.NewSyscallError("write", err)
	}
	pidfd := -1
	pid, err := syscall.ForkExec("/proc/self/exe", []string{os.Args[0]}, &syscall.ProcAttr{
		Dir: "/",
		Env: []string{env + "="},
		// In the order of the numbers above.
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(pair[1]), uintptr(h.FD())},
		Sys:   &syscall.SysProcAttr{PidFD: &pidfd},
	})
	runtime.KeepAlive(h)
	if err != nil {
		return fmt.Errorf("execute this program again: %w", err)
	}
	return await(proc.OpenFD(pid, pidfd))
}

// await gives the answer of the child, which is reaped.
func await(child *proc.Handle) error {
	defer child.Close()
	limit, stop := context.WithTimeout(context.Background(), timing.ErrandTakes)
	defer stop()
	if child.Wait(limit) != nil {
		child.Signal(syscall.SIGKILL)
	}
	var status syscall.WaitStatus
	if _, err := retried.Wait4(child.PID(), &status, 0, nil); err != nil {
		return os.NewSyscallError("wait4", err)
	}
	switch code := status.ExitStatus(); {
	case code == 0:
		return nil
	case !status.Exited():
		return errors.New("the process that was to do it was ended")
	case code == unable:
		return errors.New("the process that was to do it could not become that user")
	case code == unclear:
		return errors.New("the process that was to do it did not understand")
	default:
		return syscall.Errno(code)
	}
}
