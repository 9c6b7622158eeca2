package outside

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/rights"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// look is where every action from outside begins. A stale file is removed, and
// one that does not name the running daemon is repaired, as far as we may.
func look(ctx context.Context, p *plan.Plan, op string, w *Watcher) (*pidfile.Report, error) {
	if p.PID == nil {
		what := map[string]string{"status": "get status of"}[op]
		if what == "" {
			what = op
		}
		return &pidfile.Report{}, p.Fail(op, fault.Say("cannot "+what+" daemon without PID file", fault.ErrNoPIDFile))
	}
	r, err := p.PID.Look(ctx)
	for n := timing.MomentLasts / timing.MomentPasses; n > 0 && err == nil && r.Orphaned && !leaves(p, op, r) && gone(r.Number); n-- {
		// A child that the daemon has begun may not be another program yet, which has no lock. If
		// there is a process of that number, Look has waited as long for its end.
		r, err = p.PID.Look(ctx)
	}
	if err != nil {
		return r, p.PIDFileFault(op, err)
	}
	if r.Orphaned && !leaves(p, op, r) {
		// The daemon lives, and a number that is nobody's was written over its own.
		r.State, r.Orphaned, r.Unproved = pidfile.Running, false, true
	}
	mended := false
	switch {
	case r.State == pidfile.Free:
		if r.Orphaned && w.Orphaned != nil {
			w.Orphaned(orphans(p, r))
		}
		// What tells of orphans stays, until there is a new daemon, which removes it, or
		// none of them: a start may fail because of them.
		if !r.Orphaned {
			mended, _ = p.PID.Remove()
		}
	case r.State == pidfile.Running && r.Broken() && r.PID > 0:
		mended = p.PID.Repair(r.PID) == nil
	}
	if r.Broken() && w.Broken != nil {
		w.Broken(r.State == pidfile.Running, mended)
	}
	return r, nil
}

func gone(pid int) bool {
	h, err := proc.Open(pid)
	if err == nil {
		h.Close()
	}
	return errors.Is(err, proc.ErrGone)
}

// leaves reports whether the daemon can have left orphans that have the lock: Go code
// leaves none, and of another program somebody must be found. A start believes it, for
// nothing is to block it.
func leaves(p *plan.Plan, op string, r *pidfile.Report) bool {
	if p.Worker != plan.GoCode {
		return op == "start" || len(p.PID.Left(r)) > 0
	}
	return false
}

// orphans are what a daemon that was a foreign program has left behind.
func orphans(p *plan.Plan, r *pidfile.Report) []int {
	if !r.Orphaned {
		return nil
	}
	return rights.CouldBe(p, p.PID.Left(r))
}

// unnamed: a daemon runs, but which process it is cannot be told from here.
func unnamed(p *plan.Plan, op string, r *pidfile.Report) *fault.Fault {
	e := p.Relay(op, fault.Say(p.Name+" runs, but its process cannot be named from here", fault.ErrHeldElsewhere))
	e.Hint = "Try as root, and from the PID namespace in which it was started."
	switch {
	case r.Locker > 0:
		e.Hint = "It is blocked by " + who1(r.Locker) + ", who has a lock on the PID file " + p.PIDPath() + ": end that process, or wait for its end."
	case p.Stranger() && r.Unproved:
		user := proc.Username(p.ID.UID)
		e.Hint = "The kernel names no process of user " + user + " for it, and what that user says is not believed: look for it, as with ps -u " + user + ", and end it with kill."
	case os.Geteuid() == 0 && r.Unproved:
		e.Hint = "The kernel names no process for it, and the number in the PID file proves nothing: look who has the file open, as with fuser, and end what is the daemon's with kill."
	case op == "reload":
		e.Hint = "Do it where the daemon was started: in its container (podman exec, docker exec, kubectl exec), or send SIGHUP to its process by the number that it has there."
	}
	return e
}

// about is what went wrong with a process.
func about(p *plan.Plan, op string, pid int, err error) *fault.Fault {
	if errors.Is(err, rights.ErrStranger) {
		return unnamed(p, op, &pidfile.Report{Unproved: true})
	}
	e := p.Fail(op, err)
	e.PID = pid
	return e
}

// holder opens a handle of the process and asks again who holds the lock: if it
// is still that number, the handle is of the process that held it, or of one
// that is dead. Then it looks whose process that is.
func holder(ctx context.Context, p *plan.Plan, pid int) (*rights.Target, error) {
	h, err := proc.Open(pid)
	if err != nil {
		return nil, err
	}
	r, err := p.PID.Look(ctx)
	if err == nil && (!r.Named() || r.PID != pid) {
		err = proc.ErrGone
	}
	var t *rights.Target
	if err == nil {
		t, err = rights.Named(p, h)
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return t, nil
}

// pursue does act with the process that the report names; if that is gone with the one that
// has its place, and so on. act says whether that process has ended. enough, which may be nil,
// says with an error that the next one, of that PID, is one too many. The report is of the last.
func pursue(ctx context.Context, p *plan.Plan, op string, r *pidfile.Report, enough func(pid int) error, act func(*rights.Target) (phase.FollowEvent, error)) (phase.Follow, *pidfile.Report, error) {
	f := phase.Met
	var h *rights.Target
	for {
		var event phase.FollowEvent
		var err error
		switch f {
		case phase.Met, phase.MetNext:
			h, err = holder(ctx, p, r.PID)
			switch {
			case err == nil:
				event = phase.Proves
			case errors.Is(err, proc.ErrGone):
				event = phase.Misses
			default:
				event, err = phase.Denies, about(p, op, r.PID, err)
			}
		case phase.Held, phase.HeldNext:
			event, err = act(h)
			h.Close()
		default:
			event, err = again(ctx, p, op, r)
			if event == phase.Sees && enough != nil {
				if err = enough(r.PID); err != nil {
					event = phase.SeesYet
				}
			}
		}
		next, ok := f.Next(event)
		if !ok {
			return phase.Refused, r, about(p, op, r.PID, fmt.Errorf("event %d cannot come in state %d", event, f))
		}
		phase.Taken(p, "Follow", uint8(f), uint8(event), uint8(next), 0)
		f = next
		switch {
		case f == phase.Unnamed:
			return f, r, unnamed(p, op, r)
		case f.Over():
			return f, r, err
		}
	}
}

// pin makes the report one that again can be asked about: while the file is open, no
// later one, of a daemon that is started anew, can have its inode.
func pin(p *plan.Plan, r *pidfile.Report) (unpin func()) {
	unpin, ok := p.PID.Pin(r)
	if !ok {
		r.Inode = ""
	}
	return unpin
}

// again looks who has the place of a process that is gone. It holds the same file; a daemon
// that was started since has a new one. An error says why it cannot be told.
func again(ctx context.Context, p *plan.Plan, op string, before *pidfile.Report) (phase.FollowEvent, error) {
	r, err := p.PID.Look(ctx)
	switch {
	case err != nil:
		e := p.PIDFileFault(op, err)
		e.PID = before.PID
		return phase.SeesNot, e
	case r.State != pidfile.Running || r.Inode != before.Inode:
		return phase.SeesNil, nil
	case !r.Named():
		*before = *r
		return phase.SeesOne, nil
	case r.PID == before.PID:
		return phase.SeesNil, nil
	}
	*before = *r
	return phase.Sees, nil
}

// unnamedLeft is for what was left behind and could not be ended; pids may be empty.
func unnamedLeft(p *plan.Plan, op string, pids []int) *fault.Fault {
	what := "what " + p.Name + " has left behind cannot be named from here"
	if len(pids) > 0 {
		var who []string
		for _, pid := range pids {
			who = append(who, who1(pid))
		}
		some := "a process that "
		if len(pids) > 1 {
			some = fmt.Sprintf("%d processes that ", len(pids))
		}
		what = some + p.Name + " has left behind cannot be named from here: " + strings.Join(who, ", ")
	}
	e := p.Fail(op, fault.Say(what, fault.ErrHeldElsewhere))
	e.Hint = "Only processes of the daemon's own say that it belongs to them: look who has the PID file open, as with fuser, and end what is the daemon's with kill."
	if p.Stranger() {
		e.Hint = "Only user " + proc.Username(p.ID.UID) + ", who may not end it, says that it belongs to the daemon: look who has the PID file open, as with fuser, and end what is the daemon's with kill."
	}
	return e
}

// who1 names a process and its user.
func who1(pid int) string {
	if h, err := proc.Open(pid); err == nil {
		defer h.Close()
		if ids, err := h.IDs(); err == nil {
			return fmt.Sprintf("process %d of user %s", pid, proc.Username(ids.UID[1]))
		}
	}
	return fmt.Sprintf("process %d", pid)
}

// Running is the PID of the daemon, 0 if there is none, or none that a stop could stop.
func Running(ctx context.Context, p *plan.Plan) int {
	if p.PID == nil {
		return 0
	}
	r, err := p.PID.Look(ctx)
	if err != nil || !r.Named() {
		return 0
	}
	return r.PID
}
