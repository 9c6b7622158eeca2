package inside

import (
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/signals"
)

// end is for everybody who asks for the end.
func (l *Life) end(sig syscall.Signal, cause error) {
	l.mu.Lock()
	do := l.step(phase.End, demand{sig, cause})
	l.mu.Unlock()
	if do&phase.CutShort == 0 {
		return
	}
	if sig == syscall.SIGQUIT {
		dumpGoroutines()
	}
	if sig != 0 && sig != syscall.SIGTERM {
		select {
		case l.abrupt <- sig:
		default:
		}
	}
}

// handlers are channels with handlers behind them. Where there is no room a signal is
// lost: those of which two mean no more than one have a place of their own.
type handlers struct{ ends, hangUps, reopenings chan os.Signal }

func newHandlers() handlers {
	return handlers{make(chan os.Signal, 16), make(chan os.Signal, 1), make(chan os.Signal, 1)}
}

func (h handlers) install(sig os.Signal) {
	c := h.ends
	if sig == signals.HangUp {
		c = h.hangUps
	} else if sig == signals.Reopen {
		c = h.reopenings
	}
	signal.Notify(c, sig)
}

// remove gives what came before.
func (h handlers) remove() (pending []syscall.Signal) {
	for _, c := range []chan os.Signal{h.ends, h.hangUps, h.reopenings} {
		signal.Stop(c) // which waits for those that are on their way
		close(c)
		for s := range c {
			pending = append(pending, s.(syscall.Signal))
		}
	}
	return pending
}

// handleSignals turns signals into the end of the context. Nothing in it waits for anybody.
func (l *Life) handleSignals() {
	h := newHandlers()
	if l.succession != nil {
		h = l.succession.handlers
	}
	// First those that would kill a daemon for which they mean something else: whoever finds
	// its PID file may send them. Each takes some 50 microseconds.
	if l.plan.Worker != plan.Program {
		h.install(signals.Reopen)
	}
	if l.code.Reload != nil || l.plan.Worker != plan.Program && (l.plan.PID != nil && l.link != nil || l.manager.Load() != nil) {
		h.install(signals.HangUp)
	}
	// Go's runtime would catch it and do nothing.
	stop := l.plan.OwnStopSignal
	if stop != 0 && stop != syscall.SIGKILL {
		h.install(stop)
	}
	close(l.safe)
	for _, sig := range signals.End {
		h.install(sig)
	}
	defer close(l.stopped)
	if l.link != nil && l.plan.Worker != plan.Program {
		// Go's answer to a broken pipe on 1 or 2 is death: of a daemon, because of
		// whoever read its output. With this it is the error of a write.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
	close(l.installed)
	for {
		select {
		case <-l.stop:
			if l.becomes {
				// Before they are not heard any more: what comes between is the kernel's.
				l.revert = launch.DefaultSignals(append(slices.Clone(signals.End), signals.HangUp, stop))
			}
			for _, sig := range h.remove() {
				l.signalled(sig)
			}
			return
		case <-l.watchdog.ticks():
			l.feed()
		case s := <-h.ends:
			l.signalled(s.(syscall.Signal))
		case s := <-h.hangUps:
			l.signalled(s.(syscall.Signal))
		case s := <-h.reopenings:
			l.signalled(s.(syscall.Signal))
		}
	}
}

func (l *Life) signalled(sig syscall.Signal) {
	if sig == signals.Reopen && sig != l.plan.OwnStopSignal {
		l.reopening.soon(func() {
			if err := l.ReopenLogs(); err != nil {
				l.complain("open the log files again", err)
			}
		})
		return
	}
	if sig == signals.HangUp && sig != l.plan.OwnStopSignal {
		l.hangUp()
		return
	}
	l.end(sig, l.host.Signalled(sig))
}

// stopHandlers gives the signals back to Go's runtime, where each has the effect of its
// default disposition; to the kernel, if this process becomes another program, for a
// signal that Go's runtime has taken and not yet acted upon is lost with the runtime. What
// came before has ended the context when it returns.
func (l *Life) stopHandlers(becomes bool) {
	<-l.installed
	l.stopHandlersSoon(becomes)
	<-l.stopped
}

// lastSignals hears what has been sent to a process in whose place another one is, and could
// not be heard yet: it is passed on. What comes later is for a process that is no more.
func (l *Life) lastSignals() {
	if l.state().Left() {
		signals.Take()
		l.stopHandlers(false)
	}
}

// stopHandlersSoon lets stopHandlers begin.
func (l *Life) stopHandlersSoon(becomes bool) {
	l.stopOnce.Do(func() {
		l.becomes = becomes
		close(l.stop)
	})
}

// repeated is something that is done once more if it was asked for meanwhile.
type repeated struct{ asked atomic.Int32 }

// soon does it in a goroutine.
func (r *repeated) soon(do func()) {
	if r.asked.Add(1) > 1 {
		return
	}
	go func() {
		for {
			n := r.asked.Load()
			do()
			if r.asked.CompareAndSwap(n, 0) {
				return
			}
		}
	}()
}

// dumpGoroutines writes all stacks to stderr, like the Go runtime does on
// SIGQUIT.
func dumpGoroutines() {
	b := make([]byte, 1<<20)
	for {
		n := runtime.Stack(b, true)
		if n < len(b) || len(b) >= 64<<20 {
			os.Stderr.Write(b[:n])
			return
		}
		b = make([]byte, 2*len(b))
	}
}
