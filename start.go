package daemonocle

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/outside"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// StartOptions are for one start. The zero value starts as the Config says.
type StartOptions struct {
	// Debug keeps the daemon in the foreground, like Config.Foreground.
	Debug bool `help:"Do NOT detach and run in the background."`
	// Timeout is how long to wait at most. 0: Config.StartTimeout.
	Timeout time.Duration `name:"wait" zero:"1" help:"How long to wait for the daemon to be ready."`
	// NotifyFD is a descriptor that the caller has open for writing, from 3 up. A newline
	// is written to it when the daemon is ready, or counts as started, and then it is
	// closed, as s6 and its kin want it. 0: none.
	NotifyFD int `name:"notify-fd" meta:"N" descriptor:"true" help:"Write a newline to this descriptor when the daemon is ready."`
	// Args are for the worker; see Args and Config.NoArgs.
	Args []string `name:"-"`
}

// Started says what became of a start.
type Started struct {
	PID   int           // of the daemon
	Took  time.Duration // until it was known
	Ready bool          // the worker said so; else it has lived through the window

	// Skipped: this process was launched to become another daemon of this
	// program, so that nothing was done.
	Skipped bool
	// Ended: it was not detached, and is over.
	Ended bool
}

// Start starts the daemon and returns when it is known what became of it.
// Detached, that is when the worker has called Ready, has lived through
// StartWindow (unless RequireReady is set), or has died.
//
// In the launched process the program's main runs again up to this call, which
// then becomes the daemon and ends the process with the worker's exit code.
//
// In the foreground, and where nothing is launched (see Config.Foreground), it
// returns when the daemon has ended.
//
// The end of ctx ends the waiting. A cancellation before the verdict also ends
// the start, and nothing is left of it: ErrStartCancelled. (What a worker has put
// into a session of its own is found only if the worker is a Program and no other is
// started with it.) A deadline leaves the daemon alone: ErrStillStarting. If the
// launcher vanishes, the start goes on.
//
// The errors are *Error and wrap ErrAlreadyRunning (PID says who), ErrDied (Code,
// Reason and Stderr say why), ErrBlocked, ErrNoWorker, what a system call of the
// set-up said, or the start hook's own.
func (d *Daemon) Start(ctx context.Context, o StartOptions) (Started, error) {
	s, err := d.start(ctx, o, outside.Watcher{})
	return s, public(err)
}

func (d *Daemon) start(ctx context.Context, o StartOptions, w outside.Watcher) (Started, error) {
	began := time.Now()
	if skip, err := d.claim(ctx, o.Args); skip {
		return Started{Skipped: true}, err
	}
	if err := d.refused("start", o.Args); err != nil {
		return Started{}, err
	}
	ctx, err := withNotifyFD(ctx, o.NotifyFD)
	if err != nil {
		return Started{}, d.plan.Misused("start", err)
	}
	defer notifyFDOf(ctx).Close()
	ctx = withSockets(ctx, d.plan.Member)
	defer socketsOf(ctx).End()
	place, err := d.place(ctx, o)
	if err != nil {
		w.Begin()
		w.Settle(false)
		return Started{}, err
	}
	if w.Needed != nil && stays(place, o.Debug || d.plan.Foreground, environ.Terminal(0)) {
		w.Needed()
	}
	if err := d.prepare(ctx, &o, w); err != nil {
		return Started{}, err
	}
	var s Started
	switch {
	case place == environ.Init, place == environ.First:
		s, err = d.keep(ctx, w)
	case place == environ.Socket: // no line of ours may get onto it
		err = d.runHere(ctx, context.WithoutCancel(ctx), "start", o.Args, nil)
	case !detaches(place):
		err = d.runHere(ctx, context.WithoutCancel(ctx), "start", o.Args, func(ok bool) {
			w.Begin()
			w.Settle(ok)
		})
	case o.Debug:
		s, err = d.keep(ctx, w)
	default:
		if place == environ.Unseen && w.Unseen != nil {
			w.Unseen()
		}
		a := d.attempt(w)
		session(ctx, w, o.Timeout).Detach(ctx, []*attempt.Attempt{a})
		s, err = Started{PID: a.PID, Ready: a.Ready}, a.Err
		if err == nil {
			d.notified(ctx)
		}
		s.Took = time.Since(began)
		return s, err
	}
	s.Ended = true
	s.Took = time.Since(began)
	return s, err
}

// survey is made once: what a process was started for does not change, and several ask.
var survey struct {
	once  sync.Once
	place environ.Place
}

func here() environ.Place {
	survey.once.Do(func() { survey.place = environ.Here() })
	return survey.place
}

// where says where this process is. What started a daemon's own process was meant for
// that daemon, not for those that it starts.
func where() environ.Place {
	if p := here(); p == environ.Init || launch.Self() == nil {
		return p
	}
	return environ.Shell
}

// stays reports whether a start there keeps this process, so that a daemon that runs already
// is a failure: whoever started this one would take its end for the service's. A person at a
// terminal is told so, and no more. A unit of Type=forking finds the daemon that runs.
func stays(p environ.Place, foreground, terminal bool) bool {
	return !detaches(p) || foreground && !terminal
}

// detaches reports whether a start there leaves the process that was called.
func detaches(p environ.Place) bool {
	return p == environ.Shell || p == environ.Unseen || p == environ.Forking
}

// notified tells who has handed over a descriptor for it that the daemon is started.
func (d *Daemon) notified(ctx context.Context) {
	if err := notifyFDOf(ctx).Ready(); err != nil {
		d.complain("notify", err)
	}
}

// prepare is what comes before anything is started: it completes the options, and
// finds out early what would keep the daemon from starting.
func (d *Daemon) prepare(ctx context.Context, o *StartOptions, w outside.Watcher) error {
	if err := d.startTimeout("start", o); err != nil {
		return err
	}
	o.Debug = o.Debug || d.plan.Foreground
	if d.code.Worker == nil {
		return d.plan.NoWorker("start")
	}
	if d.life.Load() != nil {
		return d.plan.AlreadyRunning("start", os.Getpid())
	}
	if err := outside.MayStart(ctx, d.plan, w); err != nil {
		if !errors.Is(err, ErrAlreadyRunning) {
			w.Begin()
			w.Settle(false)
		}
		return err
	}
	if d.foreign != nil {
		if err := d.foreign.check(d); err != nil {
			w.Begin()
			w.Settle(false)
			return err
		}
	}
	if err := d.check(ctx, "start", w.Checkup); err != nil {
		w.Begin()
		w.Settle(false)
		return err
	}
	if hook := d.code.Hooks.Start; hook != nil {
		info := StartInfo{Debug: o.Debug, Daemon: d}
		if err := usercode.Call("start hook", func() error { return hook(ctx, info) }); err != nil {
			w.Begin()
			w.Settle(false)
			return d.relay("start", err)
		}
	}
	return nil
}

// startTimeout completes and checks how long to wait.
func (d *Daemon) startTimeout(op string, o *StartOptions) error {
	if o.Timeout < 0 {
		return d.plan.Negative(op, o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = d.plan.StartTimeout
	}
	return nil
}

// attempt is one detached start, or that of a keeper.
func (d *Daemon) attempt(w outside.Watcher) *attempt.Attempt {
	a := attempt.New(d.plan, d.complain)
	a.Line, a.Optioned = attempt.Line{Begin: w.Begun, End: w.Settled}, w.Optioned
	if d.foreign != nil {
		a.Prepare = func(ctx context.Context) (attempt.Watch, error) { return d.foreign.prepareWatch(ctx, d) }
	}
	return a
}

// session is for one start, or several together.
func session(ctx context.Context, w outside.Watcher, timeout time.Duration) attempt.Session {
	return attempt.Session{Timeout: timeout, Interrupts: w.Interrupts, Files: func() ([]*os.File, []string, error) { return inheritance(ctx) }}
}
