//go:build unix

package outside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/sockets"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// keep starts the daemon as a child in a process group of its own, passes
// signals on to it, and returns when nothing of that group is left. The keeper
// has the terminal; its death is the daemon's SIGTERM.
func (l *Launcher) keep(ctx context.Context, o StartOptions, inherited *sockets.Set, w *Watcher) (Started, error) {
	over, end := context.WithCancel(context.Background())
	defer end()
	k := &keeper{l: l, w: w, at: stationOf(), over: over.Done(), phase: phase.Tending, followed: make(chan struct{}, 1)}
	k.spokesman.said, k.spokesman.complain, k.spokesman.fd = phase.Unsaid, l.Complain, o.NotifyFD
	var watchdog time.Duration
	k.spokesman.manager, watchdog = l.Manager()
	k.spokesman.watches = watchdog > 0
	signals := make(chan os.Signal, maxSignal)
	defer signal.Stop(signals)
	// From before the start, so that none is lost.
	signal.Notify(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGPIPE)

	a := l.attempt(w)
	a.Phase, a.Alone = phase.Named, true
	if k.spokesman.needed() { // else nobody asks when a program is ready
		if !a.PrepareWatch(ctx) {
			return Started{}, a.Err
		}
		defer a.EndWatch()
	}
	files, names, err := inheritance(inherited)
	var first *launch.Launch
	if err == nil {
		first, err = launch.Foreground(launch.Hello{Key: l.Plan.Key, Notify: a.NotifyAddress(), Files: names}, files)
	}
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		w.Begin()
		w.Settle(false)
		return Started{}, l.Plan.Fail("start", err)
	}
	defer first.Close()
	a.Launch = first
	k.first, k.generations = first, []*launch.Launch{first}
	// A generation is the child of the one before it, until that ends.
	defer proc.AdoptOrphans()()
	defer proc.ReapOrphans(func() { k.reap(first.PID()) })()
	done := make(chan struct{})
	defer close(done)
	go k.forward(signals, done)
	go k.followStops(done)
	stop := context.AfterFunc(ctx, func() { k.pass(syscall.SIGTERM) })
	defer stop()
	for sig := syscall.Signal(1); sig <= maxSignal; sig++ { // while the daemon is on its way: this takes as long
		if k.fateOf(sig) != unheard {
			signal.Notify(signals, sig)
		}
	}

	if err := k.setUp(a); err != nil {
		k.spokesman.tell(sdnotify.Status(fault.InWords(err).Error()))
		return Started{}, err
	}
	go k.awaitReady(over, a)
	inherited.End() // they are the daemon's by now
	s := Started{PID: first.PID()}
	for { // only ready, another generation, and the end
		m, err := first.Receive(context.Background())
		if errors.Is(err, launch.ErrMalformed) {
			k.complain("hear the daemon", launch.ErrMalformed)
		}
		if err != nil {
			break
		}
		k.hear(m)
		switch m.Kind {
		case launch.Ready:
			s.Ready = true
		case launch.Took:
			if err := k.follow(m.PID); err != nil {
				k.complain("follow a reload", err)
			}
		}
	}
	k.waitForLast()
	k.noMore()
	status := k.waitForAll()
	s.PID = k.current().PID()
	end()
	k.rest()
	sudden := k.spokesman.become(phase.IsEnding) // else it has said why
	if l.Plan.Worker == plan.Program && l.Plan.PID != nil {
		l.Plan.PID.Remove() // the program does not know of it
	}
	if w.Childless != nil {
		w.Childless()
	}
	if status.Code == 0 || status.Code < 0 && k.hasForwarded(syscall.Signal(-status.Code)) {
		return s, nil
	}
	e := l.Plan.Fail("start", fault.Say(exitText(status), fault.ErrDied))
	if sudden {
		k.spokesman.tell(sdnotify.Status(e.Err.Error()))
	}
	e.PID, e.Code, e.Shown = s.PID, fault.ExitStatus(status.Code), true
	return s, e
}

func exitText(s launch.Status) string {
	if s.Code < 0 {
		return "the daemon was ended by " + signals.Name(syscall.Signal(-s.Code))
	}
	return "the daemon ended with exit code " + strconv.Itoa(s.Code)
}

type keeper struct {
	l    *Launcher
	w    *Watcher
	at   station
	over <-chan struct{} // nothing of the daemon is left

	spokesman  spokesman
	first      *launch.Launch // the generation that we have started
	complaints atomic.Int32

	mu          sync.Mutex
	generations []*launch.Launch // the last one is the daemon
	forwarded   []syscall.Signal
	phase       phase.Keeper
	missed      []syscall.Signal // by a generation that was gone
	impatience  *time.Timer      // Overdue

	followed chan struct{} // another generation has come

	reaping sync.Mutex
	reaped  []proc.Stray // the last ones that can have been a generation
}

// stationOf this process is asked once, when the keeper begins: when a terminal has gone there
// is none.
func stationOf() station {
	switch {
	case environ.PID1():
		return firstProcess
	case environ.ControllingTerminal():
		return onTerminal
	}
	return offTerminal
}

func (k *keeper) fateOf(sig syscall.Signal) fate { return fateOf(sig, k.at, k.l.Plan.StopSignal()) }

// maxComplaints is how many of the words that prove false are spoken of: whoever sends
// one may send millions.
const maxComplaints = 10

// follow is for a process that is said to have taken the daemon's place. The error says
// why that is not true. It may be called for the same process again.
func (k *keeper) follow(pid int) error {
	k.reaping.Lock()
	h, err := k.prove(pid)
	k.reaping.Unlock()
	if err != nil {
		return err
	}
	l := launch.Adopted(h)
	k.mu.Lock()
	earlier := k.generations
	last := earlier[len(earlier)-1]
	known := last.PID() == pid && (last.Handle() == nil || !last.Handle().Gone())
	if known || k.phase.Done() {
		k.mu.Unlock()
		h.Close()
		if known {
			return nil
		}
		return errors.New("the daemon has ended")
	}
	k.generations = append(earlier, l)
	do := k.step(phase.Follows)
	missed := k.kept(do)
	if do&phase.Ask != 0 {
		missed = append(missed, syscall.SIGTERM) // twice is no more than once
	}
	k.mu.Unlock()
	select {
	case k.followed <- struct{}{}:
	default:
	}
	go k.countAlive()
	go take(earlier)
	for _, sig := range missed {
		if sig == syscall.SIGSTOP || sig == syscall.SIGCONT {
			k.passToGroups(sig)
		} else {
			k.pass(sig)
		}
	}
	return nil
}

// find is for a keeper whose last generation is gone: it follows the process that the
// kernel names as the daemon, if that has come from it. ctx bounds the looking.
func (k *keeper) find(ctx context.Context) bool {
	if k.l.Plan.PID == nil || k.l.Plan.Worker == plan.Program { // a program makes no generation
		return false
	}
	r, err := k.l.Plan.PID.Look(ctx)
	return err == nil && r.Named() && k.follow(r.PID) == nil
}

// prove opens a process that is said to be the next generation. Who says so may have
// given up the rights that we have, so that it need not be true: it must be a child of
// the daemon, or an orphan that the kernel has given us, and of the daemon's user. One
// that is gone already is never signalled. k.reaping is held: what is ours stays a zombie
// meanwhile.
func (k *keeper) prove(pid int) (*proc.Handle, error) {
	if pid <= 1 || pid > math.MaxInt32 || pid == os.Getpid() {
		return nil, fmt.Errorf("process %d cannot be the daemon", pid)
	}
	h := proc.OpenFD(pid, -1)
	err := k.descends(h)
	if err == nil {
		err = k.owned(h)
	}
	if errors.Is(err, proc.ErrGone) {
		err = nil
		if !slices.ContainsFunc(k.reaped, func(s proc.Stray) bool { return s.PID == pid }) {
			err = fmt.Errorf("there is no process %d", pid)
		}
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// descends proves that the process comes from the daemon.
func (k *keeper) descends(h *proc.Handle) error {
	daemon := k.current()
	for range 2 {
		parent, err := h.Parent()
		switch {
		case errors.Is(err, errors.ErrUnsupported) && !k.l.Plan.ID.SwitchUser:
			return nil // the daemon has our rights: its word counts
		case err != nil:
			return err
		case parent == proc.OrphanParent():
			return nil
		case parent != daemon.PID():
			return fmt.Errorf("process %d is no child of the daemon", h.PID())
		}
		// The number is the daemon's own while that lives. Whose child it is when that
		// is gone is asked again.
		if held := daemon.Handle(); held == nil || !held.Gone() {
			return nil
		}
	}
	return fmt.Errorf("process %d is no child of the daemon", h.PID())
}

// owned proves that the process has the daemon's user, and no other beside.
func (k *keeper) owned(h *proc.Handle) error {
	ids, err := h.IDs()
	if err != nil {
		if errors.Is(err, proc.ErrGone) || !k.l.Plan.ID.SwitchUser {
			return nil // never signalled; or the daemon has our rights
		}
		return err
	}
	user := [3]int{os.Getuid(), os.Geteuid(), os.Geteuid()}
	if id := k.l.Plan.ID; id.SwitchUser {
		user = [3]int{id.UID, id.UID, id.UID}
	}
	if ids.UID != user {
		return fmt.Errorf("process %d is not the daemon's user's", h.PID())
	}
	return nil
}

// signal signals a generation. One that we have not started ourselves may have become
// somebody else since it was proved: then it counts as gone.
func (k *keeper) signal(l *launch.Launch, sig syscall.Signal) error {
	h := l.Handle()
	if h == nil {
		return nil
	}
	if l != k.first {
		if err := k.owned(h); err != nil {
			k.complain("pass on "+signals.Name(sig), err)
			return proc.ErrGone
		}
	}
	return h.Signal(sig)
}

// complain is for what a stranger can bring about.
func (k *keeper) complain(act string, err error) {
	if k.complaints.Add(1) <= maxComplaints {
		k.l.Complain(act, err)
	}
}

// maxReaped is far more than can end before the keeper has read of it.
const maxReaped = 100

// reap reaps orphans. A generation that has ended before we have heard of it is one of
// them: it is not held yet. As it leads a process group, how those ended is kept.
func (k *keeper) reap(first int) {
	k.reaping.Lock()
	defer k.reaping.Unlock()
	for _, s := range proc.ReapStrays(first) {
		if s.PID == s.Group {
			k.reaped = append(k.reaped, s)
		}
	}
	k.reaped = slices.Delete(k.reaped, 0, max(len(k.reaped)-maxReaped, 0))
}

// ended is how a generation ended that was reaped so.
func (k *keeper) ended(pid int) (s launch.Status) {
	k.reaping.Lock()
	defer k.reaping.Unlock()
	for _, r := range k.reaped {
		if r.PID == pid {
			s = launch.StatusOf(r.Status)
		}
	}
	return s
}

// take takes the wait status of each as soon as there is one that is ours: that is when
// those before are gone.
func take(generations []*launch.Launch) {
	for _, l := range generations {
		l.Wait(context.Background())
		if h := l.Handle(); h != nil {
			h.Close() // it knows that it is gone
		}
	}
}

func (k *keeper) asksToEnd(sig syscall.Signal) bool { return k.fateOf(sig) == announced }

func (k *keeper) current() *launch.Launch {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.generations[len(k.generations)-1]
}

// waitForLast returns when no generation lives. A worker can break the wire, and a program
// closes it, while the daemon lives: what is not heard from then on is looked for. A
// generation is our child when those before are gone.
func (k *keeper) waitForLast() {
	for i := 0; ; {
		k.mu.Lock()
		generations := k.generations
		k.mu.Unlock()
		if i == len(generations) && !k.find(context.Background()) {
			return
		}
		for ; i < len(generations); i++ {
			generations[i].Wait(context.Background())
		}
	}
}

// waitForAll returns when nothing of the daemon is left, with the wait status of the
// last generation. It is ours when those before are gone.
func (k *keeper) waitForAll() (last launch.Status) {
	k.mu.Lock()
	generations := k.generations
	k.mu.Unlock()
	for _, l := range generations {
		if last, _ = l.Wait(context.Background()); !last.Known {
			last = k.ended(l.PID())
		}
		waitForGroup(l.PID())
	}
	return last
}

func (k *keeper) remember(sig syscall.Signal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Contains(k.forwarded, sig) {
		k.forwarded = append(k.forwarded, sig)
	}
}

func (k *keeper) hasForwarded(sig syscall.Signal) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Contains(k.forwarded, sig)
}

// setUp waits until the daemon is set up.
func (k *keeper) setUp(a *attempt.Attempt) error {
	l := a.Launch
	for {
		m, err := l.Receive(context.Background())
		if errors.Is(err, io.EOF) {
			status, _ := l.Wait(context.Background())
			err := a.Died(status, a.Phase.Reached())
			a.CleanUp()
			k.w.Settle(false)
			return err
		}
		if err != nil {
			return k.l.Plan.Fail("start", err)
		}
		k.hear(m)
		done, _, err := a.Heard(m)
		switch {
		case done:
			if !errors.Is(err, fault.ErrAlreadyRunning) {
				a.Begin()
				k.w.Settle(false)
			}
			return err
		case a.Phase == phase.Running:
			k.w.Settle(true)
			l.Send(launch.Release) // the worker may speak
			return nil
		}
	}
}

// hear takes what is for those who wait for the daemon.
func (k *keeper) hear(m launch.Message) {
	switch m.Kind {
	case launch.Ready:
		k.spokesman.become(phase.IsUp)
	case launch.Note:
		k.spokesman.tell(sdnotify.Status(m.Text))
	case launch.Told:
		k.spokesman.hear(m.Text)
	}
}

// awaitReady is for the first generation, until ctx ends.
func (k *keeper) awaitReady(ctx context.Context, a *attempt.Attempt) {
	if a.Watch != nil {
		if ready, can := a.Watch.Await(ctx, a); can {
			if ready {
				k.spokesman.become(phase.IsUp)
			}
			return
		}
	}
	k.countAlive()
}

// countAlive makes a worker that never calls Ready count as started when it has lived
// through the window, as a launcher would.
func (k *keeper) countAlive() {
	if k.l.Plan.RequireReady || !k.spokesman.needed() {
		return
	}
	daemon := k.current()
	lived := time.NewTimer(k.l.Plan.StartWindow)
	defer lived.Stop()
	select {
	case <-k.over:
	case <-lived.C:
		if h := daemon.Handle(); h == nil || !h.Gone() {
			k.spokesman.become(phase.IsUp)
		}
	}
}

func (k *keeper) forward(signals <-chan os.Signal, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case s := <-signals:
			sig := s.(syscall.Signal)
			switch k.fateOf(sig) {
			case stops: // followStops does the rest
				if !orphaned() {
					k.passToGroups(syscall.SIGSTOP)
				}
			case continues:
				k.passToGroups(syscall.SIGCONT)
			case terminates:
				k.remember(sig)
				k.pass(syscall.SIGTERM)
				k.resume()
			case passed:
				k.pass(sig)
			case announced:
				if k.w.Forwarding != nil {
					k.w.Forwarding(sig)
				}
				k.remember(sig)
				k.spokesman.become(phase.IsEnding)
				k.pass(sig)
				k.resume()
			}
		}
	}
}

// step takes the step that the event leads to, and gives what follows. k.mu is held.
func (k *keeper) step(e phase.KeeperEvent) phase.KeeperEffect {
	t, ok := k.phase.Next(e)
	if !ok {
		go k.complain("keep the daemon", fmt.Errorf("event %d cannot come in state %d", e, k.phase))
	}
	phase.Taken(k, "Keeper", uint8(k.phase), uint8(e), uint8(t.To), uint16(t.Do))
	k.phase = t.To
	return t.Do
}

// kept gives what was missed and is to be passed on. k.mu is held.
func (k *keeper) kept(do phase.KeeperEffect) (list []syscall.Signal) {
	if do&phase.PassMiss != 0 {
		list = k.missed
	}
	if do&phase.PassAsks != 0 {
		list = slices.DeleteFunc(k.missed, func(sig syscall.Signal) bool { return !k.asksToEnd(sig) })
	}
	if do&(phase.PassMiss|phase.PassAsks) != 0 {
		k.missed = nil
	}
	return list
}

// pass passes a signal to the last generation, or if that is gone to those before it that
// are at work still: they are all that is left.
func (k *keeper) pass(sig syscall.Signal) {
	event, miss := phase.Signalled, phase.Missed
	if k.asksToEnd(sig) {
		event, miss = phase.Asked, phase.EndMissed
	}
	k.mu.Lock()
	do := k.step(event)
	k.mu.Unlock()
	for do&phase.Pass != 0 {
		l := k.current()
		if !errors.Is(k.signal(l, sig), proc.ErrGone) {
			return
		}
		k.mu.Lock()
		n := len(k.generations) - 1
		last, earlier, done := k.generations[n] == l, k.generations[:n], k.phase.Done()
		kept := last && !done && k.step(miss)&phase.KeepIt != 0
		if kept {
			k.missed = append(k.missed, sig)
		}
		k.mu.Unlock()
		if !last {
			continue
		}
		if kept {
			// The word of another generation may be on its way, or hidden by its worker.
			short, stop := context.WithTimeout(context.Background(), timing.LookTakes)
			found := k.find(short)
			stop()
			if found {
				return // it has the signal
			}
		}
		reached := false
		for _, l := range earlier {
			if l.Handle() != nil && k.signal(l, sig) == nil {
				reached = true
			}
		}
		if !done || reached {
			return
		}
		k.mu.Lock()
		do = k.step(miss)
		if do&phase.StartPress != 0 {
			k.impatience = time.AfterFunc(k.l.Plan.StopTimeout, k.overdue)
		}
		k.mu.Unlock()
		if do&phase.AskRest != 0 {
			k.eachLeftover(func(h *proc.Handle) {
				h.Signal(sig)
				h.Signal(syscall.SIGCONT)
			})
		}
	}
}

// noMore is for the end of the wire: the generations are all that there will be. What
// the last one has missed is for what it has left. If the terminal has gone, nobody there
// can ask that to end.
func (k *keeper) noMore() {
	k.mu.Lock()
	missed := k.kept(k.step(phase.NoMore))
	k.mu.Unlock()
	if k.at == onTerminal && k.hasForwarded(syscall.SIGHUP) {
		missed = append(missed, syscall.SIGTERM)
	}
	for _, sig := range missed {
		k.pass(sig)
	}
}

// overdue is for processes that the daemon has left in its groups, and that keep the keeper.
func (k *keeper) overdue() {
	k.mu.Lock()
	do := k.step(phase.Overdue)
	k.mu.Unlock()
	if do&phase.KillRest != 0 {
		k.killLeftovers()
	}
}

// rest is for a keeper whose daemon has left nothing.
func (k *keeper) rest() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.step(phase.Cleared)&phase.StopPress != 0 {
		k.impatience.Stop()
	}
}

// killLeftovers looks more than once: one that is being born can be missed.
func (k *keeper) killLeftovers() {
	limit, stop := context.WithTimeout(context.Background(), timing.KillShows)
	defer stop()
	for range 10 {
		met := k.eachLeftover(func(h *proc.Handle) {
			h.Signal(syscall.SIGKILL)
			h.Wait(limit)
		})
		if !met {
			return
		}
	}
}

// eachLeftover calls do for the members of the daemon's process groups, whose leaders
// are gone, and reports whether there was one.
func (k *keeper) eachLeftover(do func(*proc.Handle)) (met bool) {
	k.mu.Lock()
	generations := k.generations
	k.mu.Unlock()
	for _, l := range generations {
		if proc.Alive(l.PID()) {
			continue // nobody was left, and the number is somebody else's by now
		}
		eachMember(l.PID(), func(h *proc.Handle) {
			if k.at != firstProcess && k.l.Plan.ID.SwitchUser { // else all end with us, or have our rights
				if err := k.owned(h); err != nil {
					k.complain("end what the daemon has left", err)
					return
				}
			}
			met = true
			do(h)
		})
	}
	return met
}

// passToGroups is for the daemon, and for those before it that are on their way out.
func (k *keeper) passToGroups(sig syscall.Signal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.step(phase.Signalled)&phase.Pass == 0 {
		return
	}
	for i, l := range k.generations {
		if h := l.Handle(); h != nil && h.Gone() {
			if i == len(k.generations)-1 && k.step(phase.Missed)&phase.KeepIt != 0 {
				k.missed = append(k.missed, sig)
			}
			continue // the number may be somebody else's
		}
		eachMember(l.PID(), func(h *proc.Handle) {
			if h.PID() == l.PID() && l == k.first || k.couldSignal(h) {
				h.Signal(sig)
			}
		})
	}
}

// resume continues what is stopped of the daemon, or it would not end. The others get no
// SIGCONT: bash loses a signal for which it has a trap when another one comes with it.
func (k *keeper) resume() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.generations {
		if h := l.Handle(); h != nil && h.Gone() {
			continue // the number may be somebody else's
		}
		eachMember(l.PID(), func(h *proc.Handle) {
			if proc.Stopped(h.PID()) && (h.PID() == l.PID() && l == k.first || k.couldSignal(h)) {
				h.Signal(syscall.SIGCONT)
			}
		})
	}
}

// couldSignal reports whether the daemon's user could signal the process himself, as a
// terminal's user can: in his process group there can be a set-user-ID program that has
// become root.
func (k *keeper) couldSignal(h *proc.Handle) bool {
	if !k.l.Plan.Stranger() {
		return true
	}
	ids, err := h.IDs()
	return err == nil && (ids.UID[0] == k.l.Plan.ID.UID || ids.UID[2] == k.l.Plan.ID.UID)
}

// followStops stops the keeper when the daemon was stopped, so that the shell
// gets its terminal back; fg continues both.
func (k *keeper) followStops(done <-chan struct{}) {
	if k.at != onTerminal {
		return
	}
	for i := 0; ; { // a generation is our child when the one before it is gone
		k.mu.Lock()
		pid := 0
		if i < len(k.generations) {
			pid = k.generations[i].PID()
		}
		k.mu.Unlock()
		switch {
		case pid == 0:
			select {
			case <-done:
				return
			case <-k.followed:
			}
		case launch.WaitStopped(pid):
			select {
			case <-done:
				return
			default:
				if !orphaned() {
					syscall.Kill(os.Getpid(), syscall.SIGSTOP)
				}
			}
		default:
			i++
		}
	}
}

// orphaned reports whether nobody could continue the keeper when it is stopped: no member
// of its process group has a parent in another group of the session, as a shell with job
// control is. In such a group the kernel discards SIGTSTP. What is hidden counts as not
// there: to go on is better than to stand still for good.
func orphaned() bool {
	own, session, _ := proc.GroupID(os.Getpid())
	is := true
	eachMember(own, func(h *proc.Handle) {
		parent, err := h.Parent()
		if err != nil {
			return
		}
		group, of, err := proc.GroupID(parent)
		is = is && (err != nil || of != session || group == own)
	})
	return is
}

// waitForGroup waits until no process of the group is left.
func waitForGroup(pgid int) {
	for {
		waited := eachMember(pgid, func(h *proc.Handle) { h.Wait(context.Background()) })
		if len(waited) == 0 {
			return
		}
		time.Sleep(time.Millisecond) // only if a member was born meanwhile
	}
}

// eachMember calls do for the members of a generation's process group. The number of one that is
// long gone can be a stranger's group by now; but nobody comes into a session from without, and
// all generations are in the keeper's.
func eachMember(pgid int, do func(*proc.Handle)) []int {
	_, session, err := proc.GroupID(os.Getpid())
	if err != nil {
		return nil
	}
	members, _ := proc.Group(pgid)
	var done []int
	for _, pid := range members {
		h, err := proc.Open(pid)
		if err != nil {
			continue
		}
		if group, of, err := proc.GroupID(pid); err == nil && group == pgid && of == session && !h.Gone() {
			do(h)
			done = append(done, pid)
		}
		h.Close()
	}
	return done
}
