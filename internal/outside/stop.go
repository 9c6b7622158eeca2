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
func Stop(ctx context.Context, p *plan.Plan, op string, o StopOptions, w StopWatcher) (Stopped, error) {
	began := time.Now()
	if o.Timeout < 0 {
		return Stopped{}, p.Negative(op, o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = p.StopTimeout
	}
	if op == "restart" && !o.Force {
		w.Orphaned = nil // the start says it
	}
	r, err := look(ctx, p, op, w.Watcher)
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
	if r.PID <= 0 || r.Unproved {
		return Stopped{}, unnamed(p, op, r)
	}

	var unasked error
	if !o.Direct {
		if unasked, err = yield(ctx, p, op, r.PID, w); err != nil {
			return Stopped{}, err
		}
	}
	defer pin(p, &r)()
	s := Stopped{Unasked: unasked}
	var refused []int // that should have been killed
	end, r, err := pursue(ctx, p, op, r, func(h rights.Target) (phase.Sight, error) {
		if s.PID == 0 {
			w.Begin()
		}
		s.PID = h.PID()
		if err := stopOne(ctx, p, op, o, w, h, &s, &refused); err != nil {
			return phase.Denies, err
		}
		return phase.Outlived, nil
	})
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
func endOrphans(ctx context.Context, p *plan.Plan, op string, r pidfile.Report, s Stopped) (Stopped, error) {
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

// stopOne ends one process; a daemon that is reloading may be several.
func stopOne(ctx context.Context, p *plan.Plan, op string, o StopOptions, w StopWatcher, h rights.Target, s *Stopped, refused *[]int) error {
	pid := h.PID()
	group, _, err := proc.GroupID(pid)
	leads := err == nil && group == pid

	err = terminate(ctx, p, op, h, o.Timeout)
	if errors.Is(err, fault.ErrStopTimeout) && o.Force {
		w.Settle(false)
		if w.Failed != nil {
			w.Failed(err)
		}
		if w.Killing != nil {
			w.Killing()
		}
		err = kill(ctx, p, op, h)
		s.Killed = err == nil
	}
	if err != nil {
		return err
	}
	// While a member is left, the group's number cannot be given to another.
	if leads && o.Force {
		killed, not := rights.KillGroup(p, pid)
		s.Left, *refused = append(s.Left, killed...), append(*refused, not...)
	} else if leads && !proc.Alive(pid) {
		left, _ := proc.Group(pid)
		s.Left = append(s.Left, left...)
	}
	return nil
}

// terminate sends the stop signal and waits. A stopped process gets SIGCONT as well, for
// it could not act on the other.
func terminate(ctx context.Context, p *plan.Plan, op string, h rights.Target, timeout time.Duration) error {
	switch err := h.Signal(p.StopSignal()); {
	case errors.Is(err, proc.ErrGone):
		return nil
	case err != nil:
		return about(p, op, h.PID(), err)
	}
	h.Signal(signals.Continue)
	return await(ctx, p, op, h, timeout, fault.Say(
		fmt.Sprintf("timed out while waiting for process (PID %d) to terminate", h.PID()), fault.ErrStopTimeout))
}

func kill(ctx context.Context, p *plan.Plan, op string, h rights.Target) error {
	if err := h.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, proc.ErrGone) {
		return about(p, op, h.PID(), err)
	}
	return await(ctx, p, op, h, timing.KillShows, fault.Say(
		fmt.Sprintf("process (PID %d) did not respond to SIGKILL for some reason", h.PID()), fault.ErrStopTimeout))
}

func await(ctx context.Context, p *plan.Plan, op string, h rights.Target, timeout time.Duration, late error) error {
	limit, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	err := h.Wait(limit)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return about(p, op, h.PID(), fmt.Errorf("wait for process %d: %w", h.PID(), context.Cause(ctx)))
	}
	return about(p, op, h.PID(), late)
}
