package outside

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/sockets"
)

// Restarted says what became of a restart; daemonocle.Restarted says how.
type Restarted struct {
	Stopped Stopped
	Started Started
	Took    time.Duration
	Kept    int
}

// Restart stops the daemon, if it runs, and starts it; what can be known before is tried
// before. missing, which may be nil, hears that none ran.
func (l *Launcher) Restart(ctx context.Context, o StopOptions, start StartOptions, stopping *StopWatcher, starting *Watcher, missing func(error)) (r Restarted, err error) {
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	if err := start.complete(l.Plan, "restart"); err != nil {
		return r, err
	}
	starting.Checkup = &Checkup{}
	until, calm := starting.Interruptible(ctx)
	defer calm()
	var stopFailed error
	stop := func(ctx context.Context) error {
		if errors.Is(ctx.Err(), context.Canceled) {
			stopFailed = l.Plan.Cancelled("start", ctx)
			return stopFailed
		}
		r.Stopped, stopFailed = Stop(ctx, l.Plan, "restart", o, stopping)
		if errors.Is(stopFailed, fault.ErrNotRunning) {
			if missing != nil {
				missing(stopFailed)
			}
			stopFailed = nil
		}
		stopFailed = Interrupted(ctx, l.Plan, r.Stopped.PID, stopFailed)
		return stopFailed
	}
	if old := l.running(ctx); old != 0 {
		if !o.Direct {
			unasked, err := yield(ctx, l.Plan, "restart", old, stopping)
			if err != nil {
				return r, err
			}
			o.Direct = true // the question was asked
			defer func() { r.Stopped.Unasked = unasked }()
		}
		// The process that is tried goes on when the old one is gone, unless both cannot
		// have what the start hook opens, or the terminal.
		goOn := stop
		if l.Plan.Worker == plan.Program || l.Hook != nil || start.Debug {
			goOn = nil
		}
		a, err := l.trial(until, starting, start.Timeout, goOn)
		switch {
		case stopFailed != nil:
			return r, stopFailed
		case r.Stopped.PID == 0 && err != nil:
			r.Kept = old
			return r, hinted(err, fmt.Sprintf("The running daemon (PID %d) goes on as before.", old))
		case a != nil && goOn != nil:
			if err == nil {
				l.notified(start)
			}
			r.Started = Started{PID: a.PID, Ready: a.Ready}
			r.Started.Took = time.Since(began) - r.Stopped.Took
			return r, Down(l.Plan, r.Stopped.PID, err)
		}
	}
	if err := stop(until); err != nil {
		return r, err
	}
	calm()
	r.Started, err = l.Start(ctx, start, starting)
	return r, Down(l.Plan, r.Stopped.PID, err)
}

// running is as Running, and 0 in the daemon's own process.
func (l *Launcher) running(ctx context.Context) int {
	if l.Living() {
		return 0
	}
	return Running(ctx, l.Plan)
}

// errTried ends a start that was only to show that it can be made.
var errTried = errors.New("tried")

// trial shows, beside the daemon that runs, whether a start can be made. goOn lets the new
// process go on when it has come as far as it can; nil: it is taken back. The attempt is
// nil where a start makes no process.
func (l *Launcher) trial(ctx context.Context, w *Watcher, timeout time.Duration, goOn func(context.Context) error) (*attempt.Attempt, error) {
	err := l.Check(ctx, "start", w.Checkup)
	if err == nil && l.Program != nil {
		err = l.Program()
	}
	if err == nil && Detaches(Where()) {
		own, gate := w, goOn
		if goOn == nil {
			own = &Watcher{Interrupts: w.Interrupts}
			gate = func(context.Context) error { return errTried }
		}
		a := l.attempt(own)
		a.Gate = gate
		session(own, timeout, &sockets.Set{}).Detach(ctx, []*attempt.Attempt{a})
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

// MayRestart tries a start beside the daemon that runs, as the first step of a restart of
// several.
func (l *Launcher) MayRestart(ctx context.Context, o StartOptions, w *Watcher) error {
	if err := o.complete(l.Plan, "restart"); err != nil {
		return err
	}
	_, err := l.trial(ctx, &Watcher{Interrupts: w.Interrupts, Checkup: w.Checkup}, o.Timeout, nil)
	return hinted(err, "Nothing was stopped.")
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

// Interrupted words the end of the caller's context in the stop half of a restart: what
// the daemon was told cannot be taken back. stopped is the PID that it had, 0 if none was stopped.
func Interrupted(ctx context.Context, p *plan.Plan, stopped int, err error) error {
	if !errors.Is(ctx.Err(), context.Canceled) || err != nil && !errors.Is(err, context.Cause(ctx)) {
		return err
	}
	op := "start"
	if err != nil && stopped != 0 {
		op = "restart" // the half that it is about
	}
	e := p.Cancelled(op, ctx)
	switch {
	case err != nil && stopped != 0:
		e.Err = fault.Say(fmt.Sprintf("restart was cancelled: process %d was told to stop, and will not be started again", stopped), e.Err)
	case stopped != 0:
		e.Err = fault.Say(fmt.Sprintf("restart was cancelled: process %d was stopped, and will not be started again", stopped), e.Err)
	}
	e.PID = stopped
	return e
}

// Down says of a start that failed after the stop what that means.
func Down(p *plan.Plan, stopped int, err error) error {
	if err == nil || stopped == 0 || errors.Is(err, fault.ErrStillStarting) || errors.Is(err, fault.ErrAlreadyRunning) {
		return err
	}
	hint := "The daemon is down: the old process had been stopped."
	// A reload that is not ready first has stopped it, too, when the worker begins.
	if p.PID != nil && p.Worker == plan.GoCode && (p.RequireReady || !errors.Is(err, fault.ErrDied)) {
		hint += " A reload would have kept it."
	}
	return hinted(err, hint)
}
