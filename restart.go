package daemonocle

import (
	"context"
	"errors"
	"time"

	"github.com/daemonocle/daemonocle/internal/launch"
)

// RestartOptions are for one restart.
type RestartOptions struct {
	Stop  StopOptions  `inline:"true"`
	Start StartOptions `inline:"true"`
}

// Restarted says what became of a restart.
type Restarted struct {
	Stopped Stopped // PID is 0 if no daemon was running
	Started Started
	Took    time.Duration
}

// Restart stops the daemon, if it runs, and starts it. If it cannot be stopped,
// nothing is started. For errors and ctx see Stop and Start; that no daemon was
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
	r.Stopped, err = d.stop(ctx, "restart", o.Stop, stopping)
	if err != nil && !errors.Is(err, ErrNotRunning) {
		return r, err
	}
	if err != nil && missing != nil {
		missing(err)
	}
	r.Started, err = d.start(ctx, o.Start, starting)
	return r, err
}

// waitingForClaim reports whether this process was launched to become a daemon
// that main has not reached yet: then it must change nothing.
func waitingForClaim() bool {
	c := launch.Self()
	return c != nil && !c.Claimed()
}
