package daemonocle

import (
	"context"
	"sync/atomic"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/plan"
)

// foreign is a worker that is another program. It is an interface, and found by
// a function that Program.Worker sets, so that who has no such worker does not
// link any of it.
type foreign interface {
	// help is the daemon's, where the Config has none.
	help() string
	// member gives the worker of that number in a group.
	member(n int) (func(context.Context) error, []plan.Problem)

	// The others are those of internal/program.
	Complete(*plan.Plan) []plan.Problem
	Check(*plan.Plan) error
	Watch(context.Context, *plan.Plan) (attempt.Watch, error)
	Raise(p *plan.Plan, op string) error
}

var foreignWorker atomic.Pointer[func(worker func(context.Context) error) foreign]

// foreignOf is nil for a worker that is Go code.
func foreignOf(worker func(context.Context) error) foreign {
	if find := foreignWorker.Load(); find != nil {
		return (*find)(worker)
	}
	return nil
}
