package inside

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// sendLastWords waits for last words that are still on their way.
func (l *Life) sendLastWords() {
	if l.link != nil {
		limit, stop := context.WithTimeout(context.Background(), timing.LastWords)
		defer stop()
		l.link.Flush(limit)
	}
	l.awaitMessages()
}

// awaitMessages waits for what the service manager or a logger has not heard yet.
func (l *Life) awaitMessages() {
	if err := l.manager.Load().Flush(); err != nil {
		l.complain("notify", err)
	}
	l.complaints.Wait()
}

// sayRunning reports the set-up. In the foreground the keeper's line comes before
// all that the worker has to say.
func (l *Life) sayRunning() {
	<-l.installed
	l.link.Send(launch.Message{Kind: launch.Running})
	if l.foreground && l.succession == nil {
		select {
		case <-l.released:
		case <-l.ctx.Done():
		}
	}
}

// line is what an ERROR line says of a fault.
func line(f *fault.Fault) string {
	if f.Capital {
		return console.Capitalize(fault.TextOf(f.Err))
	}
	return fault.TextOf(f.Err)
}

// report says why the daemon dies, to whoever can hear it.
func (l *Life) report(err *fault.Fault) {
	l.mu.Lock()
	listens := l.verdict.Undecided()
	l.mu.Unlock()
	if listens && !l.foreground || l.succession.pending() {
		l.link.Send(launch.Message{Kind: launch.Reason, Text: err.Reason, Hint: err.Hint})
		return
	}
	out := say(os.Stderr)
	out.Error(line(err))
	if err.Hint != "" {
		out.Hint(err.Hint)
	}
}

// listen hears the launcher, or the keeper, until it is gone.
func (l *Life) listen() {
	deaf, gated := l.link.Deaf, l.link.Gated
	open := func() {
		if gated {
			gated = false
			close(l.gate)
		}
	}
	defer open()
	listens := sync.OnceFunc(func() { close(l.listened) })
	defer listens()
	if !deaf {
		listens()
	}
	for {
		m, err := l.link.Receive()
		switch {
		case err != nil && l.watched && l.state().Left():
			return
		case err != nil && l.foreground:
			l.end(syscall.SIGTERM, l.host.Signalled(syscall.SIGTERM))
			return
		case err != nil:
			if !deaf || !l.cancelStart() {
				l.letGo()
			}
			l.link.Close() // nothing is left to say or to hear
			return
		case m.Kind == launch.Listening:
			deaf = false
			listens()
		case m.Kind == launch.Go:
			open()
		case m.Kind == launch.Cancel:
			l.cancelStart()
		case m.Kind == launch.Release:
			l.letGo()
			if !l.foreground {
				l.link.Close() // nothing is left to say or to hear
				return
			}
		}
	}
}

// cancelStart gives the start up, unless that is decided already.
func (l *Life) cancelStart() (cancelled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cancelled = l.verdict.Undecided()
	l.hear(phase.Cancels)
	return cancelled
}

// Ready says that the worker is ready. It lets go of the launcher's stderr before it speaks, so that nothing
// of the launcher's can break under a daemon that counts as started.
func (l *Life) Ready() error {
	l.mu.Lock()
	first := l.phase.Begun() && !l.verdict.SaidReady()
	l.mu.Unlock()
	if first {
		l.closeUnclaimed()
	}
	if err := l.becomeReady(); err != nil {
		return err
	}
	if first {
		l.sayStarted(true)
	}
	return nil
}

func (l *Life) becomeReady() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.verdict.SaidReady() {
		return nil
	}
	if cause := context.Cause(l.ctx); errors.Is(cause, fault.ErrStartCancelled) {
		return cause
	}
	if !l.phase.Begun() {
		return errors.New("daemonocle: ready: the daemon is not set up yet")
	}
	if l.phase.Ending() && l.succession.others() {
		return context.Cause(l.ctx) // the daemon does not end with this process
	}
	l.hear(phase.SaysReady)
	return nil
}

// letGo: the launcher has decided, or is gone.
func (l *Life) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hear(phase.Decides)
}

// dropStderr puts /dev/null in the place of the launcher's memory. l.mu is held.
func (l *Life) dropStderr() {
	if l.null == nil {
		return // the caller's streams, a file, or done
	}
	if err := launch.Redirect(int(l.null.Fd()), 2); err != nil {
		l.complainSoon("let go of stderr", err)
	}
	l.null.Close()
	l.null = nil
}
