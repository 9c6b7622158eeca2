package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/control"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
)

// successor is the process that is to take this one's place, seen from here.
type successor struct {
	l *life
	a *attempt
}

// replace does one reload. An error means that all is as before.
func (l *life) replace(w *wish) error {
	if err := l.unsettled(); err != nil {
		return err
	}
	l.tell(sdnotify.Reloading())
	rereads, reopenings := l.heard.rereads.Load(), l.heard.reopenings.Load()
	var s *successor
	err := l.irreplaceable()
	if err == nil {
		s, err = l.beget(w.askers)
	}
	if err == nil {
		l.heir.Store(s.a.l)
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
	l.mu.Lock()
	working := !l.stopping
	l.mu.Unlock()
	var e *Error
	if errors.As(err, &e) {
		e.Op = "reload"
		if !working {
			l.overtaken(e)
		}
		if e.Hint == "" && working {
			e.Hint = fmt.Sprintf("The daemon (PID %d) goes on as before.", os.Getpid())
		}
	}
	if working {
		l.tell(sdnotify.Ready, sdnotify.Status("reload failed: "+inWords(err).Error()))
	}
	return err
}

// unsettled refuses a reload while the daemon comes up or ends.
func (l *life) unsettled() error {
	l.mu.Lock()
	working, stopping := l.working, l.stopping
	l.mu.Unlock()
	switch {
	case stopping:
		return l.overtaken(l.d.fail("reload", errEnding))
	case !working || l.succession.pending():
		return l.d.fail("reload", errors.New("the daemon is not set up yet"))
	}
	return nil
}

// irreplaceable refuses a reload where a successor would be nobody's.
func (l *life) irreplaceable() error {
	switch {
	case l.d.pid == nil:
		return l.d.fail("reload", because("cannot reload daemon without PID file", ErrNoPIDFile))
	case l.held == nil || l.link == nil && l.manager.Load() == nil:
		e := l.d.fail("reload", because("nobody watches over this process: a successor would be on its own", ErrUnsupported))
		e.Hint = "Start the daemon instead of running it, or under a service manager that listens (Type=notify in systemd)."
		return e
	}
	return nil
}

// beget starts the successor.
func (l *life) beget(askers []*control.Asker) (*successor, error) {
	d := l.d
	file, dir := l.held.FDs()
	pass := []launch.Passed{{Name: passPIDFile, FD: file}, {Name: passPIDDir, FD: dir}}
	if fd := l.held.Spare(); fd >= 0 {
		pass = append(pass, launch.Passed{Name: passSpare, FD: fd})
	}
	if !l.foreground {
		pass = append(pass, launch.Passed{Name: passStderr, FD: 2})
	} else if l.link != nil && l.kept {
		pass = append(pass, launch.Passed{Name: passKeeper, FD: l.link.HandOn()})
	}
	manager := l.manager.Load()
	if manager != nil {
		pass = append(pass, launch.Passed{Name: managerName(manager, l.watchdog.limit), FD: manager.FD()})
	}
	for _, h := range l.succession.atWork() {
		if fd := h.FD(); fd >= 0 {
			pass = append(pass, launch.Passed{Name: passElder + strconv.Itoa(h.PID()), FD: fd})
		}
	}
	files, err := l.sockets.Files()
	if err != nil {
		return nil, d.fail("reload", err)
	}
	defer closeAll(files)
	for _, a := range askers {
		pass = append(pass, launch.Passed{Name: passAsker, FD: a.FD()})
	}
	h := launch.Hello{
		Key: d.key, Foreground: l.foreground, Predecessor: os.Getpid(), Generation: max(Generation(l.ctx), 1) + 1,
		ReadyFirst: d.cfg.RequireReady, Jailed: d.cfg.ChrootDir != "",
	}
	l.held.Expect()
	child, err := launch.Successor(h, pass, files, manager != nil)
	if err != nil {
		e := d.fail("reload", err)
		if errors.Is(err, syscall.EACCES) {
			e.Hint = "The user that the daemon has become must be able to execute it."
		}
		return nil, e
	}
	return &successor{l, &attempt{d: d, l: child, logFrom: -1}}, nil
}

// comeUp waits until the successor is ready, or set up if that is enough.
func (s *successor) comeUp(ctx context.Context) error {
	d, a := s.l.d, s.a
	limit, stop := context.WithTimeout(ctx, d.cfg.StartTimeout)
	defer stop()
	for {
		m, err := a.l.Receive(limit)
		if err == nil {
			done, ready, err := a.heard(m)
			if done && !ready {
				return err
			}
			if ready || a.running && !d.cfg.RequireReady {
				return nil
			}
			continue
		}
		status, lives := a.l.Wait(limit)
		switch {
		case ctx.Err() != nil:
			e := d.fail("reload", because("the reload was given up", context.Cause(ctx)))
			var signal *SignalError
			if errors.As(e, &signal) {
				e.Reason = signal.Error()
			}
			return e
		case limit.Err() != nil:
			e := d.fail("reload", because(fmt.Sprintf("timed out while waiting for the new process (PID %d)", a.l.PID()), ErrStillStarting, limit.Err()))
			e.PID, e.Reason, e.Stderr = a.l.PID(), a.note, a.lastLines()
			return e
		case lives != nil:
			return d.fail("reload", fmt.Errorf("listen to the new process: %w", err))
		}
		return a.died(status)
	}
}

// end ends a successor that must not be.
func (s *successor) end() {
	a := s.a
	a.l.Send(launch.Cancel)
	if a.claimed {
		a.gone(s.l.d.cfg.StopTimeout)
	} else {
		a.gone(hearsay) // nobody there hears us, as far as we know
	}
	a.kill()
	a.l.Close()
	a.l.Reap()
}

// handOver makes the successor the daemon: at once if it is ready, else when this
// process ends.
func (s *successor) handOver() error {
	l := s.l
	if !l.d.cfg.RequireReady {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.stopping {
			return l.d.fail("reload", errEnding)
		}
		l.successor = s
		l.leave()
		s.a.l.Send(launch.Leaving)
		return nil
	}
	// From here on this process does not end by a signal before it is clear whose
	// the daemon is.
	l.mu.Lock()
	if l.stopping {
		l.mu.Unlock()
		return l.d.fail("reload", errEnding)
	}
	l.handing = true
	l.mu.Unlock()
	err := s.swap()
	l.mu.Lock()
	l.handing = false
	late := l.late
	if err != nil {
		l.mu.Unlock()
		for _, end := range late {
			l.end(end.sig, end.cause)
		}
		return err
	}
	l.held.Retire(max(Generation(l.ctx), 1))
	l.held = nil
	l.leave()
	if l.kept {
		l.link.Close()
	}
	l.mu.Unlock()
	for _, end := range late { // it was meant for the daemon
		if end.sig != 0 {
			s.passEnd()
		}
	}
	s.a.l.Close()
	if !l.kept { // or the keeper has it when we are gone
		s.a.l.Reap()
	}
	return nil
}

// passEnd passes on that the daemon is to end. The successor may have been told by the
// keeper as well, and SIGTERM is the only signal of which two mean no more than one.
func (s *successor) passEnd() {
	if h := s.a.l.Handle(); h != nil {
		h.Signal(syscall.SIGTERM)
	}
}

// lateEnd is an end that has to wait until it is clear whose it is.
type lateEnd struct {
	sig   syscall.Signal
	cause error
}

// leave ends the worker's context. A launcher that watches this process still hears that
// the daemon has come up, or it would take this end for the daemon's. l.mu is held.
func (l *life) leave() {
	if !l.foreground && !l.verdict && !l.ready {
		l.ready = true
		l.keep()
		l.dropStderr()
		l.link.Send(launch.Message{Kind: launch.Ready})
	}
	l.stopping = true
	l.leaving = true
	l.cancel(ErrReload)
}

// swapTime is how long a process that is ready may take for a few system calls.
const swapTime = 10 * time.Second

// swap changes who holds the lock and who is the service manager's main process.
func (s *successor) swap() error {
	l, a := s.l, s.a
	limit, stop := context.WithTimeout(context.Background(), swapTime)
	defer stop()
	err := l.held.Yield()
	// Somebody's read lock may be in the way: then the number has to do.
	defer time.AfterFunc(lockTime, func() { a.l.Send(launch.Go) }).Stop()
	for err == nil {
		var m launch.Message
		m, err = a.l.Receive(limit)
		if err == nil && m.Kind == launch.Took {
			break
		}
	}
	if err == nil {
		l.control.close(false)
		err = l.manager.Load().HandOver(limit, a.l.PID())
	}
	if h := a.l.Handle(); err == nil && h != nil && h.Gone() {
		err = ErrDied
	}
	if err == nil {
		a.l.Send(launch.Release)
		return nil
	}
	a.l.Send(launch.Cancel)
	a.kill()
	if back := l.manager.Load().TakeBack(); back != nil {
		l.complain("notify", back)
	}
	if again := l.held.Regain(); again != nil {
		err = errors.Join(err, again)
	}
	go l.serveControl()
	e := l.d.fail("reload", because(fmt.Sprintf("the new process (PID %d) did not take over: %v", a.l.PID(), err), ErrDied, err))
	e.PID, e.Reason, e.Stderr = a.l.PID(), a.reason, a.lastLines()
	return e
}

// depart is the end of a daemon in whose place another comes, or nobody.
func (l *life) depart() {
	l.succession.settle()
	l.closeWishes()
	l.control.close(true)
	l.mu.Lock()
	recalled, leaving := l.recalled, l.leaving
	l.mu.Unlock()
	if !leaving || recalled {
		l.awaitElders() // else that is the successor's part
	}
	relieved := l.relieve()
	l.sockets.End()
	if !relieved {
		l.removePIDFile()
	}
}

// recall is for a stop that comes while this process ends to make room for another. It
// reports whether this is the first one.
func (l *life) recall() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.successor == nil || l.recalled:
		return false
	case l.relieved: // it is meant for the successor
		l.successor.passEnd()
		return true
	}
	l.recalled = true
	l.successor.a.l.Send(launch.Cancel)
	l.tell(sdnotify.Stopping)
	return true
}

// relieve makes sure that the successor is there: whatever has become of it since the
// reload was promised, there must be a daemon afterwards. It reports false if there is
// to be none, or can be none.
func (l *life) relieve() bool {
	l.mu.Lock()
	s, recalled := l.successor, l.recalled
	l.mu.Unlock()
	if s == nil {
		return false
	}
	if !recalled && !s.takes() {
		if s = l.begetAgain(); s == nil {
			return false
		}
	}
	l.mu.Lock()
	l.relieved = !l.recalled
	l.mu.Unlock()
	if !l.relieved {
		s.end()
		return false
	}
	limit, stop := context.WithTimeout(context.Background(), swapTime)
	defer stop()
	if err := l.manager.Load().HandOver(limit, s.a.l.PID()); err != nil {
		l.complain("notify", err)
	}
	return true
}

// takes tells the successor that nothing comes between now and the end of this process,
// and reports whether it takes over then: it can have died, or lost its patience.
func (s *successor) takes() bool {
	limit, stop := context.WithTimeout(context.Background(), swapTime)
	defer stop()
	s.a.l.Send(launch.Release)
	for {
		m, err := s.a.l.Receive(limit)
		if err == nil && m.Kind == launch.Took || limit.Err() != nil {
			return true
		}
		if err != nil {
			s.end()
			return false
		}
	}
}

// begetAgain gives another successor for one that is of no use, or nil.
func (l *life) begetAgain() *successor {
	s, err := l.beget(nil)
	if err == nil {
		l.mu.Lock()
		l.successor = s
		l.mu.Unlock()
		if err = s.comeUp(context.Background()); err == nil {
			if s.takes() {
				l.heir.Store(s.a.l)
				return s
			}
			err = ErrDied
		} else {
			s.end()
		}
	}
	l.mu.Lock()
	recalled := l.recalled
	l.mu.Unlock()
	if !recalled {
		l.complain("reload", err)
	}
	return nil
}
