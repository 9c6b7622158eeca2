package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// Notify says in words what the daemon is doing: to the launcher, which shows the
// last words of a daemon that is not ready in time, and to a service manager
// (systemctl status). It may be called at any time from any goroutine of the worker
// or the privileged hook. An error means that ctx is neither's, or that the service
// manager cannot be reached; it is no reason to end.
func Notify(ctx context.Context, text string) error {
	l := lifeOf(ctx)
	if l == nil {
		return errors.New("daemonocle: notify: the context is not a worker's")
	}
	if l.link != nil {
		l.link.Send(launch.Message{Kind: launch.Note, Text: text})
	}
	return l.status.set(l, text)
}

// status is what the worker has last said in words.
type status struct {
	mu   sync.Mutex
	text string
}

func (s *status) set(l *life, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
	if l.watched {
		return nil // it has heard it
	}
	return l.inform(sdnotify.Status(text))
}

// say tells the service manager the state, and the words again: those that it has are
// a failed reload's, or a predecessor's.
func (s *status) say(l *life, states ...string) {
	s.mu.Lock()
	err := l.inform(append(states, sdnotify.Status(s.text))...)
	s.mu.Unlock()
	if err != nil {
		l.complainSoon("notify", err)
	}
}

// Heartbeat says that the worker is well. From the first call on, the watchdog of a
// service manager (WatchdogSec= in systemd) hears of the daemon only through such
// calls, until the worker's context ends: call it wherever the work gets on, at least
// twice in the watchdog's time. Too often costs nothing: most calls send nothing.
// Without a watchdog it does nothing. For the error see Notify.
func Heartbeat(ctx context.Context) error {
	l := lifeOf(ctx)
	if l == nil {
		return errors.New("daemonocle: heartbeat: the context is not a worker's")
	}
	return l.watchdog.beat(l)
}

// keptWatchdog is the time within which a service manager wants to hear of a daemon that
// a keeper has launched.
var keptWatchdog time.Duration

// speaks reports whether this process says how the service is.
func (l *life) speaks() bool {
	return l.manager.Load() != nil || l.watched && !l.succession.pending()
}

// inform tells the service manager, or the keeper, which passes it on.
func (l *life) inform(fields ...string) error {
	if l.watched && l.speaks() {
		l.link.Send(launch.Message{Kind: launch.Told, Text: strings.Join(fields, "\n")})
		return nil
	}
	return l.manager.Load().Send(fields...)
}

// managed is what NOTIFY_SOCKET has named.
var managed struct {
	once     sync.Once
	conn     *sdnotify.Conn
	watchdog time.Duration
}

// manager is the service manager that wants to hear of this process, nil if there is
// none. It is asked for once in a process: later lives
// use the same connection, whose socket may be out of reach by then.
func manager() (*sdnotify.Conn, time.Duration) {
	managed.once.Do(func() { managed.conn, managed.watchdog = dialManager() })
	return managed.conn, managed.watchdog
}

func dialManager() (*sdnotify.Conn, time.Duration) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil, 0
	}
	socket, watchdog := environ.TakeNotify()
	conn, err := sdnotify.Dial(socket)
	if err != nil {
		say(os.Stderr).Error(console.Capitalize(err.Error()))
		return nil, 0
	}
	return conn, watchdog
}

// watchdog wants to hear of the daemon within limit, again and again.
type watchdog struct {
	limit   time.Duration // 0: it does not
	ticker  *time.Ticker
	beating atomic.Bool // the worker does it itself
	early   atomic.Bool // it has, before this process was the one to be watched
	asking  atomic.Bool // the health function is at work
	ill     atomic.Bool // it had an error

	mu   sync.Mutex
	last time.Time // heartbeat that was sent
}

// ticks is nil, so never ready, where nobody watches: an idle daemon has no timer.
func (w *watchdog) ticks() <-chan time.Time {
	if w.ticker == nil {
		return nil
	}
	return w.ticker.C
}

func (w *watchdog) beat(l *life) error {
	if w.limit == 0 {
		return nil
	}
	w.beating.Store(true)
	if !l.speaks() {
		w.early.Store(true)
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); now.Sub(w.last) >= w.limit/8 {
		w.last = now
		return l.inform(sdnotify.Watchdog)
	}
	return nil
}

// meetManager is for a life that nobody has launched.
func (l *life) meetManager() {
	if !environ.ServiceManager() {
		return
	}
	m, limit := manager()
	l.manager.Store(m)
	l.watchdog.limit = limit
}

func (w *watchdog) begin() {
	if w.limit > 0 {
		w.ticker = time.NewTicker(w.limit / 2)
	}
}

// tell tells the service manager, if there is one.
func (l *life) tell(fields ...string) {
	if err := l.inform(fields...); err != nil {
		l.complainSoon("notify", err)
	}
	if slices.Contains(fields, sdnotify.Ready) {
		if err := l.notifyFD.Ready(); err != nil {
			l.complainSoon("notify", err)
		}
	}
}

// feed is called by the loop that hears signals, twice in the watchdog's time, and when
// this process becomes the one that is watched. The
// health function has a goroutine of its own: should it hang, the daemon must still
// hear SIGTERM, and the watchdog must hear nothing.
func (l *life) feed() {
	state := l.state()
	working := state.Begun() && !state.Ending()
	health := l.code.Health
	switch {
	case working && l.watchdog.beating.Load() && !l.watchdog.early.Swap(false):
	case l.watchdog.beating.Load() || !working || health == nil:
		l.tell(sdnotify.Watchdog)
	case l.watchdog.asking.CompareAndSwap(false, true):
		go func() {
			defer l.watchdog.asking.Store(false)
			ctx, stop := context.WithTimeout(l.ctx, l.watchdog.limit/2)
			defer stop()
			err := usercode.Call("health function", func() error { return health(ctx) })
			if err == nil {
				l.tell(sdnotify.Watchdog)
			}
			if was := l.watchdog.ill.Swap(err != nil); err != nil && !was && l.ctx.Err() == nil {
				l.complain("check health", fmt.Errorf("%w; the service manager's watchdog is not told that all is well", err))
			}
		}()
	}
}

// countAlive makes a worker that never calls Ready count as started when it has
// lived through the window, as a launcher would.
func (l *life) countAlive() (stop func()) {
	l.mu.Lock()
	wanted := l.started != nil || l.notifyFD != nil || l.manager.Load() != nil
	l.mu.Unlock()
	if !wanted || l.plan.RequireReady {
		return func() {}
	}
	t := time.AfterFunc(l.plan.StartWindow, func() {
		l.mu.Lock()
		alive := !l.phase.Ending() && l.hear(phase.Endures)&phase.Announce != 0
		l.mu.Unlock()
		if alive {
			l.sayStarted(true)
		}
	})
	return func() { t.Stop() }
}

type notifyFDKey struct{}

// withNotifyFD takes the descriptor that the options name. Nothing that is started
// inherits it.
func withNotifyFD(ctx context.Context, n int) (context.Context, error) {
	fd, err := sdnotify.TakeDescriptor(n)
	if err != nil || fd == nil {
		return ctx, err
	}
	return context.WithValue(ctx, notifyFDKey{}, fd), nil
}

// notifyFDOf is nil if there is none.
func notifyFDOf(ctx context.Context) *sdnotify.Descriptor {
	fd, _ := ctx.Value(notifyFDKey{}).(*sdnotify.Descriptor)
	return fd
}
