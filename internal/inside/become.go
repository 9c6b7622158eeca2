package inside

import (
	"context"
	"errors"
	"time"

	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// What follows is for a worker that is another program: this process becomes that.

// ErrNotExecuted is in the error of a worker that could not become its program.
var ErrNotExecuted = errors.New("not executed")

// Kept reports whether a keeper watches over the process, in the foreground.
func (l *Life) Kept() bool { return l.link != nil && l.foreground }

// NotifyAddress is the NOTIFY_SOCKET on which the launcher listens to the program; empty
// without one.
func (l *Life) NotifyAddress() string {
	if l.link == nil {
		return ""
	}
	return l.link.Notify
}

// SayFailed tells a launcher, if there is one, why the process does not become the program.
func (l *Life) SayFailed(m launch.Message) {
	if l.link != nil && !l.foreground {
		l.link.Send(m)
	}
}

// GiveSignalsBack gives all signals their default effect. What came before is the error. keep
// is for a process that goes on: it undoes that in the kernel.
func (l *Life) GiveSignalsBack(ctx context.Context) (keep func(), err error) {
	if l.link != nil {
		// Until the launcher hears Ctrl-C, that ends it, and only this process can take that
		// end for what it means.
		select {
		case <-l.listened:
		case <-ctx.Done():
		case <-time.After(timing.LauncherListens):
		}
	}
	l.stopHandlers(true)
	keep = l.revert
	if keep == nil {
		keep = func() {}
	}
	return keep, context.Cause(ctx)
}
