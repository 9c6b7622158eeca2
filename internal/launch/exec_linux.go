package launch

import (
	"bytes"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Exec makes this process another program, with no signal blocked or ignored;
// what handled one is the kernel's to reset. It returns only if that fails, and
// then to a process that is about to end. As a keeper's child it gets SIGTERM
// when the keeper dies.
func Exec(path string, argv, env []string, kept bool) error {
	runtime.LockOSThread() // the mask is the thread's, and so is the death signal
	defer runtime.UnlockOSThread()
	if kept {
		unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0)
	}
	defaultSignals()
	restore := clearMask()
	defer restore()
	return syscall.Exec(path, argv, env)
}

// DefaultSignals gives the signals their default effect in the kernel, for a process that is
// about to become another program. Go's runtime handles all signals and lets most of them
// have that effect itself, but it is gone with the first moment of the other program, and
// with it every signal that a thread has taken from the kernel and not yet acted upon.
// When DefaultSignals returns, what had been taken before is with the channels that it is
// for, or has ended the process. revert is for a process that goes on as it was.
func DefaultSignals(signals []os.Signal) (revert func()) {
	type action [64]byte // a struct sigaction, and more
	old := map[syscall.Signal]*action{}
	for _, s := range signals {
		sig, ok := s.(syscall.Signal)
		if !ok || sig <= 0 || sig == syscall.SIGKILL || old[sig] != nil {
			continue
		}
		var dfl action
		old[sig] = new(action)
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&dfl)), uintptr(unsafe.Pointer(old[sig])), 8, 0, 0)
	}
	awaitHandlers(slices.Collect(maps.Keys(old)))
	return func() {
		for sig, before := range old {
			unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(before)), 0, 8, 0, 0)
		}
	}
}

// awaitHandlers returns when no thread is in a handler of one of the signals. A thread
// that is blocks all signals, so that it makes a system call for another only afterwards.
func awaitHandlers(signals []syscall.Signal) {
	if _, _, err := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); err != syscall.ENOTSUP {
		return
	}
	// With cgo there is no such call. What a thread blocks can be seen; whether it is about
	// to enter the handler cannot.
	for inHandler(signals) {
		time.Sleep(100 * time.Microsecond)
	}
}

// inHandler reports whether a thread, but this one, blocks all of the signals.
func inHandler(signals []syscall.Signal) bool {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		status, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		_, mask, found := bytes.Cut(status, []byte("\nSigBlk:\t"))
		hex, _, _ := bytes.Cut(mask, []byte("\n"))
		blocked, err := strconv.ParseUint(string(hex), 16, 64)
		// A thread that was made with signals blocked has SIGSEGV free nevertheless.
		all := found && err == nil && blocked>>(syscall.SIGSEGV-1)&1 == 1
		for _, sig := range signals {
			all = all && blocked>>(sig-1)&1 == 1
		}
		if all {
			return true
		}
	}
	return false
}
