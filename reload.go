package daemonocle

import (
	"context"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/inside"
)

// Reload replaces the daemon by a new process of the same program: with the same
// arguments, environment and original working directory, and what is the program's
// file by now. The start hook does not run, and after a change of user or root
// directory the privileged hook does not either; what Listen gave is handed on.
//
// Without RequireReady the new process comes up to just before its worker, waits for
// this one to be gone, and goes on. With RequireReady its worker runs beside this one
// until it is ready; only then this one goes.
//
// It is for the daemon's own process, such as its worker (else the error wraps
// ErrOutside), and needs a PID file. If the new process cannot do it, the daemon goes on
// as before: the error, an *Error, says why. On success it returns nil and the worker's
// context ends, with ErrReload for its cause: the worker must return.
//
// It may be called concurrently: calls that come while one is on its way wait for the
// next one. The end of ctx gives the reload up, unless others wait for it as well or
// it is done already.
func (d *Daemon) Reload(ctx context.Context) error {
	l := d.life.Load()
	if d.plan.PID == nil || l == nil {
		is := []error{ErrOutside}
		if d.plan.PID == nil {
			is = append(is, ErrNoPIDFile)
		}
		return public(d.plan.Fail("reload", fault.Say("Daemon.Reload should only be called by the daemon process itself", is...)))
	}
	return public(l.Reload(ctx))
}

// Generation says whose worker it is whose context is asked: 1 after a start, one more
// after each reload; 0 if the context is not a worker's or a hook's.
func Generation(ctx context.Context) int {
	if l := inside.Of(ctx); l != nil {
		return l.Generation()
	}
	return 0
}
