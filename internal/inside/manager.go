package inside

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// Notify says in words what the daemon is doing.
func (l *Life) Notify(text string) error {
	if l.link != nil {
		l.link.Send(launch.Message{Kind: launch.Note, Text: text})
	}
	return l.status.set(l, text)
}

// Heartbeat says that the worker is well.
func (l *Life) Heartbeat() error { return l.watchdog.beat(l) }

// status is what the worker has last said in words.
type status struct {
	mu   sync.Mutex
	text string
}

func (s *status) set(l *Life, text string) error {
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
func (s *status) say(l *Life, states ...string) {
	s.mu.Lock()
	err := l.inform(append(states, sdnotify.Status(s.text))...)
	s.mu.Unlock()
	if err != nil {
		l.complainSoon("notify", err)
	}
}

// keptWatchdog is the time within which a service manager wants to hear of a daemon that
// a keeper has launched.
var keptWatchdog time.Duration

// speaks reports whether this process says how the service is.
func (l *Life) speaks() bool {
	return l.manager.Load() != nil || l.watched && !l.succession.pending()
}

// inform tells the service manager, or the keeper, which passes it on.
func (l *Life) inform(fields ...string) error {
	if l.watched && l.speaks() {
		l.link.Send(launch.Message{Kind: launch.Told, Text: strings.Join(fields, "\n")})
		return nil
	}
	return l.manager.Load().Send(fields...)
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

func (w *watchdog) beat(l *Life) error {
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
func (l *Life) meetManager() {
	if !environ.ServiceManager() {
		return
	}
	m, limit := l.host.Manager()
	l.manager.Store(m)
	l.watchdog.limit = limit
}

func (w *watchdog) begin() {
	if w.limit > 0 {
		w.ticker = time.NewTicker(w.limit / 2)
	}
}

// tell tells the service manager, if there is one.
func (l *Life) tell(fields ...string) {
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
func (l *Life) feed() {
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
func (l *Life) countAlive() (stop func()) {
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
