package signals

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Take lets this process take the signals that the kernel still has for it. The kernel leaves
// each to one thread, which on a busy machine may not come to run before the process ends, and
// then the signal is lost. A thread that changes which signals it blocks takes them as well.
func Take() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var harmless, before unix.Sigset_t
	harmless.Val[0] = 1 << (unix.SIGWINCH - 1)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &harmless, &before) == nil {
		unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	}
}
