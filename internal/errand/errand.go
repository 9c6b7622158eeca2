// Package errand sends signals with the rights of another user.
//
// Root knows some processes only by the word of a user who is not to be believed: what
// the daemon's own processes say of each other, once they have changed their user. With
// root's rights anybody could be hit. So a child is made for each signal, which becomes
// that user, with his groups, proves it, and only then sends it: the kernel refuses what
// the user could not have done himself. It is a process and not a thread, for whoever
// shares its user may kill it, and holds nothing but the handle of the one process.
//
// The child is this program, executed again from /proc/self/exe while it is root still,
// so that the user need not be allowed to read the file. It never comes to main. What
// it says, by its exit code, is not more than a hint: whether a process has ended is
// seen on the caller's own handle.
//
// Linux only, with pidfds; elsewhere everything is refused.
package errand

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/privs"
	"github.com/daemonocle/daemonocle/internal/proc"
)

// ErrRefused is in the error of a signal that was not sent.
var ErrRefused = errors.New("not signalled with that user's rights")

// Signal sends a signal to the process as that user, who must not be root. The error
// wraps ErrRefused, or proc.ErrGone.
func Signal(as privs.Identity, h *proc.Handle, sig syscall.Signal) error {
	if h.Gone() {
		return fmt.Errorf("send a signal to process %d: %w", h.PID(), proc.ErrGone)
	}
	if !as.SwitchUser || !as.SwitchGroup || as.UID == 0 {
		return fmt.Errorf("send a signal to process %d as %s: %w", h.PID(), as, ErrRefused)
	}
	err := send(as, h, sig)
	switch {
	case err == nil:
		return nil
	case h.Gone():
		err = proc.ErrGone
	default:
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("send a signal to process %d as %s: %w", h.PID(), as, err)
}
