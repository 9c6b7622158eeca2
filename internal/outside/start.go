package outside

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/sockets"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// Launcher is a daemon that can be started: its plan, and what is the program's own.
type Launcher struct {
	Plan *plan.Plan

	// Complain is for what no caller can be told.
	Complain func(act string, err error)
	// Living reports whether the daemon lives in this process.
	Living func() bool
	// Check looks whether the program could do its work.
	Check func(ctx context.Context, op string, c *Checkup) error
	// Hook is called before anything is started. Nil: there is none.
	Hook func(ctx context.Context, debug bool) error
	// Program looks for the program that the daemon becomes. Nil: the worker is Go code.
	Program func() error
	// Watch gets ready to watch that program start. Nil: the worker is Go code.
	Watch func(ctx context.Context) (attempt.Watch, error)
	// Sockets gives a start its own sockets, and the context by which the program knows them.
	Sockets func(ctx context.Context) (context.Context, *sockets.Set)
	// Manager is the service manager that wants to hear of this process, nil if there is none,
	// and how often.
	Manager func() (*sdnotify.Conn, time.Duration)
	// Run runs the daemon in this process. started is called once it counts as started, or has
	// failed before; it may be nil.
	Run func(ctx context.Context, started func(ok bool)) error
}

// StartOptions are for one start; daemonocle.StartOptions says what they mean.
type StartOptions struct {
	Debug    bool
	Timeout  time.Duration
	NotifyFD *sdnotify.Descriptor // nil: none
}

// Started says what became of a start; daemonocle.Started says how.
type Started struct {
	PID   int
	Took  time.Duration
	Ready bool
	Ended bool
}

// Start starts the daemon, and returns when it is known what became of it.
func (l *Launcher) Start(ctx context.Context, o StartOptions, w *Watcher) (Started, error) {
	began := time.Now()
	ctx, inherited := l.Sockets(ctx)
	defer inherited.End()
	place, err := placeOf(ctx, l.Plan, o.Debug || l.Plan.Foreground)
	if err != nil {
		w.Begin()
		w.Settle(false)
		return Started{}, err
	}
	if w.Needed != nil && stays(place, o.Debug || l.Plan.Foreground, environ.Terminal(0)) {
		w.Needed()
	}
	if err := l.prepare(ctx, &o, w); err != nil {
		return Started{}, err
	}
	var s Started
	switch {
	case place == environ.Init, place == environ.First:
		s, err = l.keep(ctx, o, inherited, w)
	case place == environ.Socket: // no line of ours may get onto it
		err = l.Run(ctx, nil)
	case !Detaches(place):
		err = l.Run(ctx, func(ok bool) {
			w.Begin()
			w.Settle(ok)
		})
	case o.Debug:
		s, err = l.keep(ctx, o, inherited, w)
	default:
		if place == environ.Unseen && w.Unseen != nil {
			w.Unseen()
		}
		a := l.attempt(w)
		session(w, o.Timeout, inherited).Detach(ctx, []*attempt.Attempt{a})
		if a.Err == nil {
			l.notified(o)
		}
		return Started{PID: a.PID, Ready: a.Ready, Took: time.Since(began)}, a.Err
	}
	s.Ended = true
	s.Took = time.Since(began)
	return s, err
}

// StartAll starts daemons in one session, and calls over for each, in any order and from any
// goroutine. Each has a watcher.
func StartAll(ctx context.Context, list []*Launcher, o StartOptions, watchers []Watcher, over func(int, Started, error)) {
	began := time.Now()
	ctx, inherited := list[0].Sockets(ctx)
	defer inherited.End()
	var attempts []*attempt.Attempt
	var once Checkup
	for i, l := range list {
		w, own := watchers[i], o
		if w.Checkup == nil {
			w.Checkup = &once
		}
		if err := l.prepare(ctx, &own, &w); err != nil {
			over(i, Started{}, err)
			continue
		}
		a := l.attempt(&w)
		a.Over = func() { over(i, Started{PID: a.PID, Ready: a.Ready, Took: time.Since(began)}, a.Err) }
		attempts = append(attempts, a)
		o.Timeout = own.Timeout
	}
	if len(attempts) > 0 {
		session(&watchers[0], o.Timeout, inherited).Detach(ctx, attempts)
	}
}

// notified tells who has handed over a descriptor for it that the daemon is started.
func (l *Launcher) notified(o StartOptions) {
	if err := o.NotifyFD.Ready(); err != nil {
		l.Complain("notify", err)
	}
}

// prepare is what comes before anything is started: it completes the options, and
// finds out early what would keep the daemon from starting.
func (l *Launcher) prepare(ctx context.Context, o *StartOptions, w *Watcher) error {
	if err := o.complete(l.Plan, "start"); err != nil {
		return err
	}
	if l.Plan.Worker == plan.NoWorker {
		return l.Plan.NoWorker("start")
	}
	if l.Living() {
		return l.Plan.AlreadyRunning("start", os.Getpid())
	}
	err := mayStart(ctx, l.Plan, w)
	if errors.Is(err, fault.ErrAlreadyRunning) {
		return err
	}
	if err == nil && l.Program != nil {
		err = l.Program()
	}
	if err == nil {
		err = l.Check(ctx, "start", w.Checkup)
	}
	if err == nil && l.Hook != nil {
		err = l.Hook(ctx, o.Debug)
	}
	if err != nil {
		w.Begin()
		w.Settle(false)
	}
	return err
}

// mayStart looks at the PID file before a start. The daemon decides; this is to answer early.
func mayStart(ctx context.Context, p *plan.Plan, w *Watcher) error {
	if p.PID == nil {
		return nil
	}
	r, err := look(ctx, p, "start", w)
	if err == nil && r.Named() && outlives(ctx, r.PID) {
		r, err = look(ctx, p, "start", w)
	}
	if err != nil {
		return err
	}
	// A file that is locked by nobody who can be named the daemon tries to replace.
	if r.State == pidfile.Running || r.State == pidfile.Blocked && r.PID > 0 {
		return p.Held("start", r)
	}
	return nil
}

// outlives reports whether the daemon was about to end, as one that was killed, and has ended:
// that it runs already would be true for no longer than the kernel takes to take it apart.
func outlives(ctx context.Context, pid int) bool {
	if !proc.Ending(pid) {
		return false
	}
	limit, stop := context.WithTimeout(ctx, timing.KillShows)
	defer stop()
	h, err := proc.Open(pid)
	if err != nil {
		return errors.Is(err, proc.ErrGone)
	}
	defer h.Close()
	return h.Wait(limit) == nil
}

// complete completes and checks the options.
func (o *StartOptions) complete(p *plan.Plan, op string) error {
	if o.Timeout < 0 {
		return p.Negative(op, o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = p.StartTimeout
	}
	o.Debug = o.Debug || p.Foreground
	return nil
}

// attempt is one detached start, or that of a keeper.
func (l *Launcher) attempt(w *Watcher) *attempt.Attempt {
	a := attempt.New(l.Plan, l.Complain)
	a.Line, a.Optioned, a.Prepare = attempt.Line{Begin: w.Begun, End: w.Settled}, w.Optioned, l.Watch
	return a
}

// session is for one start, or several together.
func session(w *Watcher, timeout time.Duration, inherited *sockets.Set) attempt.Session {
	return attempt.Session{Timeout: timeout, Interrupts: w.Interrupts, Files: func() ([]*os.File, []string, error) { return inheritance(inherited) }}
}

// inheritance is what the daemons of a start inherit, and the names by which
// they know it.
func inheritance(s *sockets.Set) (files []*os.File, names []string, err error) {
	files, err = s.Files()
	for _, f := range files {
		names = append(names, f.Name())
	}
	return files, names, err
}
