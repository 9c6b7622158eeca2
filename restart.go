package daemonocle

import (
	"context"
	"time"

	"github.com/daemonocle/daemonocle/internal/outside"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
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
// nothing is started. What can be known before is tried before, and if that fails the
// old one is not stopped: Hooks.Check, the program of a worker that is one, and a new
// process that comes as far as it can beside the old one, through main and New to
// its log files. The start hook runs when the old one is gone, which may hold what the hook
// opens; if that, or what comes after it, fails, the daemon is down, Stopped.PID is not 0,
// and the error's hint says so.
//
// For errors and ctx see Stop and Start; that no daemon was running is no error. A
// cancellation while the old one is being stopped is ErrStartCancelled: it was told
// to stop, and nothing is started.
func (d *Daemon) Restart(ctx context.Context, o RestartOptions) (Restarted, error) {
	r, err := d.restart(ctx, o, &outside.StopWatcher{}, &outside.Watcher{}, nil)
	return r, public(err)
}

func (d *Daemon) restart(ctx context.Context, o RestartOptions, stopping *outside.StopWatcher, starting *outside.Watcher, missing func(error)) (Restarted, error) {
	began := time.Now()
	if skip, err := d.claim(ctx, o.Start.Args); skip {
		return Restarted{Started: Started{Skipped: true}, Took: time.Since(began)}, err
	}
	if err := d.mayRestart(o.Start); err != nil {
		return Restarted{Took: time.Since(began)}, err
	}
	ctx, err := sdnotify.WithDescriptor(ctx, o.Start.NotifyFD)
	if err != nil {
		return Restarted{Took: time.Since(began)}, d.plan.Misused("restart", err)
	}
	defer sdnotify.DescriptorOf(ctx).Close()
	r, err := d.launcher(o.Start.Args).Restart(ctx, outside.StopOptions(o.Stop), o.Start.outside(ctx), stopping, starting, missing)
	return Restarted{Stopped: stopped(r.Stopped), Started: started(r.Started), Took: r.Took, Kept: r.Kept}, err
}

// mayRestart refuses what cannot be meant.
func (d *Daemon) mayRestart(o StartOptions) error {
	switch {
	case d.code.Worker == nil:
		return d.plan.NoWorker("restart")
	case o.Timeout < 0:
		return d.plan.Negative("restart", o.Timeout)
	}
	return d.refused("restart", o.Args)
}

// running is the PID of the daemon, 0 if there is none, or none that a stop could stop.
func (d *Daemon) running(ctx context.Context) int {
	if d.life.Load() != nil {
		return 0
	}
	return outside.Running(ctx, d.plan)
}
