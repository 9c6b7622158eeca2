package outside

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/rights"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// StopOptions are for one stop; daemonocle.StopOptions says what they mean.
type StopOptions struct {
	Timeout time.Duration
	Force   bool
	Direct  bool
}

// Stopped says what became of a stop; daemonocle.Stopped says how.
type Stopped struct {
	PID     int
	Took    time.Duration
	Killed  bool
	Left    []int
	Unasked error
}

// StopWatcher hears of a stop while it goes on. Its functions may be nil.
type StopWatcher struct {
	Watcher
	Failed  func(error) // the stop signal was not enough
	Killing func()      // SIGKILL comes next
	Unasked func(error) // a service manager that may run the daemon has not answered

	Managers *Managers // nil: of this stop alone
}

// Stop ends the daemon, and is the first half of a restart: op says which.
func Stop(ctx context.Context, p *plan.Plan, op string, o StopOptions, w *StopWatcher) (Stopped, error) {
	began := time.Now()
	if o.Timeout < 0 {
		return Stopped{}, p.Negative(op, o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = p.StopTimeout
	}
	found := w.Watcher
	if op == "restart" && !o.Force {
		found.Orphaned = nil // the start says it
	}
	r, err := look(ctx, p, op, &found)
	if err != nil {
		return Stopped{}, err
	}
	if r.State != pidfile.Running && op == "restart" && !o.Force {
		return Stopped{}, p.NotRunning(op)
	}
	if r.State != pidfile.Running {
		s := Stopped{Left: orphans(p, r)}
		if r.Orphaned && o.Force {
			return endOrphans(ctx, p, op, r, s)
		}
		return s, p.NotRunning(op)
	}
	if r.PID == os.Getpid() {
		return Stopped{}, p.Fail(op, fault.Say("the daemon cannot stop itself this way: let its worker return", fault.ErrInside))
	}
	if !r.Named() {
		return Stopped{}, unnamed(p, op, r)
	}

	var unasked error
	if !o.Direct {
		if unasked, err = yield(ctx, p, op, r.PID, w); err != nil {
			return Stopped{}, err
		}
	}
	defer pin(p, r)()
	g := stopping{p: p, op: op, o: o, w: w, limit: time.Now().Add(o.Timeout), Stopped: Stopped{Unasked: unasked}}
	end, r, err := pursue(ctx, p, op, r, g.enough, func(h *rights.Target) (phase.FollowEvent, error) {
		if g.PID == 0 {
			w.Begin()
		}
		g.PID = h.PID()
		if err := g.one(ctx, h); err != nil {
			return phase.Denies, err
		}
		g.ended++
		return phase.Outlived, nil
	})
	s, refused := g.Stopped, g.refused
	switch {
	case end == phase.NotThere:
		p.PID.Remove()
		return Stopped{}, p.NotRunning(op)
	case s.PID == 0:
		return Stopped{}, err
	}
	if err == nil && o.Force {
		killed, not := killDraining(p, r.Inode)
		s.Left, refused = append(s.Left, killed...), append(refused, not...)
	}
	w.Settle(err == nil)
	s.Took = time.Since(began)
	if err != nil {
		return s, err
	}
	p.PID.Remove()
	if len(refused) > 0 {
		return s, unnamedLeft(p, op, refused)
	}
	return s, nil
}

// endOrphans kills what a daemon that was a foreign program has left behind. If somebody
// has the lock still, not all that is left could be found.
func endOrphans(ctx context.Context, p *plan.Plan, op string, r *pidfile.Report, s Stopped) (Stopped, error) {
	if r.Stranger && p.User() < 0 { // whose rights it would take is not known
		left := s.Left
		s.Left = nil
		return s, unnamedLeft(p, op, left)
	}
	var refused []int
	s.Left, refused = rights.KillAll(p, s.Left, func(pid int) bool { return p.PID.IsLeft(r, pid) })
	if len(refused) > 0 {
		return s, unnamedLeft(p, op, refused)
	}
	limit, stop := context.WithTimeout(ctx, timing.KillShows)
	defer stop()
	for _, pid := range s.Left {
		if h, err := proc.Open(pid); err == nil {
			h.Wait(limit)
			h.Close()
		}
	}
	if again, err := p.PID.Look(ctx); err == nil && again.Orphaned && again.Inode == r.Inode {
		return s, unnamedLeft(p, op, nil)
	}
	p.PID.Remove()
	return s, p.NotRunning(op)
}

// killDraining is for earlier generations of a daemon that is gone, which finish their work
// still, and what is in their process groups.
func killDraining(p *plan.Plan, inode string) (killed, refused []int) {
	limit, stop := context.WithTimeout(context.Background(), timing.KillShows)
	defer stop()
	for _, pid := range p.PID.Draining(inode) {
		h, err := proc.Open(pid)
		if err != nil {
			continue
		}
		group, _, groupErr := proc.GroupID(pid)
		t, err := rights.Named(p, h)
		// Asked again, the handle is of the process that was named.
		if err == nil && slices.Contains(p.PID.Draining(inode), pid) {
			err = t.Signal(syscall.SIGKILL)
			if err == nil {
				h.Wait(limit)
				killed = append(killed, pid)
				if groupErr == nil && group == pid {
					more, not := rights.KillGroup(p, pid)
					killed, refused = append(killed, more...), append(refused, not...)
				}
			}
		}
		if err != nil && !errors.Is(err, proc.ErrGone) {
			refused = append(refused, pid)
		}
		h.Close()
	}
	return killed, refused
}

// killsAtMost is how many processes a stop kills that have the daemon's place one after the
// other. A daemon that is reloading is two; more means that somebody makes them faster than
// they can be ended.
const killsAtMost = 5

// stopping is a stop that has begun. All processes that it meets share its time.
type stopping struct {
	p     *plan.Plan
	op    string
	o     StopOptions
	w     *StopWatcher
	limit time.Time // until then it only asks

	ended, kills int
	refused      []int // that should have been killed
	Stopped
}

// enough says that no further process is met: pid is the next one.
func (g *stopping) enough(pid int) error {
	last := g.limit
	if g.o.Force {
		last = last.Add(timing.KillShows)
	}
	if g.kills < killsAtMost && time.Now().Before(last) {
		return nil
	}
	return g.late(pid)
}

// late: the time of the stop is over, and that process is the daemon.
func (g *stopping) late(pid int) *fault.Fault {
	text := fmt.Sprintf("timed out while waiting for process (PID %d) to terminate", pid)
	switch {
	case g.ended == 1:
		text += ", which has taken the place of another one"
	case g.ended > 1:
		text += fmt.Sprintf(", which has taken the daemon's place after %d others", g.ended)
	}
	e := about(g.p, g.op, pid, fault.Say(text, fault.ErrStopTimeout))
	if g.ended > 1 { // a reload has two
		e.Hint = fmt.Sprintf("Processes take the daemon's place again and again: look what starts them, as with ps -o ppid,args -p %d, and end that first.", pid)
	}
	return e
}

// one ends one process; a daemon that is reloading may be several.
func (g *stopping) one(ctx context.Context, h *rights.Target) error {
	pid := h.PID()
	group, _, err := proc.GroupID(pid)
	leads := err == nil && group == pid

	if g.ended > 0 && g.o.Force && !time.Now().Before(g.limit) {
		err = g.late(pid)
	} else {
		err = g.terminate(ctx, h)
	}
	if errors.Is(err, fault.ErrStopTimeout) && g.o.Force {
		if g.kills == 0 {
			g.w.Settle(false)
			if g.w.Failed != nil {
				g.w.Failed(err)
			}
			if g.w.Killing != nil {
				g.w.Killing()
			}
		}
		err = kill(ctx, g.p, g.op, h)
		g.kills++
		g.Killed = g.Killed || err == nil
	}
	if err != nil {
		return err
	}
	// While a member is left, the group's number cannot be given to another.
	if leads && g.o.Force {
		killed, not := rights.KillGroup(g.p, pid)
		g.Left, g.refused = append(g.Left, killed...), append(g.refused, not...)
	} else if leads && !proc.Alive(pid) {
		left, _ := proc.Group(pid)
		g.Left = append(g.Left, left...)
	}
	return nil
}

// terminate sends the stop signal and waits. A stopped process gets SIGCONT as well, for
// it could not act on the other. The time begins when the first process has been told.
func (g *stopping) terminate(ctx context.Context, h *rights.Target) error {
	switch err := h.Signal(g.p.StopSignal()); {
	case errors.Is(err, proc.ErrGone):
		return nil
	case err != nil:
		return about(g.p, g.op, h.PID(), err)
	}
	h.Signal(signals.Continue)
	if g.ended == 0 {
		g.limit = time.Now().Add(g.o.Timeout)
	}
	return await(ctx, g.p, g.op, h, g.limit, g.late(h.PID()))
}

func kill(ctx context.Context, p *plan.Plan, op string, h *rights.Target) error {
	if err := h.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, proc.ErrGone) {
		return about(p, op, h.PID(), err)
	}
	return await(ctx, p, op, h, time.Now().Add(timing.KillShows), about(p, op, h.PID(), fault.Say(
		fmt.Sprintf("process (PID %d) did not respond to SIGKILL for some reason", h.PID()), fault.ErrStopTimeout)))
}

func await(ctx context.Context, p *plan.Plan, op string, h *rights.Target, until time.Time, late *fault.Fault) error {
	limit, stop := context.WithDeadline(ctx, until)
	defer stop()
	err := h.Wait(limit)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return about(p, op, h.PID(), fmt.Errorf("wait for process %d: %w", h.PID(), context.Cause(ctx)))
	}
	return late
}
