package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/control"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// successor is the process that is to take this one's place, seen from here.
type successor struct {
	l     *Life
	a     *attempt.Attempt
	phase phase.Successor
	grace time.Duration // in which it can end by itself
}

// replace does one reload. An error means that all is as before.
func (l *Life) replace(w *request) error {
	if err := l.refuseUnready(); err != nil {
		return err
	}
	if w.ctx.Err() != nil {
		return l.givenUp(w.ctx)
	}
	l.tell(sdnotify.Reloading())
	rereads, reopenings := l.heard.rereads.Load(), l.heard.reopenings.Load()
	var s *successor
	err := l.refuseUnwatched()
	if err == nil {
		s, err = l.startSuccessor(w.askers)
	}
	if err == nil {
		l.lastSuccessor.Store(s.a.Launch)
		if err = s.comeUp(w.ctx); err == nil {
			err = s.handOver()
		}
		if err != nil {
			s.end()
		}
	}
	if err == nil {
		l.passOnSince(rereads, reopenings)
		return nil
	}
	if l.held != nil {
		l.held.Unexpect()
	}
	working := !l.state().Ending()
	if e, is := errors.AsType[*fault.Fault](err); is {
		if !working {
			l.overtaken(e)
		}
		if working {
			e.Hint = strings.TrimSpace(fmt.Sprintf("%s The daemon (PID %d) goes on as before.", e.Hint, os.Getpid()))
		}
	}
	if working {
		l.tell(sdnotify.Ready, sdnotify.Status("reload failed: "+l.host.InWords(err).Error()))
	}
	return err
}

// refuseUnready refuses a reload while the daemon comes up or ends.
func (l *Life) refuseUnready() error {
	state := l.state()
	switch {
	case state.Ending():
		return l.overtaken(l.plan.Fail("reload", errEnding))
	case !state.Begun() || l.succession.pending():
		return l.plan.Fail("reload", errors.New("the daemon is not set up yet"))
	}
	return nil
}

// refuseUnwatched refuses a reload where a successor would be nobody's.
func (l *Life) refuseUnwatched() error {
	switch {
	case l.plan.PID == nil:
		return l.plan.Fail("reload", fault.Say("cannot reload daemon without PID file", fault.ErrNoPIDFile))
	case l.held == nil || l.link == nil && l.manager.Load() == nil:
		e := l.plan.Fail("reload", fault.Say("nobody watches over this process: a successor would be on its own", fault.ErrUnsupported))
		e.Hint = "Start the daemon instead of running it, or under a service manager that listens (Type=notify in systemd)."
		return e
	}
	return nil
}

// startSuccessor starts the successor.
func (l *Life) startSuccessor(askers []*control.Asker) (*successor, error) {
	file, dir := l.held.FDs()
	pass := []launch.Passed{{Name: passPIDFile, FD: file}, {Name: passPIDDir, FD: dir}}
	if fd := l.held.Spare(); fd >= 0 {
		pass = append(pass, launch.Passed{Name: passSpare, FD: fd})
	}
	if !l.foreground {
		pass = append(pass, launch.Passed{Name: passStderr, FD: 2})
	} else if l.link != nil && l.watched {
		pass = append(pass, launch.Passed{Name: passKeeper, FD: l.link.HandOn()})
	}
	manager := l.manager.Load()
	if manager != nil {
		pass = append(pass, launch.Passed{Name: managerName(manager, l.watchdog.limit), FD: manager.FD()})
	}
	for _, h := range l.succession.atWork() {
		if fd := h.FD(); fd >= 0 {
			pass = append(pass, launch.Passed{Name: passDraining + strconv.Itoa(h.PID()), FD: fd})
		}
	}
	files, err := l.sockets.Files()
	if err != nil {
		return nil, l.plan.Fail("reload", err)
	}
	defer closeAll(files)
	for _, a := range askers {
		pass = append(pass, launch.Passed{Name: passAsker, FD: a.FD()})
	}
	h := launch.Hello{
		Key: l.plan.Key, Foreground: l.foreground, Predecessor: os.Getpid(), Generation: l.Generation() + 1,
		ReadyFirst: l.plan.RequireReady, Jailed: l.plan.ChrootDir != "",
	}
	l.held.Expect()
	child, err := launch.Successor(h, pass, files, manager != nil)
	if err != nil {
		e := l.plan.Fail("reload", err)
		if errors.Is(err, syscall.EACCES) {
			e.Hint = "The user that the daemon has become must be able to execute it."
		}
		return nil, e
	}
	s := &successor{l: l, phase: phase.Spawned, a: &attempt.Attempt{Plan: l.plan, Op: "reload", Complain: l.host.Complain, Launch: child, Phase: phase.Named}}
	if l.plan.RequireReady {
		s.phase = phase.SpawnedFirst
	}
	return s, nil
}

// comeUp waits until the successor can have the place. With an error it is for end.
func (s *successor) comeUp(ctx context.Context) (err error) {
	limit, stop := context.WithTimeout(ctx, s.l.plan.StartTimeout)
	defer stop()
	for s.phase.ComingUp() {
		var event phase.LaunchEvent
		event, err = s.await(ctx, limit)
		s.step(event)
	}
	return err
}

// await gives what is seen next of a successor that comes up. An error says why it shall not have the place.
func (s *successor) await(ctx, limit context.Context) (phase.LaunchEvent, error) {
	l, a := s.l, s.a
	if s.phase.Silent() {
		if status, err := a.Launch.Wait(limit); err == nil {
			return phase.Exits, a.Died(status, s.phase == phase.WireEnded)
		}
	} else {
		for {
			m, err := a.Launch.Receive(limit)
			if errors.Is(err, io.EOF) {
				return phase.HangsUp, nil
			}
			if err != nil {
				break
			}
			if event, is, err := a.Hear(m); is {
				return event, err
			}
		}
	}
	if ctx.Err() != nil {
		return phase.CallOff, l.givenUp(ctx)
	}
	e := l.plan.Fail("reload", fault.Say(fmt.Sprintf("timed out while waiting for the new process (PID %d)", a.Launch.PID()), fault.ErrStillStarting, limit.Err()))
	e.PID, e.Reason, e.Stderr = a.Launch.PID(), a.Note, a.LastLines()
	return phase.TimesOut, e
}

// givenUp is the error of a reload that was given up.
func (l *Life) givenUp(ctx context.Context) *fault.Fault {
	e := l.plan.Fail("reload", fault.Say(errGivenUp.Error(), context.Cause(ctx)))
	if signal, is := l.host.BySignal(e); is {
		e.Reason = signal.Error()
	}
	return e
}

// step takes the step that the event leads to, and does what follows from it.
func (s *successor) step(event phase.LaunchEvent) {
	to, ok := s.phase.Next(event)
	if !ok {
		s.l.complain("reload", fmt.Errorf("event %d cannot come in state %d", event, s.phase))
	}
	phase.Taken(s, "Successor", uint8(s.phase), uint8(event), uint8(to.To), uint16(to.Do))
	s.phase = to.To
	if to.Do&phase.StartWindow != 0 {
		s.a.Since = time.Now()
	}
	if to.Do&phase.SayCancel != 0 {
		s.a.Launch.Send(launch.Cancel)
	}
	if to.Do&phase.GrantStop != 0 {
		s.grace = s.l.plan.StopTimeout
	}
	if to.Do&phase.GrantWord != 0 {
		s.grace = timing.ClaimArrives
	}
	if to.Do&phase.KillIt != 0 {
		s.a.Kill()
	}
}

// end ends a successor that must not be.
func (s *successor) end() {
	if s.phase == phase.Usable {
		s.step(phase.CallOff)
	}
	if s.phase == phase.Rejected {
		event := phase.Tires
		if s.a.Gone(s.grace) {
			event = phase.Exits
		}
		s.step(event)
	}
	s.a.Launch.Close()
	s.a.Launch.Reap()
}

// handOver makes the successor the daemon: at once if it is ready, else when this
// process ends.
func (s *successor) handOver() error {
	l := s.l
	if !l.plan.RequireReady {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.step(phase.Leave, demand{cause: fault.ErrReload})&phase.Refuse != 0 {
			return l.plan.Fail("reload", errEnding)
		}
		l.successor = s
		s.a.Launch.Send(launch.Leaving)
		return nil
	}
	// From here on this process does not end by a signal before it is clear whose
	// the daemon is.
	l.mu.Lock()
	refused := l.step(phase.Hand, demand{})&phase.Refuse != 0
	l.mu.Unlock()
	if refused {
		return l.plan.Fail("reload", errEnding)
	}
	err := s.swap()
	l.mu.Lock()
	kept := l.kept
	l.kept = nil
	if err != nil {
		l.step(phase.Failed, demand{})
		l.mu.Unlock()
		for _, d := range kept {
			l.end(d.sig, d.cause)
		}
		return err
	}
	l.held.Retire(l.Generation())
	l.held = nil
	l.step(phase.Handed, demand{cause: fault.ErrReload})
	if l.watched {
		l.link.Close()
	}
	l.mu.Unlock()
	if len(kept) > 0 { // they were meant for the daemon
		s.passEnd()
	}
	s.a.Launch.Close()
	if !l.watched { // or the keeper has it when we are gone
		s.a.Launch.Reap()
	}
	return nil
}

// passEnd passes on that the daemon is to end. The successor may have been told by the
// keeper as well, and SIGTERM is the only signal of which two mean no more than one.
func (s *successor) passEnd() {
	if h := s.a.Launch.Handle(); h != nil {
		h.Signal(syscall.SIGTERM)
	}
}

// swap changes who holds the lock and who is the service manager's main process.
func (s *successor) swap() error {
	l, a := s.l, s.a
	limit, stop := context.WithTimeout(context.Background(), timing.SwapTakes)
	defer stop()
	err := l.held.Yield()
	// Somebody's read lock may be in the way: then the number has to do.
	defer time.AfterFunc(timing.LockComes, func() { a.Launch.Send(launch.Go) }).Stop()
	for err == nil {
		var m launch.Message
		m, err = a.Launch.Receive(limit)
		if err == nil && m.Kind == launch.Took {
			break
		}
	}
	if err == nil {
		l.control.close(false)
		err = l.manager.Load().HandOver(limit, a.Launch.PID())
	}
	if h := a.Launch.Handle(); err == nil && h != nil && h.Gone() {
		err = fault.ErrDied
	}
	if err == nil {
		a.Launch.Send(launch.Release)
		return nil
	}
	s.step(phase.Tires)
	if back := l.manager.Load().TakeBack(); back != nil {
		l.complain("notify", back)
	}
	if again := l.held.Regain(); again != nil {
		err = errors.Join(err, again)
	}
	l.listenForAskers()
	e := l.plan.Fail("reload", fault.Say(fmt.Sprintf("the new process (PID %d) did not take over: %v", a.Launch.PID(), err), fault.ErrDied, err))
	e.PID, e.Reason, e.Hint, e.Stderr = a.Launch.PID(), a.Reason, a.Hint, a.LastLines()
	return e
}

// depart is the end of a daemon in whose place another comes, or nobody.
func (l *Life) depart() {
	l.awaitTakeOver()
	l.closeRequests()
	l.control.close(true)
	if s := l.state(); !s.Left() || s == phase.Recalled {
		l.awaitDraining() // else that is the successor's part
	}
	relieved := l.ensureSuccessor()
	l.sockets.End()
	if !relieved {
		l.removePIDFile()
	}
}

// ensureSuccessor makes sure that the successor is there: whatever has become of it since the
// reload was promised, there must be a daemon afterwards. It reports false if there is
// to be none, or can be none.
func (l *Life) ensureSuccessor() bool {
	l.mu.Lock()
	s, state := l.successor, l.phase
	l.mu.Unlock()
	if s == nil {
		return false
	}
	if state != phase.Recalled && !s.takes() {
		if s = l.replaceSuccessor(); s == nil {
			return false
		}
	}
	l.mu.Lock()
	l.step(phase.Depart, demand{})
	state = l.phase
	l.mu.Unlock()
	if state == phase.Recalled {
		s.end()
		return false
	}
	limit, stop := context.WithTimeout(context.Background(), timing.SwapTakes)
	defer stop()
	if err := l.manager.Load().HandOver(limit, s.a.Launch.PID()); err != nil {
		l.complain("notify", err)
	}
	return true
}

// takes tells the successor that nothing comes between now and the end of this process,
// and reports whether it takes over then: it can have died, or lost its patience. One that does
// not answer may be on its way out, and is ended, for nobody may be there after that.
func (s *successor) takes() bool {
	limit, stop := context.WithTimeout(context.Background(), timing.SwapTakes)
	defer stop()
	s.a.Launch.Send(launch.Release)
	for {
		m, err := s.a.Launch.Receive(limit)
		if err == nil && m.Kind == launch.Took {
			return true
		}
		if err != nil {
			s.end()
			return false
		}
	}
}

// replaceSuccessor gives another successor for one that is of no use, or nil. Who asks for the end
// need not wait for one that does not come up.
func (l *Life) replaceSuccessor() *successor {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	l.mu.Lock()
	l.recall = stop
	recalled := l.phase == phase.Recalled
	l.mu.Unlock()
	if recalled { // which the one before has heard of first
		return nil
	}
	s, err := l.startSuccessor(nil)
	if err == nil {
		l.mu.Lock()
		l.successor = s
		l.mu.Unlock()
		if err = s.comeUp(ctx); err == nil {
			if s.takes() {
				l.lastSuccessor.Store(s.a.Launch)
				return s
			}
			err = fault.ErrDied
		} else {
			s.end()
		}
	}
	if l.state() != phase.Recalled {
		l.complain("reload", err)
	}
	return nil
}
