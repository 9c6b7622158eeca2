package daemonocle

import (
	"context"
	"time"

	"github.com/daemonocle/daemonocle/internal/outside"
)

// ReloadOptions are for one reload.
type ReloadOptions struct {
	// Timeout is how long to wait for the outcome. 0: StartTimeout and StopTimeout
	// together, and a little more for the end of a process that has failed.
	Timeout time.Duration `name:"wait" zero:"1" help:"How long to wait for the outcome."`
	// Replace asks for a new process also where Hooks.Reload does without one.
	Replace bool `help:"Replace the process, even if it can read its configuration again."`
}

// Reloaded says what became of a reload.
type Reloaded struct {
	PID        int // of the daemon from now on
	Old        int // the one it had; the same if Hooks.Reload did it
	Generation int // 1 before the first reload
	Took       time.Duration
	// Skipped: see Started.
	Skipped bool
}

// RequestReload asks the running daemon to reload, as SIGHUP does, and waits for the
// outcome: Hooks.Reload is called there, or the daemon calls Reload. Root and the
// daemon's own user may ask. It may be called by any process but the daemon's own, and
// concurrently.
//
// The errors are *Error and wrap ErrNotRunning, ErrNoPIDFile, ErrReloadFailed if the
// daemon says that it has not worked (Reason and Stderr are the new process's; the old
// one goes on), ErrStopping if it was told to stop before it was done, ErrStillStarting if
// Timeout ran out, or ErrUnsupported where the daemon cannot be asked: as another program,
// or from another network namespace. At the end of Timeout, and of ctx, a reload that has begun
// goes on and may yet be done; one that has not is dropped.
func (d *Daemon) RequestReload(ctx context.Context, o ReloadOptions) (Reloaded, error) {
	r, err := d.requestReload(ctx, o, &outside.Watcher{})
	return r, public(err)
}

func (d *Daemon) requestReload(ctx context.Context, o ReloadOptions, w *outside.Watcher) (Reloaded, error) {
	if waitingForClaim() {
		return Reloaded{Skipped: true}, nil
	}
	r, err := outside.RequestReload(ctx, d.plan, outside.ReloadOptions(o), w)
	return Reloaded{PID: r.PID, Old: r.Old, Generation: r.Generation, Took: r.Took}, err
}
