package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daemonocle/daemonocle/internal/control"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
)

// Names of what a daemon hands to its successor, beside its sockets.
const (
	passPIDFile = "PID file"
	passPIDDir  = "PID file's directory"
	passSpare   = "PID file without a lock"
	passStderr  = "stderr"
	passKeeper  = "keeper"
	passAsker   = "asker"
	passElder   = "elder\t"           // its PID follows
	passManager = "service manager\t" // watchdog's time and address follow
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
	elders      []*proc.Handle // generations before that, which were at work still
	leaving     chan struct{}  // closed when it has begun to end
	insist      chan struct{}  // closed when the lock must do without its name
	cancelled   chan struct{}  // closed when it says that there shall be no successor
	released    chan struct{}  // closed when it has let go, or is dead

	stderr   *os.File // nil: there is none of ours
	keeper   int      // -1: there is none
	manager  *sdnotify.Conn
	watchdog time.Duration
	askers   []*control.Asker

	taken    atomic.Bool
	orphaned atomic.Bool   // the predecessor is dead, and has not let go
	once     sync.Once     // closes leaving
	cancel   sync.Once     // closes cancelled
	settling sync.Once     // done by whoever decides whether this process takes over
	settled  chan struct{} // closed when it is clear what came of that
}

// heirloom is this process's, nil if it has none. The lock is waited for from the first
// moment on, before main: should the predecessor die, nobody must find it free.
var heirloom = inherit(launch.Self())

func inherit(c *launch.Child) *succession {
	if c == nil || c.Generation < 2 {
		return nil
	}
	s := &succession{
		generation: c.Generation, readyFirst: c.ReadyFirst, jailed: c.Jailed, predecessor: c.Predecessor,
		leaving: make(chan struct{}), insist: make(chan struct{}), cancelled: make(chan struct{}), released: make(chan struct{}),
		settled: make(chan struct{}), keeper: -1, handlers: newHandlers(),
	}
	// Whose lock it is may be signalled.
	s.handlers.install(hangUpSignal)
	s.handlers.install(reopenSignal)
	file, dir, spare := -1, -1, -1
	c.Take(func(name string, fd int) bool {
		manager, isManager := strings.CutPrefix(name, passManager)
		elder, isElder := strings.CutPrefix(name, passElder)
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
		case isElder:
			pid, _ := strconv.Atoi(elder)
			s.elders = append(s.elders, proc.OpenFD(pid, fd))
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

// jailed: this process's root directory is already what ChrootDir names.
func jailed() bool { return heirloom != nil && heirloom.jailed }

// pending: the predecessor is the daemon still, or this process is about to be.
func (s *succession) pending() bool { return s != nil && !s.taken.Load() }

// anothers: the predecessor is the daemon still, or will be again if this process fails.
func (s *succession) anothers() bool { return s.pending() && !s.orphaned.Load() }

// listenToPredecessor hears the daemon whose place this one is to take.
func (l *life) listenToPredecessor() {
	s := l.succession
	for {
		m, err := l.link.Receive()
		switch {
		case err != nil:
			s.orphaned.Store(true)
			close(s.released)
			return
		case m.Kind == launch.Leaving:
			s.once.Do(func() { close(s.leaving) })
		case m.Kind == launch.Cancel:
			s.cancel.Do(func() { close(s.cancelled) })
			l.end(0, ErrStartCancelled)
		case m.Kind == launch.Go:
			close(s.insist)
		case m.Kind == launch.Release && s.readyFirst:
			close(s.released)
			return
		case m.Kind == launch.Release && s.settles():
			l.link.Send(launch.Message{Kind: launch.Took, PID: os.Getpid()})
		}
	}
}

// succeed is for a daemon that is to be ready first: it takes over when it is let,
// while its worker works.
func (l *life) succeed() {
	s := l.succession
	granted := s.granted
	select {
	case <-granted:
	case <-s.insist: // the predecessor has let go, but somebody else was faster
		if err := s.held.Insist(); err != nil {
			l.complain("write the PID file "+l.d.pidPath(), err)
		}
		granted = s.insist
	case <-s.released:
	}
	if !s.settles() {
		return
	}
	defer close(s.settled)
	select {
	case <-granted:
		l.link.Send(launch.Message{Kind: launch.Took, PID: os.Getpid()})
		select {
		case <-s.released:
		case <-s.cancelled:
			return
		}
	case <-s.released: // it is dead
		l.insist()
	}
	l.sayReloaded(true)
	l.takeOver()
}

// settles reports whether the caller is the one who decides whether this process takes
// over.
func (s *succession) settles() (first bool) {
	s.settling.Do(func() { first = true })
	return first
}

// settle is for a process that ends: if it has said that it takes over, then it must be
// the daemon first, or the PID file would be nobody's. If it has not, it never will.
func (s *succession) settle() {
	if s == nil || !s.readyFirst {
		return
	}
	s.settling.Do(func() { close(s.settled) })
	<-s.settled
}

// sayReloaded prints the line in one piece: it goes to where both generations write.
func (l *life) sayReloaded(ok bool) {
	speak(os.Stdout).Done("Reloading "+l.d.cfg.Name, ok)
}

// lockTime is how long the lock of a dead process may take to be ours.
const lockTime = 200 * time.Millisecond

// insist is for a predecessor that is dead.
func (l *life) insist() {
	s := l.succession
	select {
	case <-s.granted:
	case <-time.After(lockTime):
		if err := s.held.Insist(); err != nil {
			l.complain("write the PID file "+l.d.pidPath(), err)
		}
	}
}

// awaitEnd is for a daemon whose worker waits for the predecessor to be gone. A signal
// that asks this process to end has its effect then: nobody else would remove the PID file.
func (l *life) awaitEnd() error {
	s := l.succession
	gone := make(chan struct{})
	go func() {
		if s.old == nil || s.old.Wait(context.Background()) == nil {
			close(gone)
		}
	}()
	leaving := s.leaving
	var late <-chan time.Time
	for {
		select {
		case <-gone:
			l.insist()
			l.sayReloaded(true)
			l.takeOver()
			return nil
		case <-leaving:
			leaving, late = nil, time.After(l.d.cfg.StopTimeout)
		case <-late:
			late = nil
			if !s.settles() {
				continue // the predecessor counts on this process, and is about to be gone
			}
			l.sayReloaded(false)
			e := l.d.fail("reload", because(fmt.Sprintf("previous process (PID %d) did NOT exit during reload", s.predecessor), ErrStopTimeout))
			e.PID = s.predecessor
			speak(os.Stderr).Error(inLine(e))
			l.answer(control.Answer{Err: e.Err.Error(), Capital: e.Capital, PID: e.PID})
			return e
		case <-s.cancelled:
			if leaving == nil { // it was asked to end while it was leaving for this process
				l.answer(control.Answer{Err: errEnding.Error(), PID: s.predecessor, Stopping: true})
			}
			return l.d.fail("reload", ErrStartCancelled)
		}
	}
}

// takeOver makes this process the daemon.
func (l *life) takeOver() {
	s := l.succession
	if s.keeper >= 0 {
		l.link.Switch(s.keeper)
		l.link.Send(launch.Message{Kind: launch.Took, PID: os.Getpid()})
	}
	l.mu.Lock()
	s.taken.Store(true)
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
}

// atWork are the earlier generations that have not ended.
func (s *succession) atWork() (list []*proc.Handle) {
	if s == nil || s.anothers() {
		return nil
	}
	for _, h := range slices.Concat(s.elders, []*proc.Handle{s.old}) {
		if h != nil && !h.Gone() {
			list = append(list, h)
		}
	}
	return list
}

// awaitElders is for the end: while an earlier generation finishes its work, the daemon
// has not ended. The same limits as the worker's goodbye has; what cuts that short is
// passed on, for nobody else knows of those.
func (l *life) awaitElders() {
	elders := l.succession.atWork()
	gone := make(chan struct{})
	go func() {
		for _, h := range elders {
			h.Wait(context.Background())
		}
		close(gone)
	}()
	patience := l.patience()
	for range 2 {
		select {
		case <-gone:
			return
		case <-patience:
			return
		case sig := <-l.abrupt:
			for _, h := range elders {
				h.Signal(sig)
			}
		}
	}
}

// answer tells those who have asked the predecessor.
func (l *life) answer(a control.Answer) {
	for _, asker := range l.succession.askers {
		asker.Answer(a)
	}
}
