package daemonocle

import (
	"context"
	"time"

	"github.com/daemonocle/daemonocle/internal/outside"
)

// StopOptions are for one stop. See Config.StopSignal for another signal than
// SIGTERM.
type StopOptions struct {
	// Timeout is how long to wait for the daemon to end, with all processes that take its
	// place meanwhile. 0: Config.StopTimeout.
	Timeout time.Duration `zero:"1" meta:"INTEGER" help:"Number of seconds to wait for the daemon to stop. Overrides \"stop_timeout\" from daemon definition."`
	// Force kills the daemon, and what is left of its process group, after the
	// timeout.
	Force bool `help:"Kill the daemon forcefully after the timeout."`
	// Direct acts on the daemon's process also where a service manager runs it, which
	// may start it again. Without it the error wraps ErrManaged there, and nothing is
	// done.
	Direct bool `help:"Act on the process even if a service manager runs the daemon."`
}

// Stopped says what became of a stop.
type Stopped struct {
	PID    int           // that the daemon had
	Took   time.Duration // until it was gone
	Killed bool          // by SIGKILL
	// Left are processes of the daemon's process group that have outlived it;
	// with Force they were killed, and with them those that it was before its reloads
	// and that had work left. If the daemon was another program and had ended
	// before (ErrNotRunning), they are what it has left behind; see Status.Left. Those
	// that could not be killed are named in the error.
	Left []int
	// Unasked says why it is not known whether a service manager runs the daemon, where
	// that could be: systemd was asked, and has not answered within 5 s.
	Unasked error
	// Skipped: see Started.
	Skipped bool
}

// Stop asks the daemon to end with SIGTERM, or Config.StopSignal, and returns when its process is
// gone. Only the process that holds the PID file's lock is ever signalled, and by root
// only if it is the daemon's user's; what has outlived it is killed with that user's
// rights. It may be called by any process but the daemon's own, and more than once.
//
// The end of ctx ends the waiting and nothing else. The errors are *Error and
// wrap ErrNotRunning, ErrStopTimeout, ErrNoPIDFile, ErrManaged, or what the kernel said,
// such as fs.ErrPermission.
func (d *Daemon) Stop(ctx context.Context, o StopOptions) (Stopped, error) {
	s, err := d.stop(ctx, "stop", o, &outside.StopWatcher{})
	return s, public(err)
}

func (d *Daemon) stop(ctx context.Context, op string, o StopOptions, w *outside.StopWatcher) (Stopped, error) {
	if waitingForClaim() {
		return Stopped{Skipped: true}, nil
	}
	s, err := outside.Stop(ctx, d.plan, op, outside.StopOptions(o), w)
	return stopped(s), err
}

func stopped(s outside.Stopped) Stopped {
	return Stopped{PID: s.PID, Took: s.Took, Killed: s.Killed, Left: s.Left, Unasked: s.Unasked}
}

// Wait returns when the running daemon is gone: nil, or an error that wraps
// ErrNotRunning if there was none, or ErrHeldElsewhere if it cannot be told who is the
// daemon now. It may be called by any process but the daemon's own. ctx bounds the wait.
func (d *Daemon) Wait(ctx context.Context) error { return public(outside.Wait(ctx, d.plan)) }
