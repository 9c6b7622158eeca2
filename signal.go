package daemonocle

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/rights"
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
	pid, err = d.signal(ctx, sig)
	return pid, public(err)
}

func (d *Daemon) signal(ctx context.Context, sig syscall.Signal) (pid int, err error) {
	const op = "signal"
	r, err := d.look(ctx, op, watcher{})
	switch {
	case err != nil:
		return 0, err
	case r.State != pidfile.Running:
		return 0, d.plan.NotRunning(op)
	case r.PID == os.Getpid():
		return 0, d.plan.Fail(op, fault.Say("the daemon cannot signal itself this way", ErrInside))
	case r.PID <= 0 || r.Unproved:
		return 0, d.unnamed(op, r)
	}
	defer d.pin(&r)()
	end, r, err := d.pursue(ctx, op, r, func(h rights.Target) (phase.Sight, error) {
		switch err := h.Signal(sig); {
		case errors.Is(err, proc.ErrGone):
			return phase.Misses, nil
		case err != nil:
			return phase.Denies, d.about(op, h.PID(), err)
		}
		return phase.Does, nil
	})
	switch {
	case end == phase.NotThere:
		return 0, d.plan.NotRunning(op)
	case err != nil:
		return 0, err
	}
	return r.PID, nil
}
