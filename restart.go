package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/outside"
	"github.com/daemonocle/daemonocle/internal/usercode"
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
	r, err := d.restart(ctx, o, outside.StopWatcher{}, outside.Watcher{}, nil)
	return r, public(err)
}

func (d *Daemon) restart(ctx context.Context, o RestartOptions, stopping outside.StopWatcher, starting outside.Watcher, missing func(error)) (r Restarted, err error) {
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	if skip, err := d.claim(ctx, o.Start.Args); skip {
		r.Started.Skipped = true
		return r, err
	}
	if d.code.Worker == nil {
		return r, d.plan.NoWorker("restart")
	}
	if err := d.startTimeout("restart", &o.Start); err != nil {
		return r, err
	}
	if err := d.refused("restart", o.Start.Args); err != nil {
		return r, err
	}
	if ctx, err = withNotifyFD(ctx, o.Start.NotifyFD); err != nil {
		return r, d.plan.Misused("restart", err)
	}
	defer notifyFDOf(ctx).Close()
	o.Start.NotifyFD = 0 // it is taken
	starting.Checkup = &outside.Checkup{}
	until, calm := starting.Interruptible(ctx)
	defer calm()
	var stopFailed error
	stop := func(ctx context.Context) error {
		if errors.Is(ctx.Err(), context.Canceled) {
			stopFailed = d.plan.Cancelled("start", ctx)
			return stopFailed
		}
		r.Stopped, stopFailed = d.stop(ctx, "restart", o.Stop, stopping)
		if errors.Is(stopFailed, ErrNotRunning) {
			if missing != nil {
				missing(stopFailed)
			}
			stopFailed = nil
		}
		stopFailed = d.interrupted(ctx, r.Stopped, stopFailed)
		return stopFailed
	}
	if old := d.running(ctx); old != 0 {
		if !o.Stop.Direct {
			unasked, err := outside.Yield(ctx, d.plan, "restart", old, stopping)
			if err != nil {
				return r, err
			}
			o.Stop.Direct = true // the question was asked
			defer func() { r.Stopped.Unasked = unasked }()
		}
		// The process that is tried goes on when the old one is gone, unless both cannot
		// have what the start hook opens, or the terminal.
		goOn := stop
		if d.foreign != nil || d.code.Hooks.Start != nil || o.Start.Debug || d.plan.Foreground {
			goOn = nil
		}
		a, err := d.trial(until, starting, o.Start.Timeout, goOn)
		switch {
		case stopFailed != nil:
			return r, stopFailed
		case r.Stopped.PID == 0 && err != nil:
			r.Kept = old
			return r, hinted(err, fmt.Sprintf("The running daemon (PID %d) goes on as before.", old))
		case a != nil && goOn != nil:
			if err == nil {
				d.notified(ctx)
			}
			r.Started = Started{PID: a.PID, Ready: a.Ready}
			r.Started.Took = time.Since(began) - r.Stopped.Took
			return r, d.down(err, r.Stopped)
		}
	}
	if err := stop(until); err != nil {
		return r, err
	}
	calm()
	r.Started, err = d.start(ctx, o.Start, starting)
	return r, d.down(err, r.Stopped)
}

// running is the PID of the daemon, 0 if there is none, or none that a stop could stop.
func (d *Daemon) running(ctx context.Context) int {
	if d.life.Load() != nil {
		return 0
	}
	return outside.Running(ctx, d.plan)
}

// launches reports whether a start makes a new process of this program.
func (d *Daemon) launches() bool {
	return detaches(where())
}

// errTried ends a start that was only to show that it can be made.
var errTried = errors.New("tried")

// trial shows, beside the daemon that runs, whether a start can be made. goOn lets the new
// process go on when it has come as far as it can; nil: it is taken back. The attempt is
// nil where a start makes no process.
func (d *Daemon) trial(ctx context.Context, w outside.Watcher, timeout time.Duration, goOn func(context.Context) error) (*attempt.Attempt, error) {
	err := d.check(ctx, "start", w.Checkup)
	if err == nil && d.foreign != nil {
		err = d.foreign.check(d)
	}
	if err == nil && d.launches() {
		own, gate := w, goOn
		if goOn == nil {
			own = outside.Watcher{Interrupts: w.Interrupts}
			gate = func(context.Context) error { return errTried }
		}
		a := d.attempt(own)
		a.Gate = gate
		session(withSockets(ctx, d.plan.Member), own, timeout).Detach(ctx, []*attempt.Attempt{a})
		if goOn != nil || errors.Is(a.Err, errTried) {
			return a, without(a.Err, errTried)
		}
		err = a.Err
	}
	if err != nil {
		w.Begin()
		w.Settle(false)
	}
	return nil, err
}

func without(err, is error) error {
	if errors.Is(err, is) {
		return nil
	}
	return err
}

// hinted adds to what an error says that can be done.
func hinted(err error, hint string) error {
	if e, is := errors.AsType[*fault.Fault](err); is {
		e.Hint = strings.TrimSpace(e.Hint + " " + hint)
	}
	return err
}

// interrupted words the end of the caller's context in the stop half of a restart: what
// the daemon was told cannot be taken back.
func (d *Daemon) interrupted(ctx context.Context, s Stopped, err error) error {
	if !errors.Is(ctx.Err(), context.Canceled) || err != nil && !errors.Is(err, context.Cause(ctx)) {
		return err
	}
	op := "start"
	if err != nil && s.PID != 0 {
		op = "restart" // the half that it is about
	}
	e := d.plan.Cancelled(op, ctx)
	switch {
	case err != nil && s.PID != 0:
		e.Err = fault.Say(fmt.Sprintf("restart was cancelled: process %d was told to stop, and will not be started again", s.PID), e.Err)
	case s.PID != 0:
		e.Err = fault.Say(fmt.Sprintf("restart was cancelled: process %d was stopped, and will not be started again", s.PID), e.Err)
	}
	e.PID = s.PID
	return e
}

// down says of a start that failed after the stop what that means.
func (d *Daemon) down(err error, s Stopped) error {
	if err == nil || s.PID == 0 || errors.Is(err, ErrStillStarting) || errors.Is(err, ErrAlreadyRunning) {
		return err
	}
	hint := "The daemon is down: the old process had been stopped."
	// A reload that is not ready first has stopped it, too, when the worker begins.
	if d.plan.PID != nil && d.foreign == nil && (d.plan.RequireReady || !errors.Is(err, ErrDied)) {
		hint += " A reload would have kept it."
	}
	return hinted(err, hint)
}

// check asks the program whether it could do its work.
func (d *Daemon) check(ctx context.Context, op string, c *outside.Checkup) error {
	hook := d.code.Hooks.Check
	if hook == nil {
		return nil
	}
	if c == nil {
		c = &outside.Checkup{}
	}
	err := c.Do(func() error { return usercode.Call("check hook", func() error { return hook(ctx) }) })
	if err != nil {
		return d.relay(op, err)
	}
	return nil
}

// waitingForClaim reports whether this process was launched to become a daemon
// that main has not reached yet: then it must change nothing.
func waitingForClaim() bool {
	c := launch.Self()
	return c != nil && !c.Claimed()
}
