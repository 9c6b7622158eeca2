package signals

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Take lets this process take the signals that the kernel has for it. It gives each to one
// thread, which may be long in coming to run on a busy machine; what is there when the process
// ends is lost. Whichever thread changes what it blocks looks for them, too.
func Take() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var harmless, before unix.Sigset_t
	harmless.Val[0] = 1 << (unix.SIGWINCH - 1)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &harmless, &before) == nil {
		unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	}
}
