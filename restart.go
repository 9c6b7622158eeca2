package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/pidfile"
)

// RestartOptions are for one restart.
type RestartOptions struct {
	Stop  StopOptions  `inline:"true"`
	Start StartOptions `inline:"true"`
}

// Restarted says what became of a restart.
type Restarted struct {
	Stopped Stopped // PID is 0 if no daemon was running, or was stopped
	Started Started
	Took    time.Duration
	// Kept is the PID of the daemon that goes on, because the new one did not get far
	// enough to take its place; else 0.
	Kept int
}

// Restart stops the daemon, if it runs, and starts it. If it cannot be stopped,
// nothing is started. Where the daemon is detached, the new process comes up first, as
// far as it can beside the old one: if its main, New, or the log files make it fail,
// the old one is not stopped. For errors and ctx see Stop and Start; that no daemon was
// running is no error.
func (d *Daemon) Restart(ctx context.Context, o RestartOptions) (Restarted, error) {
	return d.restart(ctx, o, stopWatcher{}, watcher{}, nil)
}

func (d *Daemon) restart(ctx context.Context, o RestartOptions, stopping stopWatcher, starting watcher, missing func(error)) (r Restarted, err error) {
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	if skip, err := d.claim(ctx, o.Start.Args); skip {
		r.Started.Skipped = true
		return r, err
	}
	if d.cfg.Worker == nil { // before the old one is stopped
		return r, d.noWorker("restart")
	}
	if d.foreign != nil {
		if err := d.foreign.check(d); err != nil {
			return r, err
		}
	}
	if err := d.startTimeout("restart", &o.Start); err != nil {
		return r, err
	}
	stop := func(ctx context.Context) (err error) {
		r.Stopped, err = d.stop(ctx, "restart", o.Stop, stopping)
		if errors.Is(err, ErrNotRunning) {
			if missing != nil {
				missing(err)
			}
			return nil
		}
		return err
	}
	keep := func(err error, old int) error {
		var e *Error
		if errors.As(err, &e) && r.Stopped.PID == 0 {
			r.Kept = old
			if e.Hint == "" {
				e.Hint = fmt.Sprintf("The running daemon (PID %d) goes on as before.", old)
			}
		}
		return err
	}
	old := d.running(ctx)
	beside := old != 0 && d.launches()
	if beside && (d.cfg.Hooks.Start != nil || o.Start.Debug || d.cfg.Foreground) {
		// What the hook opens, and the terminal, cannot be had by both.
		if err := d.try(ctx, starting); err != nil {
			return r, keep(err, old)
		}
		beside = false
	}
	if !beside {
		if err := stop(ctx); err != nil {
			return r, err
		}
		r.Started, err = d.start(ctx, o.Start, starting)
		return r, err
	}
	var stopped error
	a := d.attempt(starting)
	a.gate = func(ctx context.Context) error {
		stopped = stop(ctx)
		return stopped
	}
	detach(withSockets(ctx, d.worker), o.Start.Timeout, []*attempt{a})
	if stopped != nil {
		return r, stopped
	}
	r.Started = a.started
	r.Started.Took = time.Since(began) - r.Stopped.Took
	return r, keep(a.err, old)
}

// running is the PID of the daemon, 0 if there is none, or none that a stop could stop.
func (d *Daemon) running(ctx context.Context) int {
	if d.pid == nil || d.life.Load() != nil {
		return 0
	}
	r, err := d.pid.Look(ctx)
	if err != nil || r.State != pidfile.Running || r.Unproved {
		return 0
	}
	return max(r.PID, 0)
}

// launches reports whether a start makes a new process of this program, whose worker is
// Go code.
func (d *Daemon) launches() bool {
	return d.foreign == nil && !environ.PID1() && (launch.Self() != nil || !environ.SuperServer() && !environ.ServiceManager())
}

// errTried ends a start that was only to show that it can be made.
var errTried = errors.New("tried")

// try starts the daemon as far as it can come beside the one that runs.
func (d *Daemon) try(ctx context.Context, w watcher) error {
	a := d.attempt(watcher{})
	a.gate = func(context.Context) error { return errTried }
	detach(withSockets(ctx, d.worker), d.cfg.StartTimeout, []*attempt{a})
	if errors.Is(a.err, errTried) {
		return nil
	}
	w.begin()
	w.settle(false)
	return a.err
}

// waitingForClaim reports whether this process was launched to become a daemon
// that main has not reached yet: then it must change nothing.
func waitingForClaim() bool {
	c := launch.Self()
	return c != nil && !c.Claimed()
}
