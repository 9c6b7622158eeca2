package inside

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/daemonocle/daemonocle/internal/control"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// Names of what a daemon hands to its successor, beside its sockets.
const (
	passPIDFile  = "PID file"
	passPIDDir   = "PID file's directory"
	passSpare    = "PID file without a lock"
	passStderr   = "stderr"
	passKeeper   = "keeper"
	passAsker    = "asker"
	passDraining = "elder\t"           // its PID follows; the predecessor may be of an earlier version
	passManager  = "service manager\t" // watchdog's time and address follow
)

func managerName(m *sdnotify.Conn, watchdog time.Duration) string {
	return passManager + strconv.FormatInt(int64(watchdog), 10) + "\t" + m.Address()
}

// succession is what a daemon has from the one before it, and how it comes to take
// that one's place. It is nil in a daemon that was started.
type succession struct {
	generation int
	readyFirst bool
	jailed     bool
	handlers   handlers

	held    *pidfile.Held
	granted <-chan struct{} // closed when the lock is ours
	broken  error           // nothing can be had

	predecessor int
	old         *proc.Handle   // nil: gone already
	draining    []*proc.Handle // generations before that, which were at work still

	stderr   *os.File // nil: there is none of ours
	keeper   int      // -1: there is none
	manager  *sdnotify.Conn
	watchdog time.Duration
	askers   []*control.Asker

	mu    sync.Mutex // never held while anything waits, nor while another lock is asked for
	phase phase.TakeOver

	settled chan struct{} // closed when it is clear whether this process is the daemon
}

// inherited is this process's, nil if it has none. The lock is waited for from the first
// moment on, before main: should the predecessor die, nobody must find it free.
var inherited = inherit(launch.Self())

func inherit(c *launch.Child) *succession {
	if c == nil || c.Generation < 2 {
		return nil
	}
	s := &succession{
		generation: c.Generation, readyFirst: c.ReadyFirst, jailed: c.Jailed, predecessor: c.Predecessor,
		phase: phase.Rising, settled: make(chan struct{}), keeper: -1, handlers: newHandlers(),
	}
	// Whose lock it is may be signalled.
	s.handlers.install(signals.HangUp)
	s.handlers.install(signals.Reopen)
	file, dir, spare := -1, -1, -1
	c.Take(func(name string, fd int) bool {
		manager, isManager := strings.CutPrefix(name, passManager)
		draining, isDraining := strings.CutPrefix(name, passDraining)
		switch {
		case name == passPIDFile:
			file = fd
		case name == passPIDDir:
			dir = fd
		case name == passSpare:
			spare = fd
		case name == passStderr:
			s.stderr = os.NewFile(uintptr(fd), name)
		case name == passKeeper:
			s.keeper = fd
		case name == passAsker:
			s.askers = append(s.askers, control.Resume(os.NewFile(uintptr(fd), name)))
		case isManager:
			limit, address, _ := strings.Cut(manager, "\t")
			n, _ := strconv.ParseInt(limit, 10, 64)
			s.manager, s.watchdog = sdnotify.Adopt(fd, address), time.Duration(n)
		case isDraining:
			pid, _ := strconv.Atoi(draining)
			s.draining = append(s.draining, proc.OpenFD(pid, fd))
		default:
			return false // a socket
		}
		return true
	})
	s.old, _ = proc.Open(c.Predecessor)
	if file < 0 || dir < 0 {
		s.broken = errors.New("the predecessor has handed over no PID file")
		return s
	}
	s.held, s.granted, s.broken = pidfile.Succeed(file, dir, spare, c.Key.PIDFile)
	return s
}

// Jailed: this process's root directory is already what ChrootDir names.
func Jailed() bool { return inherited != nil && inherited.jailed }

func (s *succession) state() phase.TakeOver {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase
}

// pending: this process is a successor, and not the daemon.
func (s *succession) pending() bool { return s != nil && s.state().Pending() }

// others: the predecessor is the daemon still, or will be again if this process fails.
func (s *succession) others() bool { return s != nil && s.state().Others() }

// step takes the step that the event leads to, and gives what follows.
func (s *succession) step(e phase.TakeOverEvent) (do phase.TakeOverEffect, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.phase.Next(e)
	phase.Taken(s, "TakeOver", uint8(s.phase), uint8(e), uint8(m.To), uint16(m.Do))
	s.phase = m.To
	return m.Do, ok
}

// happens takes a step, and does what follows from it.
func (l *Life) happens(e phase.TakeOverEvent) { l.follow(l.next(e)) }

// next takes a step, and gives what follows. It does not wait.
func (l *Life) next(e phase.TakeOverEvent) phase.TakeOverEffect {
	do, ok := l.succession.step(e)
	if !ok {
		l.complainSoon("take over", fmt.Errorf("event %d cannot come in state %d", e, l.succession.state()))
	}
	return do
}

// follow does what follows from a step. No lock is held: some of it waits.
func (l *Life) follow(do phase.TakeOverEffect) {
	s := l.succession
	if do&phase.AskForLock != 0 {
		go func() {
			<-s.granted
			l.happens(phase.Granted)
		}()
	}
	if do&phase.WriteNumber != 0 {
		l.insist()
	}
	if do&phase.SayTook != 0 {
		l.link.Send(launch.Message{Kind: launch.Took, PID: os.Getpid()})
	}
	if do&phase.Become != 0 {
		l.sayReloaded(true)
		l.takeOver()
	}
	if do&phase.StartTimer != 0 {
		time.AfterFunc(l.plan.StopTimeout, func() {
			if s.old != nil && !s.old.Gone() { // else awaitTurn hears of it in a moment
				l.happens(phase.Late)
			}
		})
	}
	if do&phase.GiveUp != 0 {
		l.giveUp()
	}
	if do&phase.SayEnding != 0 {
		l.answer(control.Answer{Err: errEnding.Error(), PID: s.predecessor, Stopping: true})
	}
	if do&phase.EndSelf != 0 {
		l.end(0, fault.ErrStartCancelled)
	}
	if do&phase.Settle != 0 {
		close(s.settled)
	}
}

// listenToPredecessor hears the daemon whose place this one is to take.
func (l *Life) listenToPredecessor() {
	s := l.succession
	for {
		m, err := l.link.Receive()
		switch {
		case err != nil:
			l.happens(phase.WireEnds)
			return
		case m.Kind == launch.Leaving:
			l.happens(phase.Leaves)
		case m.Kind == launch.Cancel:
			l.happens(phase.Cancelled)
		case m.Kind == launch.Go:
			l.happens(phase.Insist)
		case m.Kind == launch.Release && s.readyFirst:
			l.happens(phase.Releases)
			return
		case m.Kind == launch.Release:
			l.happens(phase.Asks)
		}
	}
}

// awaitTakeOver is for a process that ends: if it has said that it takes over, then it must be
// the daemon first, or the PID file would be nobody's. If it has not, it never will.
func (l *Life) awaitTakeOver() {
	if l.succession != nil {
		l.happens(phase.Ends)
		<-l.succession.settled
	}
}

// sayReloaded prints the line in one piece: it goes to where both generations write.
func (l *Life) sayReloaded(ok bool) {
	say(os.Stdout).Done("Reloading "+l.plan.Name, ok)
}

// insist writes this process's number. The lock of a predecessor that is dead comes in a
// moment; one that lives may have let go of it in vain.
func (l *Life) insist() {
	s, wait := l.succession, time.Duration(0)
	if !s.others() {
		wait = timing.LockComes
	}
	select {
	case <-s.granted:
	case <-time.After(wait):
		if err := s.held.Insist(); err != nil {
			l.complain("write the PID file "+l.plan.PIDPath(), err)
		}
	}
}

// awaitTurn is for a daemon whose worker waits for the predecessor to be gone. It reports
// false if there is no turn. A signal that asks this process to end has its effect when it is
// the daemon: nobody else would remove the PID file.
func (l *Life) awaitTurn() bool {
	s := l.succession
	go func() {
		if s.old == nil || s.old.Wait(context.Background()) == nil {
			l.happens(phase.Gone)
		}
	}()
	<-s.settled
	return !s.pending()
}

// giveUp says that the predecessor does not end in time.
func (l *Life) giveUp() {
	l.sayReloaded(false)
	e := l.plan.Fail("reload", fault.Say(fmt.Sprintf("previous process (PID %d) did NOT exit during reload", l.succession.predecessor), fault.ErrStopTimeout))
	e.PID = l.succession.predecessor
	say(os.Stderr).Error(line(e))
	l.answer(control.Answer{Err: e.Err.Error(), PID: e.PID, Capital: e.Capital})
}

// takeOver makes this process the daemon.
func (l *Life) takeOver() {
	s := l.succession
	if s.keeper >= 0 {
		l.link.Switch(s.keeper)
		l.link.Send(launch.Message{Kind: launch.Took, PID: os.Getpid()})
	}
	l.mu.Lock()
	do := l.next(phase.Done)
	s.held.Unexpect()
	l.manager.Store(s.manager)
	switch {
	case l.phase.Ending():
		l.status.say(l, sdnotify.Stopping)
	case l.verdict.SaidReady():
		l.status.say(l, sdnotify.Ready)
	default:
		l.status.say(l)
	}
	l.mu.Unlock()
	if l.watchdog.limit > 0 { // which has last heard of the predecessor
		l.feed()
	}
	l.countAlive()
	l.letGo()
	if s.keeper >= 0 {
		go l.listen()
	} else {
		l.link.Close()
	}
	l.answer(control.Answer{PID: os.Getpid(), Generation: s.generation})
	l.open()
	l.follow(do)
}

// atWork are the earlier generations that have not ended.
func (s *succession) atWork() (list []*proc.Handle) {
	if s == nil || s.others() {
		return nil
	}
	for _, h := range slices.Concat(s.draining, []*proc.Handle{s.old}) {
		if h != nil && !h.Gone() {
			list = append(list, h)
		}
	}
	return list
}

// awaitDraining is for the end: while an earlier generation finishes its work, the daemon
// has not ended. The same limits as the worker's goodbye has; what cuts that short is
// passed on, for nobody else knows of those.
func (l *Life) awaitDraining() {
	draining := l.succession.atWork()
	gone := make(chan struct{})
	go func() {
		for _, h := range draining {
			h.Wait(context.Background())
		}
		close(gone)
	}()
	patience := l.abandonTimer()
	for range 2 {
		select {
		case <-gone:
			return
		case <-patience:
			return
		case sig := <-l.abrupt:
			for _, h := range draining {
				h.Signal(sig)
			}
		}
	}
}

// answer tells those who have asked the predecessor.
func (l *Life) answer(a control.Answer) {
	for _, asker := range l.succession.askers {
		asker.Answer(a)
	}
}
