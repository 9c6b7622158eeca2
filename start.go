package daemonocle

import (
	"context"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/outside"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/sockets"
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
	s, err := d.start(ctx, o, &outside.Watcher{})
	return s, public(err)
}

func (d *Daemon) start(ctx context.Context, o StartOptions, w *outside.Watcher) (Started, error) {
	if skip, err := d.claim(ctx, o.Args); skip {
		return Started{Skipped: true}, err
	}
	if err := d.refused("start", o.Args); err != nil {
		return Started{}, err
	}
	ctx, err := sdnotify.WithDescriptor(ctx, o.NotifyFD)
	if err != nil {
		return Started{}, d.plan.Misused("start", err)
	}
	defer sdnotify.DescriptorOf(ctx).Close()
	s, err := d.launcher(o.Args).Start(ctx, o.outside(ctx), w)
	return started(s), err
}

// outside are the options without what is the worker's.
func (o StartOptions) outside(ctx context.Context) outside.StartOptions {
	return outside.StartOptions{Debug: o.Debug, Timeout: o.Timeout, NotifyFD: sdnotify.DescriptorOf(ctx)}
}

func started(s outside.Started) Started {
	return Started{PID: s.PID, Took: s.Took, Ready: s.Ready, Ended: s.Ended}
}

// launcher is what a start takes of the daemon. The arguments are for a worker that runs in
// this process.
func (d *Daemon) launcher(args []string) *outside.Launcher {
	l := &outside.Launcher{
		Plan:     d.plan,
		Complain: d.complain,
		Living:   func() bool { return d.life.Load() != nil },
		Check:    d.check,
		Manager:  manager,
		Sockets: func(ctx context.Context) (context.Context, *sockets.Set) {
			ctx = sockets.With(ctx, d.plan.Member.Of > 1)
			return ctx, sockets.Of(ctx)
		},
		Run: func(ctx context.Context, started func(ok bool)) error {
			return d.runHere(ctx, context.WithoutCancel(ctx), "start", args, started)
		},
	}
	if d.foreign != nil {
		l.Program = func() error { return d.foreign.Check(d.plan) }
		l.Watch = func(ctx context.Context) (attempt.Watch, error) { return d.foreign.Watch(ctx, d.plan) }
	}
	if hook := d.code.Hooks.Start; hook != nil {
		l.Hook = func(ctx context.Context, debug bool) error {
			err := usercode.Call("start hook", func() error { return hook(ctx, StartInfo{Debug: debug, Daemon: d}) })
			if err != nil {
				return d.relay("start", err)
			}
			return nil
		}
	}
	return l
}

// launchers are those of daemons that are started together, each in a process of its own.
func launchers(list []*Daemon) (all []*outside.Launcher) {
	for _, d := range list {
		all = append(all, d.launcher(nil))
	}
	return all
}

// check asks the program whether it could do its work.
func (d *Daemon) check(ctx context.Context, op string, c *outside.Checkup) error {
	hook := d.code.Hooks.Check
	if hook == nil {
		return nil
	}
	err := c.Do(func() error { return usercode.Call("check hook", func() error { return hook(ctx) }) })
	if err != nil {
		return d.relay(op, err)
	}
	return nil
}

// waitingForClaim reports whether this process was launched to become a daemon
// that main has not reached yet: then it must change nothing.
func waitingForClaim() bool {
	c := launch.Self()
	return c != nil && !c.Claimed()
}
