package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/daemonocle/daemonocle/internal/control"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// ReloadOptions are for one reload.
type ReloadOptions struct {
	// Timeout is how long to wait for the outcome. 0: StartTimeout and StopTimeout
	// together, and a little more for the end of a process that has failed.
	Timeout time.Duration `name:"wait" zero:"1" help:"How long to wait for the outcome."`
	// Replace asks for a new process also where Hooks.Reload does without one.
	Replace bool `help:"Replace the process, even if it can read its configuration again."`
}

// Reloaded says what became of a reload.
type Reloaded struct {
	PID        int // of the daemon from now on
	Old        int // the one it had; the same if Hooks.Reload did it
	Generation int // 1 before the first reload
	Took       time.Duration
	// Skipped: see Started.
	Skipped bool
}

// RequestReload asks the running daemon to reload, as SIGHUP does, and waits for the
// outcome: Hooks.Reload is called there, or the daemon calls Reload. Root and the
// daemon's own user may ask. It may be called by any process but the daemon's own, and
// concurrently.
//
// The errors are *Error and wrap ErrNotRunning, ErrNoPIDFile, ErrReloadFailed if the
// daemon says that it has not worked (Reason and Stderr are the new process's; the old
// one goes on), ErrStopping if it was told to stop before it was done, or ErrUnsupported where the daemon cannot be asked: as another program,
// or from another network namespace. The end of ctx ends the waiting and nothing else.
func (d *Daemon) RequestReload(ctx context.Context, o ReloadOptions) (Reloaded, error) {
	r, err := d.requestReload(ctx, o, watcher{})
	return r, public(err)
}

func (d *Daemon) requestReload(ctx context.Context, o ReloadOptions, w watcher) (r Reloaded, err error) {
	const op = "reload"
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	switch {
	case waitingForClaim():
		return Reloaded{Skipped: true}, nil
	case o.Timeout < 0:
		return r, d.plan.Negative(op, o.Timeout)
	case o.Timeout == 0:
		o.Timeout = d.plan.StartTimeout + d.plan.StopTimeout + timing.KillShows
	}
	if d.foreign != nil {
		e := d.plan.Fail(op, fault.Say("the daemon is another program, which cannot replace itself", ErrUnsupported))
		e.Hint = "Send it the signal on which it reads its configuration again, or restart it."
		return r, e
	}
	limit, stop := context.WithTimeout(ctx, o.Timeout)
	defer stop()
	begun := false
	end := func(err error) error {
		if begun {
			w.settle(err == nil)
		}
		return err
	}
	// Who is not answered may have asked a daemon that was about to hand over, or that
	// has only just started.
	var seen pidfile.Report
	var home string // the inode of all generations of this daemon; see pin
	deaf := time.Time{}
	for {
		f, err := d.look(limit, op, w)
		switch {
		case err != nil:
			return r, end(err)
		case f.State != pidfile.Running && !begun:
			return r, d.plan.NotRunning(op)
		case f.State != pidfile.Running || begun && home != "" && f.Inode != home:
			e := d.plan.Fail(op, fault.Say("the daemon has ended meanwhile", ErrDied))
			e.PID = seen.PID
			return r, end(e)
		case f.PID == os.Getpid():
			return r, end(d.plan.Fail(op, fault.Say("the daemon calls Reload instead", ErrInside)))
		case f.PID <= 0 || f.Unproved:
			return r, end(d.unnamed(op, f))
		}
		if !begun {
			begun = true
			w.begin()
			r.Old = f.PID
			pinned := f
			defer d.pin(&pinned)()
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
			return r, end(d.toldToStop(f.PID))
		case err == nil:
			e := d.relay(op, fault.Say(a.Err, ErrReloadFailed))
			e.Capital = a.Capital
			e.PID, e.Reason, e.Hint, e.Stderr = a.PID, a.Reason, a.Hint, a.Stderr
			return r, end(e)
		case ctx.Err() != nil:
			return r, end(d.about(op, f.PID, fmt.Errorf("wait for process %d: %w", f.PID, context.Cause(ctx))))
		case limit.Err() != nil:
			return r, end(d.about(op, f.PID, fault.Say(fmt.Sprintf("timed out while waiting for process (PID %d) to reload", f.PID), ErrStillStarting)))
		case errors.Is(err, control.ErrUnanswered):
			deaf = time.Now().Add(timing.ControlOpens)
		case (errors.Is(err, control.ErrNobody) || errors.Is(err, control.ErrStranger)) && time.Now().Before(deaf):
			// The stranger may be the daemon's predecessor, or a successor.
		default:
			return r, end(d.cannotAsk(f.PID, err))
		}
		d.pause(limit, f.PID)
	}
}

func (d *Daemon) toldToStop(pid int) *fault.Fault {
	e := d.relay("reload", fault.Say(d.plan.Name+" was told to stop, and is not reloaded", ErrStopping))
	e.PID = pid
	return e
}

// pause gives a daemon that is about to hand over the time to do it.
func (d *Daemon) pause(ctx context.Context, pid int) {
	short, stop := context.WithTimeout(ctx, 5*time.Millisecond)
	defer stop()
	if h, err := proc.Open(pid); err == nil {
		h.Wait(short)
		h.Close()
	}
}

func (d *Daemon) cannotAsk(pid int, err error) *fault.Fault {
	text := fmt.Sprintf("process %d cannot be asked (%v)", pid, err)
	e := d.plan.Fail("reload", fault.Say(text, ErrUnsupported, err))
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
