package outside

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/rights"
)

// Signal sends a signal to the daemon's process, and gives its PID.
func Signal(ctx context.Context, p *plan.Plan, sig syscall.Signal) (pid int, err error) {
	const op = "signal"
	r, err := look(ctx, p, op, &Watcher{})
	switch {
	case err != nil:
		return 0, err
	case r.State != pidfile.Running:
		return 0, p.NotRunning(op)
	case r.PID == os.Getpid():
		return 0, p.Fail(op, fault.Say("the daemon cannot signal itself this way", fault.ErrInside))
	case !r.Named():
		return 0, unnamed(p, op, r)
	}
	defer pin(p, r)()
	end, r, err := pursue(ctx, p, op, r, missedAtMost(p, op), func(h *rights.Target) (phase.FollowEvent, error) {
		switch err := h.Signal(sig); {
		case errors.Is(err, proc.ErrGone):
			return phase.Misses, nil
		case err != nil:
			return phase.Denies, about(p, op, h.PID(), err)
		}
		return phase.Does, nil
	})
	switch {
	case end == phase.NotThere:
		return 0, p.NotRunning(op)
	case err != nil:
		return 0, err
	}
	return r.PID, nil
}

// missesAtMost is how many processes may be gone before they are signalled. One in a reload is
// usual; more means that somebody makes them faster than they can be reached.
const missesAtMost = 5

// missedAtMost gives the function that says of the next process that it is one too many.
func missedAtMost(p *plan.Plan, op string) func(pid int) error {
	misses := 0
	return func(pid int) error {
		if misses++; misses < missesAtMost {
			return nil
		}
		return about(p, op, pid, fault.Say(fmt.Sprintf("%d processes have had the daemon's place one after the other, and were gone before they could be signalled", misses), fault.ErrDied))
	}
}

// Wait returns when the running daemon is gone, or with an error if there was none.
func Wait(ctx context.Context, p *plan.Plan) error {
	r, err := look(ctx, p, "wait for", &Watcher{})
	if err != nil {
		return err
	}
	switch {
	case r.State != pidfile.Running:
		return p.NotRunning("wait for")
	case r.PID == os.Getpid():
		return p.Fail("wait for", fault.Say("the daemon cannot wait for itself", fault.ErrInside))
	case !r.Named():
		return unnamed(p, "wait for", r)
	}
	// All generations of a daemon have one file, so one pin is enough for them.
	defer pin(p, r)()
	// Nor is there a number of them that is too many: it waits for the end of the last one, and a
	// daemon may be reloaded for years.
	_, _, err = pursue(ctx, p, "wait for", r, nil, func(h *rights.Target) (phase.FollowEvent, error) {
		if err := h.Wait(ctx); err != nil {
			return phase.Denies, about(p, "wait for", h.PID(), err)
		}
		return phase.Outlived, nil
	})
	return err
}
