package daemonocle

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/daemonocle/daemonocle/internal/phase"
)

// foreign is a worker that is another program. It is an interface, and found by
// a function that Program.Worker sets, so that who has no such worker does not
// link any of it.
type foreign interface {
	// member gives the worker of that number in a group.
	member(n int) (func(context.Context) error, error)
	// complete checks and completes the settings of a daemon that is being made.
	complete(d *Daemon) []error
	// check looks, in the launcher, whether there is something to execute.
	check(d *Daemon) error
	// prepareWatch gets ready, in the launcher, to watch the program start.
	prepareWatch(ctx context.Context, d *Daemon) (startWatch, error)
	// raise does, in the daemon, what needs the privileges that it still has.
	raise(l *life) error
}

// startWatch is a launcher's watch over a program that starts.
type startWatch interface {
	// address is the program's NOTIFY_SOCKET, empty without one.
	address() string
	// watch gives what is seen of the program, once the daemon is that or dead; limit is
	// derived from ctx, the caller's.
	watch(ctx, limit context.Context, a *attempt) (phase.Sign, error)
	// tell adds what the program had to say to the error, if it is one of a start's.
	tell(a *attempt, err error)
	// end ends what is left of the program and of what it has started, and gives what it
	// has met.
	end(a *attempt) []int
	// await waits until the program says that it is ready, where a keeper watches over
	// it; can is false if it has no way to say so there.
	await(ctx context.Context, a *attempt) (ready, can bool)
	close()
}

var foreignWorker atomic.Pointer[func(worker func(context.Context) error) foreign]

// foreignOf is nil for a worker that is Go code.
func foreignOf(worker func(context.Context) error) foreign {
	if find := foreignWorker.Load(); find != nil {
		return (*find)(worker)
	}
	return nil
}

// errNotExecuted is in the error of a worker that could not become its program.
var errNotExecuted = errors.New("not executed")

// prepareWatches gets ready to watch the programs among the daemons that are about to be
// started. It gives those that still are.
func prepareWatches(ctx context.Context, attempts []*attempt) []*attempt {
	var left []*attempt
	for _, a := range attempts {
		a.alone = len(attempts) == 1
		if a.d.foreign != nil && a.gate == nil { // else it does not become that
			var err error
			if a.watch, err = a.d.foreign.prepareWatch(ctx, a.d); err != nil {
				a.watch = nil
				a.begin()
				a.w.settle(false)
				a.tell(err)
				continue
			}
		}
		left = append(left, a)
	}
	return left
}

// endWatch ends the watch.
func (a *attempt) endWatch() {
	if a.watch != nil {
		a.watch.close()
	}
}

func (a *attempt) notifyAddress() string {
	if a.watch == nil {
		return ""
	}
	return a.watch.address()
}

// backOff calls try with growing pauses until it is done or ctx ends.
func backOff(ctx context.Context, try func() (done bool)) bool {
	for pause := time.Millisecond; !try(); pause = min(2*pause, 20*time.Millisecond) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
	return true
}
