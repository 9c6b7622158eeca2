package daemonocle

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/plan"
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
	prepareWatch(ctx context.Context, d *Daemon) (attempt.Watch, error)
	// raise does, in the daemon, what needs the privileges that it still has.
	raise(p *plan.Plan, op string) error
}

var foreignWorker atomic.Pointer[func(worker func(context.Context) error) foreign]

// foreignOf is nil for a worker that is Go code.
func foreignOf(worker func(context.Context) error) foreign {
	if find := foreignWorker.Load(); find != nil {
		return (*find)(worker)
	}
	return nil
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
