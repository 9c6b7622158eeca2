package daemonocle

import (
	"context"
	"errors"
	"os"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/sockets"
)

// Ready tells whoever started the daemon that it is ready: the launcher, which
// then reports it, or a service manager. It may be called from any goroutine of the worker, and more
// than once. An error means that there is nobody to be ready for: ctx is not a
// worker's, or the start was cancelled before.
func Ready(ctx context.Context) error {
	l := inside.Of(ctx)
	if l == nil {
		return errors.New("daemonocle: ready: the context is not a worker's")
	}
	return l.Ready()
}

// Run runs the worker in this very process, and returns when it has ended:
// nothing is launched, on every system that Go has. Settings, hooks, signals
// and readiness are those of a start that does not detach: the PID file is
// taken, root directory, user, working directory and umask of this process
// change, and stay changed. The end of ctx ends the worker's context.
//
// The error is nil if the worker ended well, also after a signal; ExitCode
// turns it into the exit code. Run prints nothing but the stack of a panic. It
// may be called again after it has returned.
func (d *Daemon) Run(ctx context.Context) error {
	if done, err := d.claim(ctx, nil); done {
		return err
	}
	if err := d.check(ctx, "run", nil); err != nil {
		return public(err)
	}
	return public(d.runHere(sockets.With(ctx, d.plan.Member.Of > 1), ctx, "run", nil, nil))
}

// runHere is a life without a launcher. The worker's context has the values of
// ctx and ends with until. started is called once, when the daemon counts as started or has
// failed before, and not at all if it ends well before; nil: nobody wants to know.
func (d *Daemon) runHere(ctx, until context.Context, op string, args []string, started func(ok bool)) error {
	if d.code.Worker == nil {
		return d.plan.NoWorker(op)
	}
	return inside.Run(ctx, until, d.plan, (*programHost)(d), op, args, started)
}

// claim turns a launched process into its daemon, and never returns from that.
// In a launched process that is another daemon's, it reports that there is
// nothing to do. In all other processes it is false.
func (d *Daemon) claim(ctx context.Context, args []string) (done bool, err error) {
	return inside.Claim(ctx, d.plan, (*programHost)(d), args), nil
}

func (d *Daemon) complain(act string, err error) {
	if log := d.code.Logger; log != nil {
		log.Error(act, "daemon", d.plan.Name, "error", public(err))
		return
	}
	say(os.Stderr).Error(console.Capitalize(act) + ": " + err.Error())
}
