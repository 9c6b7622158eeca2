package launch

import (
	"runtime"
	"syscall"

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
