package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/rights"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// StopOptions are for one stop. See Config.StopSignal for another signal than
// SIGTERM.
type StopOptions struct {
	// Timeout is how long to wait for the daemon to end. 0: Config.StopTimeout.
	Timeout time.Duration `zero:"1" meta:"INTEGER" help:"Number of seconds to wait for the daemon to stop. Overrides \"stop_timeout\" from daemon definition."`
	// Force kills the daemon, and what is left of its process group, after the
	// timeout.
	Force bool `help:"Kill the daemon forcefully after the timeout."`
	// Direct acts on the daemon's process also where a service manager runs it, which
	// may start it again. Without it the error wraps ErrManaged there, and nothing is
	// done.
	Direct bool `help:"Act on the process even if a service manager runs the daemon."`
}

// Stopped says what became of a stop.
type Stopped struct {
	PID    int           // that the daemon had
	Took   time.Duration // until it was gone
	Killed bool          // by SIGKILL
	// Left are processes of the daemon's process group that have outlived it;
	// with Force they were killed, and with them those that it was before its reloads
	// and that had work left. If the daemon was another program and had ended
	// before (ErrNotRunning), they are what it has left behind; see Status.Left. Those
	// that could not be killed are named in the error.
	Left []int
	// Unasked says why it is not known whether a service manager runs the daemon, where
	// that could be: systemd was asked, and has not answered within 5 s.
	Unasked error
	// Skipped: see Started.
	Skipped bool
}

// Stop asks the daemon to end with SIGTERM, or Config.StopSignal, and returns when its process is
// gone. Only the process that holds the PID file's lock is ever signalled, and by root
// only if it is the daemon's user's; what has outlived it is killed with that user's
// rights. It may be called by any process but the daemon's own, and more than once.
//
// The end of ctx ends the waiting and nothing else. The errors are *Error and
// wrap ErrNotRunning, ErrStopTimeout, ErrNoPIDFile, ErrManaged, or what the kernel said,
// such as fs.ErrPermission.
func (d *Daemon) Stop(ctx context.Context, o StopOptions) (Stopped, error) {
	s, err := d.stop(ctx, "stop", o, stopWatcher{})
	return s, public(err)
}

// stopWatcher hears of a stop while it goes on. Its functions may be nil.
type stopWatcher struct {
	watcher
	failed  func(error) // the stop signal was not enough
	killing func()      // SIGKILL comes next
	unasked func(error) // a service manager that may run the daemon has not answered

	managers *managers // nil: of this stop alone
}

func (d *Daemon) stop(ctx context.Context, op string, o StopOptions, w stopWatcher) (Stopped, error) {
	began := time.Now()
	if waitingForClaim() {
		return Stopped{Skipped: true}, nil
	}
	if o.Timeout < 0 {
		return Stopped{}, d.plan.Negative(op, o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = d.plan.StopTimeout
	}
	if op == "restart" && !o.Force {
		w.orphaned = nil // the start says it
	}
	r, err := d.look(ctx, op, w.watcher)
	if err != nil {
		return Stopped{}, err
	}
	if r.State != pidfile.Running && op == "restart" && !o.Force {
		return Stopped{}, d.plan.NotRunning(op)
	}
	if r.State != pidfile.Running {
		s := Stopped{Left: d.orphans(r)}
		if r.Orphaned && o.Force {
			return d.endOrphans(ctx, op, r, s)
		}
		return s, d.plan.NotRunning(op)
	}
	if r.PID == os.Getpid() {
		return Stopped{}, d.plan.Fail(op, fault.Say("the daemon cannot stop itself this way: let its worker return", ErrInside))
	}
	if r.PID <= 0 || r.Unproved {
		return Stopped{}, d.unnamed(op, r)
	}

	var unasked error
	if !o.Direct {
		if unasked, err = d.yield(ctx, op, r.PID, w); err != nil {
			return Stopped{}, err
		}
	}
	defer d.pin(&r)()
	s := Stopped{Unasked: unasked}
	var refused []int // that should have been killed
	end, r, err := d.pursue(ctx, op, r, func(h rights.Target) (phase.Sight, error) {
		if s.PID == 0 {
			w.begin()
		}
		s.PID = h.PID()
		if err := d.stopOne(ctx, op, o, w, h, &s, &refused); err != nil {
			return phase.Denies, err
		}
		return phase.Outlived, nil
	})
	switch {
	case end == phase.NotThere:
		d.plan.PID.Remove()
		return Stopped{}, d.plan.NotRunning(op)
	case s.PID == 0:
		return Stopped{}, err
	}
	if err == nil && o.Force {
		killed, not := d.killDraining(r.Inode)
		s.Left, refused = append(s.Left, killed...), append(refused, not...)
	}
	w.settle(err == nil)
	s.Took = time.Since(began)
	if err != nil {
		return s, err
	}
	d.plan.PID.Remove()
	if len(refused) > 0 {
		return s, d.unnamedLeft(op, refused)
	}
	return s, nil
}

// endOrphans kills what a daemon that was a foreign program has left behind. If somebody
// has the lock still, not all that is left could be found.
func (d *Daemon) endOrphans(ctx context.Context, op string, r pidfile.Report, s Stopped) (Stopped, error) {
	if r.Stranger && d.plan.User() < 0 { // whose rights it would take is not known
		left := s.Left
		s.Left = nil
		return s, d.unnamedLeft(op, left)
	}
	var refused []int
	s.Left, refused = rights.KillAll(d.plan, s.Left, func(pid int) bool { return d.plan.PID.IsLeft(r, pid) })
	if len(refused) > 0 {
		return s, d.unnamedLeft(op, refused)
	}
	limit, stop := context.WithTimeout(ctx, timing.KillShows)
	defer stop()
	for _, pid := range s.Left {
		if h, err := proc.Open(pid); err == nil {
			h.Wait(limit)
			h.Close()
		}
	}
	if again, err := d.plan.PID.Look(ctx); err == nil && again.Orphaned && again.Inode == r.Inode {
		return s, d.unnamedLeft(op, nil)
	}
	d.plan.PID.Remove()
	return s, d.plan.NotRunning(op)
}

// killDraining is for earlier generations of a daemon that is gone, which finish their work
// still, and what is in their process groups.
func (d *Daemon) killDraining(inode string) (killed, refused []int) {
	limit, stop := context.WithTimeout(context.Background(), timing.KillShows)
	defer stop()
	for _, pid := range d.plan.PID.Draining(inode) {
		h, err := proc.Open(pid)
		if err != nil {
			continue
		}
		group, _, groupErr := proc.GroupID(pid)
		t, err := rights.Named(d.plan, h)
		// Asked again, the handle is of the process that was named.
		if err == nil && slices.Contains(d.plan.PID.Draining(inode), pid) {
			err = t.Signal(syscall.SIGKILL)
			if err == nil {
				h.Wait(limit)
				killed = append(killed, pid)
				if groupErr == nil && group == pid {
					more, not := rights.KillGroup(d.plan, pid)
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
func (d *Daemon) stopOne(ctx context.Context, op string, o StopOptions, w stopWatcher, h rights.Target, s *Stopped, refused *[]int) error {
	pid := h.PID()
	group, _, err := proc.GroupID(pid)
	leads := err == nil && group == pid

	err = d.terminate(ctx, op, h, o.Timeout)
	if errors.Is(err, ErrStopTimeout) && o.Force {
		w.settle(false)
		if w.failed != nil {
			w.failed(err)
		}
		if w.killing != nil {
			w.killing()
		}
		err = d.kill(ctx, op, h)
		s.Killed = err == nil
	}
	if err != nil {
		return err
	}
	// While a member is left, the group's number cannot be given to another.
	if leads && o.Force {
		killed, not := rights.KillGroup(d.plan, pid)
		s.Left, *refused = append(s.Left, killed...), append(*refused, not...)
	} else if leads && !proc.Alive(pid) {
		left, _ := proc.Group(pid)
		s.Left = append(s.Left, left...)
	}
	return nil
}

// pursue does act with the process that the report names; if that is gone with the one that
// has its place, and so on. act says whether that process has ended. The report is of the last.
func (d *Daemon) pursue(ctx context.Context, op string, r pidfile.Report, act func(rights.Target) (phase.Sight, error)) (phase.Follow, pidfile.Report, error) {
	f := phase.Met
	var h rights.Target
	for {
		var sight phase.Sight
		var err error
		switch f {
		case phase.Met, phase.MetNext:
			h, err = d.holder(ctx, r.PID)
			switch {
			case err == nil:
				sight = phase.Proves
			case errors.Is(err, proc.ErrGone):
				sight = phase.Misses
			default:
				sight, err = phase.Denies, d.about(op, r.PID, err)
			}
		case phase.Held, phase.HeldNext:
			sight, err = act(h)
			h.Close()
		default:
			sight = d.again(ctx, &r)
		}
		next, ok := f.Next(sight)
		if !ok {
			return phase.Refused, r, d.about(op, r.PID, fmt.Errorf("sight %d cannot come in state %d", sight, f))
		}
		phase.Taken(d, f, sight, next)
		f = next
		switch {
		case f == phase.Unnamed:
			return f, r, d.unnamed(op, r)
		case f.Over():
			return f, r, err
		}
	}
}

// pin makes the report one that replaced can be asked about: while the file is open, no
// later one, of a daemon that is started anew, can have its inode.
func (d *Daemon) pin(r *pidfile.Report) (unpin func()) {
	unpin, ok := d.plan.PID.Pin(*r)
	if !ok {
		r.Inode = ""
	}
	return unpin
}

// again looks who has the place of a process that is gone. It holds the same file; a daemon
// that was started since has a new one.
func (d *Daemon) again(ctx context.Context, before *pidfile.Report) phase.Sight {
	r, err := d.plan.PID.Look(ctx)
	switch {
	case err != nil || r.State != pidfile.Running || r.Inode != before.Inode:
		return phase.SeesNil
	case r.PID <= 0 || r.Unproved:
		*before = r
		return phase.SeesOne
	case r.PID == before.PID:
		return phase.SeesNil
	}
	*before = r
	return phase.Sees
}

// look is where every action from outside begins. A stale file is removed, and
// one that does not name the running daemon is repaired, as far as we may.
func (d *Daemon) look(ctx context.Context, op string, w watcher) (pidfile.Report, error) {
	if d.plan.PID == nil {
		what := map[string]string{"status": "get status of"}[op]
		if what == "" {
			what = op
		}
		return pidfile.Report{}, d.plan.Fail(op, fault.Say("cannot "+what+" daemon without PID file", ErrNoPIDFile))
	}
	r, err := d.plan.PID.Look(ctx)
	if err != nil {
		return r, d.plan.PIDFileFault(op, err)
	}
	if r.Orphaned && !d.leaves(op, r) {
		// The daemon lives, and a number that is nobody's was written over its own.
		r.State, r.Orphaned, r.Unproved = pidfile.Running, false, true
	}
	mended := false
	switch {
	case r.State == pidfile.Free:
		if r.Orphaned && w.orphaned != nil {
			w.orphaned(d.orphans(r))
		}
		// What tells of orphans stays, until there is a new daemon, which removes it, or
		// none of them: a start may fail because of them.
		if !r.Orphaned {
			mended, _ = d.plan.PID.Remove()
		}
	case r.State == pidfile.Running && r.Broken() && r.PID > 0:
		mended = d.plan.PID.Repair(r.PID) == nil
	}
	if r.Broken() && w.broken != nil {
		w.broken(r.State == pidfile.Running, mended)
	}
	return r, nil
}

// leaves reports whether the daemon can have left orphans that have the lock: Go code
// leaves none, and of another program somebody must be found. A start believes it, for
// nothing is to block it.
func (d *Daemon) leaves(op string, r pidfile.Report) bool {
	if d.foreign != nil || d.code.Worker == nil {
		return op == "start" || len(d.plan.PID.Left(r)) > 0
	}
	return false
}

// orphans are what a daemon that was a foreign program has left behind.
func (d *Daemon) orphans(r pidfile.Report) []int {
	if !r.Orphaned {
		return nil
	}
	return rights.CouldBe(d.plan, d.plan.PID.Left(r))
}

// unnamed: a daemon runs, but which process it is cannot be told from here.
func (d *Daemon) unnamed(op string, r pidfile.Report) *fault.Fault {
	e := d.relay(op, fault.Say(d.plan.Name+" runs, but its process cannot be named from here", ErrHeldElsewhere))
	e.Hint = "Try as root, and from the PID namespace in which it was started."
	switch {
	case r.Locker > 0:
		e.Hint = "It is blocked by " + who1(r.Locker) + ", who has a lock on the PID file " + d.plan.PIDPath() + ": end that process, or wait for its end."
	case d.plan.Stranger() && r.Unproved:
		user := proc.Username(d.plan.ID.UID)
		e.Hint = "The kernel names no process of user " + user + " for it, and what that user says is not believed: look for it, as with ps -u " + user + ", and end it with kill."
	case os.Geteuid() == 0 && r.Unproved:
		e.Hint = "The kernel names no process for it, and the number in the PID file proves nothing: look who has the file open, as with fuser, and end what is the daemon's with kill."
	case op == "reload":
		e.Hint = "Do it where the daemon was started: in its container (podman exec, docker exec, kubectl exec), or send SIGHUP to its process by the number that it has there."
	}
	return e
}

func (d *Daemon) about(op string, pid int, err error) *fault.Fault {
	if errors.Is(err, rights.ErrStranger) {
		return d.unnamed(op, pidfile.Report{Unproved: true})
	}
	e := d.plan.Fail(op, err)
	e.PID = pid
	return e
}

// holder opens a handle of the process and asks again who holds the lock: if it
// is still that number, the handle is of the process that held it, or of one
// that is dead. Then it looks whose process that is.
func (d *Daemon) holder(ctx context.Context, pid int) (rights.Target, error) {
	h, err := proc.Open(pid)
	if err != nil {
		return rights.Target{}, err
	}
	r, err := d.plan.PID.Look(ctx)
	if err == nil && (r.State != pidfile.Running || r.PID != pid || r.Unproved) {
		err = proc.ErrGone
	}
	var t rights.Target
	if err == nil {
		t, err = rights.Named(d.plan, h)
	}
	if err != nil {
		h.Close()
		return rights.Target{}, err
	}
	return t, nil
}

// terminate sends the stop signal and waits. A stopped process gets SIGCONT as well, for
// it could not act on the other.
func (d *Daemon) terminate(ctx context.Context, op string, h rights.Target, timeout time.Duration) error {
	switch err := h.Signal(d.plan.StopSignal()); {
	case errors.Is(err, proc.ErrGone):
		return nil
	case err != nil:
		return d.about(op, h.PID(), err)
	}
	h.Signal(signals.Continue)
	return d.await(ctx, op, h, timeout, fault.Say(
		fmt.Sprintf("timed out while waiting for process (PID %d) to terminate", h.PID()), ErrStopTimeout))
}

func (d *Daemon) kill(ctx context.Context, op string, h rights.Target) error {
	if err := h.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, proc.ErrGone) {
		return d.about(op, h.PID(), err)
	}
	return d.await(ctx, op, h, timing.KillShows, fault.Say(
		fmt.Sprintf("process (PID %d) did not respond to SIGKILL for some reason", h.PID()), ErrStopTimeout))
}

func (d *Daemon) await(ctx context.Context, op string, h rights.Target, timeout time.Duration, late error) error {
	limit, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	err := h.Wait(limit)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return d.about(op, h.PID(), fmt.Errorf("wait for process %d: %w", h.PID(), context.Cause(ctx)))
	}
	return d.about(op, h.PID(), late)
}

// Wait returns when the running daemon is gone: nil, or an error that wraps
// ErrNotRunning if there was none, or ErrHeldElsewhere if it cannot be told who is the
// daemon now. It may be called by any process but the daemon's own. ctx bounds the wait.
func (d *Daemon) Wait(ctx context.Context) error { return public(d.wait(ctx)) }

func (d *Daemon) wait(ctx context.Context) error {
	r, err := d.look(ctx, "wait for", watcher{})
	if err != nil {
		return err
	}
	switch {
	case r.State != pidfile.Running:
		return d.plan.NotRunning("wait for")
	case r.PID == os.Getpid():
		return d.plan.Fail("wait for", fault.Say("the daemon cannot wait for itself", ErrInside))
	case r.PID <= 0 || r.Unproved:
		return d.unnamed("wait for", r)
	}
	// All generations of a daemon have one file, so one pin is enough for them.
	defer d.pin(&r)()
	_, _, err = d.pursue(ctx, "wait for", r, func(h rights.Target) (phase.Sight, error) {
		if err := h.Wait(ctx); err != nil {
			return phase.Denies, d.about("wait for", h.PID(), err)
		}
		return phase.Outlived, nil
	})
	return err
}

// unnamedLeft is for what was left behind and could not be ended; pids may be empty.
func (d *Daemon) unnamedLeft(op string, pids []int) *fault.Fault {
	what := "what " + d.plan.Name + " has left behind cannot be named from here"
	if len(pids) > 0 {
		var who []string
		for _, pid := range pids {
			who = append(who, who1(pid))
		}
		what = plural(len(pids), "a process that "+d.plan.Name+" has left behind cannot be named from here: ",
			"%d processes that "+d.plan.Name+" has left behind cannot be named from here: ") + strings.Join(who, ", ")
	}
	e := d.plan.Fail(op, fault.Say(what, ErrHeldElsewhere))
	e.Hint = "Only processes of the daemon's own say that it belongs to them: look who has the PID file open, as with fuser, and end what is the daemon's with kill."
	if d.plan.Stranger() {
		e.Hint = "Only user " + proc.Username(d.plan.ID.UID) + ", who may not end it, says that it belongs to the daemon: look who has the PID file open, as with fuser, and end what is the daemon's with kill."
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
