//go:build unix

package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/rights"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// watch is the launcher's watch over one start of a program.
type watch struct {
	ready  Probe              // nil: it has no way to say so
	socket *sdnotify.Listener // nil: it does not wait for notifications
	let    func()             // ends the adoption of orphans
}

// Watch gets ready, in the launcher, to watch the program start. It must be called before the
// daemon's process is made: what happened before was not this start.
func (p *Program) Watch(ctx context.Context, own *plan.Plan) (attempt.Watch, error) {
	w := &watch{ready: p.Ready}
	switch probe := p.Ready.(type) {
	case *askProbe:
		limit, stop := context.WithTimeout(ctx, timing.ProbeBefore)
		defer stop()
		if probe.ready(limit) {
			e := own.Relay("start", fmt.Errorf("%s answers already, before the daemon runs", probe.what))
			e.Hint = "Stop what answers there, or let the daemon use another address."
			return nil, e
		}
	case *notifyProbe:
		socket, err := sdnotify.Listen()
		if err != nil {
			return nil, own.Fail("start", err)
		}
		w.socket = socket
	}
	w.let = proc.AdoptOrphans()
	return w, nil
}

func (w *watch) Address() string {
	if w.socket == nil {
		return ""
	}
	return w.socket.Name
}

func (w *watch) Close() {
	if w.socket != nil {
		w.socket.Close()
	}
	w.let()
}

func (w *watch) Watch(ctx, limit context.Context, a *attempt.Attempt) (phase.LaunchEvent, error) {
	over, stop := context.WithCancel(limit)
	defer stop()
	died := make(chan launch.Status, 1)
	go func() {
		if s, err := a.Launch.Wait(over); err == nil {
			died <- s
		}
	}()
	is := w.announced(over, a)
	var lived <-chan time.Time
	if is == nil {
		lived = time.After(time.Until(a.Since.Add(a.Plan.StartWindow)))
	}
	event := phase.LivesOn
	select {
	case s := <-died:
		return phase.Exits, w.died(a, s)
	case <-lived:
	case <-is:
		event = phase.IsReady
		if w.socket == nil {
			// Many programs listen, and say so, before they go into the background.
			select {
			case s := <-died:
				return phase.Exits, w.died(a, s)
			case <-limit.Done():
			case <-time.After(timing.LivesOnAfterReady):
			}
		}
	case <-limit.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return phase.CallOff, nil
		}
		return phase.TimesOut, nil
	}
	if err := w.holds(ctx, a); err != nil {
		return phase.Exits, err
	}
	return event, nil
}

func (w *watch) Await(ctx context.Context, a *attempt.Attempt) (ready, can bool) {
	if _, reads := w.ready.(*lineProbe); reads && a.Stderr == nil && a.Stdout == nil {
		return false, false // the lines are on the terminal
	}
	is := w.announced(ctx, a)
	if is == nil {
		return false, false
	}
	select {
	case <-is:
		return true, true
	case <-ctx.Done():
		return false, true
	}
}

// announced gives a channel that is closed when the program is ready, nil if it has no way to
// say so.
func (w *watch) announced(ctx context.Context, a *attempt.Attempt) <-chan struct{} {
	if w.ready == nil {
		return nil
	}
	is := make(chan struct{})
	go func() {
		var ok bool
		switch probe := w.ready.(type) {
		case *askProbe:
			ok = backOff(ctx, func() bool { return probe.ready(ctx) })
		case *lineProbe:
			ok = probe.appears(ctx, a)
		case *notifyProbe:
			ok = w.socket.Ready(ctx, func(from sdnotify.Sender) bool { return trusts(a.Plan, from, a.Launch.PID()) })
		}
		if ok {
			close(is)
		}
	}()
	return is
}

// trusts reports whether the word of that process counts. Of one that has ended,
// such as systemd-notify without its barrier, only the user is known.
func trusts(p *plan.Plan, from sdnotify.Sender, daemon int) bool {
	if from.PID == daemon {
		return true
	}
	group, _, err := proc.GroupID(from.PID)
	if errors.Is(err, proc.ErrGone) {
		return from.UID == 0 || from.UID == os.Geteuid() || p.ID.SwitchUser && from.UID == p.ID.UID
	}
	return err == nil && group == daemon
}

// appears waits for the line in the log files.
func (p *lineProbe) appears(ctx context.Context, a *attempt.Attempt) bool {
	var logs []*follower
	for _, log := range []*attempt.Log{a.Stderr, a.Stdout} {
		if log == nil || log == a.Stdout && a.Stderr != nil && log.Identity == a.Stderr.Identity {
			continue
		}
		if f := follow(log); f != nil {
			logs = append(logs, f)
		}
	}
	defer func() {
		for _, f := range logs {
			f.f.Close()
		}
	}()
	return backOff(ctx, func() bool {
		return slices.ContainsFunc(logs, func(f *follower) bool { return f.has(p.pattern.MatchString) })
	})
}

// holds looks whether the program is the daemon still.
func (w *watch) holds(ctx context.Context, a *attempt.Attempt) error {
	pid := a.Launch.PID()
	if h := a.Launch.Handle(); h != nil && h.Gone() {
		s, _ := a.Launch.Wait(ctx)
		return w.died(a, s)
	}
	if a.Plan.PID == nil {
		return nil
	}
	r, err := a.Plan.PID.Look(context.WithoutCancel(ctx))
	if err != nil || r.State == pidfile.Running && r.PID == pid {
		return nil
	}
	e := a.Plan.Fail("start", fault.Say("the program has closed the descriptor that holds the lock of the PID file, and was ended", fault.ErrDied))
	e.PID = pid
	e.Hint = "It closes what it inherits. Start a shell that waits for it instead."
	w.Tell(a, e)
	w.End(a)
	return e
}

// died is the verdict on a program that has ended. If it went into the background
// what it has left there is ended as well.
func (w *watch) died(a *attempt.Attempt, s launch.Status) error {
	err := a.Died(s, a.Phase.Reached())
	left := w.End(a)
	w.Tell(a, err)
	if e, is := errors.AsType[*fault.Fault](err); is && len(left) > 0 && s.Code == 0 {
		e.Reason = fmt.Sprintf("it went into the background by itself (PID %s), and was ended", plan.PIDs(left))
		e.Hint = "Tell it to stay in the foreground; many programs have an option for that, such as -f, -n, --foreground or --nodaemon."
	}
	return err
}

// Tell adds what the program had to say to the error.
func (w *watch) Tell(a *attempt.Attempt, err error) {
	e, is := errors.AsType[*fault.Fault](err)
	if !is {
		return
	}
	if e.Stderr == nil {
		e.Stderr = a.LastLines()
	}
	if e.Stderr == nil && a.Stdout != nil {
		e.Stdout = a.Stdout.Last()
	}
	if e.Reason == "" && w.socket != nil {
		e.Reason = w.socket.Status()
	}
}

// End ends what is left of the program and of what it has started: in its process group,
// in its session, and orphans that have left both; the latter two only of a daemon that is
// started alone. What the daemon's user could not end himself is left, such as what
// has become root. It returns what it has met.
func (w *watch) End(a *attempt.Attempt) []int {
	session := 0
	if a.Alone {
		session = a.Launch.Session()
	}
	var met []int
	limit, stop := context.WithTimeout(context.Background(), timing.LeftEnds)
	defer stop()
	signal := a.Plan.StopSignal()
	for range 10 { // what is forking can be missed
		var asked []*proc.Handle
		for _, h := range remains(a.Launch.PID(), session) {
			t, err := rights.Claimed(a.Plan, h)
			if err == nil {
				err = t.Signal(signal)
			}
			if err != nil && !errors.Is(err, proc.ErrGone) {
				h.Close()
				continue
			}
			if err == nil {
				t.Signal(signals.Continue)
			}
			asked = append(asked, h)
			if !slices.Contains(met, h.PID()) {
				met = append(met, h.PID())
			}
		}
		if len(asked) == 0 {
			break
		}
		for _, h := range asked {
			h.Wait(limit)
			h.Close()
		}
		if limit.Err() != nil && signal != syscall.SIGKILL {
			signal = syscall.SIGKILL
			limit, stop = context.WithTimeout(context.Background(), timing.KillShows)
			defer stop() // once
		}
	}
	slices.Sort(met)
	return met
}

// remains opens handles of what there is of a program. The leader of the session is none
// of it: that is the process which has made the daemon, and may be on its way out still.
func remains(daemon, session int) []*proc.Handle {
	members, _ := proc.Group(daemon)
	var orphans []int
	if session > 1 {
		orphans = proc.Orphans() // before a handle makes one somebody's
		more, _ := proc.Session(session)
		members = append(members, more...)
	}
	members = append(members, orphans...)
	slices.Sort(members)
	var handles []*proc.Handle
	for _, pid := range slices.Compact(members) {
		if pid == session {
			continue
		}
		h, err := proc.Open(pid)
		if err != nil {
			continue
		}
		// The number may have been given to another process since. That of an
		// orphan, which is our child, cannot.
		group, sid, err := proc.GroupID(pid)
		if err == nil && (group == daemon || session > 1 && sid == session || slices.Contains(orphans, pid)) && !h.Gone() {
			handles = append(handles, h)
			continue
		}
		h.Close()
	}
	return handles
}
