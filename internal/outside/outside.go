// Package outside does what a launcher does: it starts a daemon, keeps one that stays in the
// foreground, and stops, signals, asks and measures the one that runs. Nothing in it runs in
// the daemon's own process. Whatever it does begins with a look at the PID file, and nothing is
// signalled that the kernel does not prove to be the daemon's. The methods of daemonocle.Daemon
// and of daemonocle.Group call it, with the program's own code as functions.
package outside

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Watcher hears of an action while it goes on. Its functions may be nil.
type Watcher struct {
	Broken     func(held, mended bool) // the PID file names no process
	Orphaned   func(pids []int)        // processes of an earlier daemon are left
	Needed     func()                  // this process is the daemon's own or its keeper's, or was to be
	Unseen     func()                  // it cannot be told whether a container ends with this process
	Begun      func()                  // it is certain that something is tried
	Settled    func(ok bool)           // the line of Begun can end
	Forwarding func(syscall.Signal)    // by the keeper
	Childless  func()                  // the keeper's last word

	Optioned   bool // who reads has the options of the actions
	Interrupts bool // signals of the terminal cancel a detached start

	Checkup *Checkup // of the action that this start is part of; nil: of none
}

// Begin says that something is tried.
func (w *Watcher) Begin() {
	if w.Begun != nil {
		w.Begun()
	}
}

// Settle says how it ended.
func (w *Watcher) Settle(ok bool) {
	if w.Settled != nil {
		w.Settled(ok)
	}
}

// Interruptible gives a context that signals of the terminal end as well, if they are to.
func (w *Watcher) Interruptible(ctx context.Context) (_ context.Context, calm func()) {
	if !w.Interrupts {
		return ctx, func() {}
	}
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// UntilTold gives a context that a signal of the terminal ends as well. A second one ends the
// process, which may be waiting for its reader.
func UntilTold(ctx context.Context) (_ context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// Checkup is one look of the program's own whether it could do its work, for all in one action
// that want to know.
type Checkup struct {
	once sync.Once
	err  error
}

// Do calls the look, once; every time if there is no action that others are part of.
func (c *Checkup) Do(look func() error) error {
	if c == nil {
		return look()
	}
	c.once.Do(func() { c.err = look() })
	return c.err
}

// Each calls do for 0 to n-1 at once, and returns when all of the calls have.
func Each(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}
