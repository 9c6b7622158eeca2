package outside

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/plan"

	"github.com/daemonocle/daemonocle/internal/control"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// ReloadOptions are for one reload; daemonocle.ReloadOptions says what they mean.
type ReloadOptions struct {
	Timeout time.Duration
	Replace bool
}

// Reloaded says what became of a reload; daemonocle.Reloaded says how.
type Reloaded struct {
	PID        int
	Old        int
	Generation int
	Took       time.Duration
}

// RequestReload asks the running daemon to reload, and waits for the outcome.
func RequestReload(ctx context.Context, p *plan.Plan, o ReloadOptions, w Watcher) (r Reloaded, err error) {
	const op = "reload"
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	switch {
	case o.Timeout < 0:
		return r, p.Negative(op, o.Timeout)
	case o.Timeout == 0:
		o.Timeout = p.StartTimeout + p.StopTimeout + timing.KillShows
	}
	if p.Worker == plan.Program {
		e := p.Fail(op, fault.Say("the daemon is another program, which cannot replace itself", fault.ErrUnsupported))
		e.Hint = "Send it the signal on which it reads its configuration again, or restart it."
		return r, e
	}
	limit, stop := context.WithTimeout(ctx, o.Timeout)
	defer stop()
	begun := false
	end := func(err error) error {
		if begun {
			w.Settle(err == nil)
		}
		return err
	}
	// Who is not answered may have asked a daemon that was about to hand over, or that
	// has only just started.
	var seen pidfile.Report
	var home string // the inode of all generations of this daemon; see pin
	deaf := time.Time{}
	for {
		f, err := look(limit, p, op, w)
		switch {
		case err != nil:
			return r, end(err)
		case f.State != pidfile.Running && !begun:
			return r, p.NotRunning(op)
		case f.State != pidfile.Running || begun && home != "" && f.Inode != home:
			e := p.Fail(op, fault.Say("the daemon has ended meanwhile", fault.ErrDied))
			e.PID = seen.PID
			return r, end(e)
		case f.PID == os.Getpid():
			return r, end(p.Fail(op, fault.Say("the daemon calls Reload instead", fault.ErrInside)))
		case !f.Named():
			return r, end(unnamed(p, op, f))
		}
		if !begun {
			begun = true
			w.Begin()
			r.Old = f.PID
			pinned := f
			defer pin(p, &pinned)()
			home = pinned.Inode
		}
		if f.PID != seen.PID {
			deaf = time.Now().Add(timing.ControlOpens)
		}
		seen = f
		a, err := control.Ask(limit, f.Inode, f.PID, control.Request{Replace: o.Replace})
		switch {
		case err == nil && a.Err == "":
			r.PID, r.Generation = a.PID, a.Generation
			return r, end(nil)
		case err == nil && a.Stopping:
			return r, end(ToldToStop(p, f.PID))
		case err == nil:
			return r, end(notReloaded(p, a))
		case ctx.Err() != nil:
			return r, end(about(p, op, f.PID, fmt.Errorf("wait for process %d: %w", f.PID, context.Cause(ctx))))
		case limit.Err() != nil:
			return r, end(about(p, op, f.PID, fault.Say(fmt.Sprintf("timed out while waiting for process (PID %d) to reload", f.PID), fault.ErrStillStarting)))
		case errors.Is(err, control.ErrUnanswered):
			deaf = time.Now().Add(timing.ControlOpens)
		case (errors.Is(err, control.ErrNobody) || errors.Is(err, control.ErrStranger)) && time.Now().Before(deaf):
			// The stranger may be the daemon's predecessor, or a successor.
		default:
			return r, end(cannotAsk(p, f.PID, err))
		}
		pause(limit, f.PID)
	}
}

// notReloaded is for a daemon that says why. It may have changed its user.
func notReloaded(p *plan.Plan, a control.Answer) *fault.Fault {
	if strings.TrimSpace(a.Err) == "" {
		a.Err, a.Capital = "the daemon has not said why it is not reloaded", true
	}
	e := p.Relay("reload", fault.Say(a.Err, fault.ErrReloadFailed))
	e.Capital = a.Capital
	e.PID, e.Reason, e.Hint, e.Stderr = a.PID, a.Reason, a.Hint, a.Stderr
	return e
}

// ToldToStop is for a reload that a stop has overtaken.
func ToldToStop(p *plan.Plan, pid int) *fault.Fault {
	e := p.Relay("reload", fault.Say(p.Name+" was told to stop, and is not reloaded", fault.ErrStopping))
	e.PID = pid
	return e
}

// pause gives a daemon that is about to hand over the time to do it.
func pause(ctx context.Context, pid int) {
	short, stop := context.WithTimeout(ctx, 5*time.Millisecond)
	defer stop()
	if h, err := proc.Open(pid); err == nil {
		h.Wait(short)
		h.Close()
	}
}

func cannotAsk(p *plan.Plan, pid int, err error) *fault.Fault {
	text := fmt.Sprintf("process %d cannot be asked (%v)", pid, err)
	e := p.Fail("reload", fault.Say(text, fault.ErrUnsupported, err))
	e.PID = pid
	e.Hint = fmt.Sprintf("It listens to its own user and root, in its network namespace. Send SIGHUP to process %d from where it runs.", pid)
	switch {
	case errors.Is(err, control.ErrElsewhere):
		e.Hint = fmt.Sprintf("Ask from where it runs, or send SIGHUP to process %d.", pid)
	case errors.Is(err, control.ErrStranger):
		e.Hint = "Somebody else has taken the daemon's name; SIGHUP reaches it nevertheless."
	}
	return e
}
