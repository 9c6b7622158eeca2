package daemonocle

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
)

// Notify says in words what the daemon is doing: to the launcher, which shows the
// last words of a daemon that is not ready in time, and to a service manager
// (systemctl status). It may be called at any time from any goroutine of the worker
// or the privileged hook. An error means that ctx is neither's, or that the service
// manager cannot be reached; it is no reason to end.
func Notify(ctx context.Context, text string) error {
	l := inside.Of(ctx)
	if l == nil {
		return errors.New("daemonocle: notify: the context is not a worker's")
	}
	return l.Notify(text)
}

// Heartbeat says that the worker is well. From the first call on, the watchdog of a
// service manager (WatchdogSec= in systemd) hears of the daemon only through such
// calls, until the worker's context ends: call it wherever the work gets on, at least
// twice in the watchdog's time. Too often costs nothing: most calls send nothing.
// Without a watchdog it does nothing. For the error see Notify.
func Heartbeat(ctx context.Context) error {
	l := inside.Of(ctx)
	if l == nil {
		return errors.New("daemonocle: heartbeat: the context is not a worker's")
	}
	return l.Heartbeat()
}

// manager is the service manager that wants to hear of this process, nil if there is none.
func manager() (*sdnotify.Conn, time.Duration) {
	conn, watchdog, err := sdnotify.Manager(environ.TakeNotify)
	if err != nil {
		say(os.Stderr).Error(console.Capitalize(err.Error()))
	}
	return conn, watchdog
}
