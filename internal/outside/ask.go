package outside

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/control"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
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
func RequestReload(ctx context.Context, p *plan.Plan, o ReloadOptions, w *Watcher) (r Reloaded, err error) {
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
	a := request{p: p, o: o, w: w, ctx: ctx, limit: limit, unpin: func() {}}
	defer func() { a.unpin() }()
	at := phase.Seeking
	for !at.Over() {
		var event phase.RequestEvent
		if at == phase.Requested {
			event, err = a.ask()
		} else {
			event, err = a.seek()
		}
		to, ok := at.Next(event)
		if !ok {
			to.To, err = phase.RequestFailed, fmt.Errorf("event %d cannot come in state %d", event, at)
		}
		phase.Taken(p, "Request", uint8(at), uint8(event), uint8(to.To), uint16(to.Do))
		at = to.To
		if to.Do&phase.ShowRequest != 0 {
			w.Begin()
			r.Old = a.named.PID
			a.begin()
		}
		if to.Do&phase.StartGrace != 0 {
			a.deaf, a.met = time.Now().Add(timing.ControlOpens), nil
		}
		if to.Do&phase.PauseShort != 0 {
			pause(limit, a.named.PID)
		}
	}
	switch at {
	case phase.Reloaded:
		r.PID, r.Generation = a.answer.PID, a.answer.Generation
	case phase.NoDaemon:
		err = p.NotRunning(op)
	case phase.DaemonGone:
		e := p.Fail(op, fault.Say("the daemon has ended meanwhile", fault.ErrDied))
		e.PID = a.asked
		err = e
	case phase.Self:
		err = p.Fail(op, fault.Say("the daemon calls Reload instead", fault.ErrInside))
	case phase.DaemonUnnamed:
		err = unnamed(p, op, a.named)
	}
	if r.Old != 0 {
		w.Settle(err == nil)
	}
	return r, err
}

// request is a request to reload that is on its way.
type request struct {
	p          *plan.Plan
	o          ReloadOptions
	w          *Watcher
	ctx, limit context.Context // the caller's; derived from that, for all of it

	named  *pidfile.Report // the last look
	asked  int             // who was asked last, 0: nobody
	home   string          // the inode of all generations of this daemon, empty: it is not known; see pin
	deaf   time.Time       // until then nobody need listen
	met    error           // why the daemon was not reached since then; who fills a stranger's queue hides whose it is
	unpin  func()
	answer control.Answer
}

// begin is for the first process that is asked.
func (a *request) begin() {
	pinned := *a.named
	a.unpin = pin(a.p, &pinned)
	a.home = pinned.Inode
}

// seek looks who is the daemon.
func (a *request) seek() (phase.RequestEvent, error) {
	r, err := look(a.limit, a.p, "reload", a.w)
	if err != nil {
		return phase.FindFails, err
	}
	a.named = r
	switch {
	case r.State != pidfile.Running || a.home != "" && r.Inode != a.home:
		return phase.FindsNone, nil
	case r.PID == os.Getpid():
		return phase.FindsSelf, nil
	case !r.Named():
		return phase.FindsUnnamed, nil
	case r.PID == a.asked:
		return phase.FindsSame, nil
	}
	return phase.FindsProcess, nil
}

// ask asks the process that is named.
func (a *request) ask() (phase.RequestEvent, error) {
	pid := a.named.PID
	a.asked = pid
	var err error
	a.answer, err = control.Ask(a.limit, a.named.Inode, pid, control.Request{Replace: a.o.Replace})
	switch {
	case err == nil && a.answer.Err == "":
		return phase.SaysDone, nil
	case err == nil && a.answer.Stopping:
		return phase.SaysNo, ToldToStop(a.p, pid)
	case err == nil:
		return phase.SaysNo, notReloaded(a.p, a.answer)
	case a.ctx.Err() != nil:
		return phase.RequestCancelled, a.openEnded(fmt.Errorf("wait for process %d: %w", pid, context.Cause(a.ctx)))
	case errors.Is(err, control.ErrNobody), errors.Is(err, control.ErrStranger), errors.Is(err, control.ErrCrowded):
		if a.limit.Err() == nil && time.Now().Before(a.deaf) {
			if a.met == nil || !errors.Is(err, control.ErrCrowded) {
				a.met = err
			}
			return phase.NotListening, nil // the stranger may be the daemon's predecessor, or a successor
		}
		if a.met != nil && errors.Is(err, control.ErrCrowded) {
			err = a.met
		}
		return phase.StillNotListening, cannotAsk(a.p, pid, err)
	case a.limit.Err() != nil:
		e := a.openEnded(fault.Say(fmt.Sprintf("timed out while waiting for process (PID %d) to reload", pid), fault.ErrStillStarting))
		e.Code = fault.ExitStillStarting
		return phase.RequestTimesOut, e
	case errors.Is(err, control.ErrUnanswered):
		return phase.Disconnects, nil
	}
	return phase.Unreachable, cannotAsk(a.p, pid, err)
}

// openEnded is for who does not wait any more: the daemon drops what it has not begun.
func (a *request) openEnded(err error) *fault.Fault {
	e := about(a.p, "reload", a.asked, err)
	e.Hint = "If the reload has begun it goes on, and may yet be done; else it is dropped."
	return e
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
	e.Hint = fmt.Sprintf("It listens in its network namespace, and tries for as long as another process has its name. Send SIGHUP to process %d from where it runs.", pid)
	switch {
	case errors.Is(err, control.ErrElsewhere):
		e.Hint = fmt.Sprintf("Ask from where it runs, or send SIGHUP to process %d.", pid)
	case errors.Is(err, control.ErrStranger):
		e.Hint = "Somebody else has taken the daemon's name; SIGHUP reaches it nevertheless."
	case errors.Is(err, control.ErrCrowded):
		e.Hint = "Too many ask the daemon, it is stopped, or somebody else has taken its name; SIGHUP reaches it nevertheless."
	}
	return e
}
