package daemonocle

import (
	"context"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/outside"
)

// Signal sends a signal to the daemon's process and returns its PID, such as
// SIGHUP to a Program that reads its configuration again then. As with Stop, only
// the process that holds the PID file's lock is ever signalled. It may be called
// by any process but the daemon's own, and any number of times. ctx bounds the
// looking.
//
// The errors are *Error and wrap ErrNotRunning, ErrNoPIDFile, or what the kernel
// said, such as fs.ErrPermission.
func (d *Daemon) Signal(ctx context.Context, sig syscall.Signal) (pid int, err error) {
	pid, err = outside.Signal(ctx, d.plan, sig)
	return pid, public(err)
}
