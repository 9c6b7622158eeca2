package inside

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/control"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/timing"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// Reload replaces this process by a successor. The end of ctx gives that up, unless others
// wait for it as well.
func (l *Life) Reload(ctx context.Context) error {
	w := l.request(nil)
	defer context.AfterFunc(ctx, func() { l.cancelRequest(w) })()
	<-w.done
	return w.err
}

// Generation is 1 after a start, and one more after each reload.
func (l *Life) Generation() int {
	if l.succession != nil {
		return l.succession.generation
	}
	return 1
}

// request is for one reload, by all who wait for it.
type request struct {
	inside int // calls of Reload
	askers []*control.Asker
	stop   context.CancelFunc
	ctx    context.Context

	done chan struct{}
	err  error // after done
}

// requestQueue has the requests that are served one after the other: who asks while a reload is on its way
// may have changed what it has read already.
type requestQueue struct {
	mu      sync.Mutex
	next    *request
	serving chan struct{} // closed when nobody serves any more; nil: nobody does
	closed  bool
	late    []*control.Asker // who hear the end of this process
}

// request adds the asker, or a call from inside if that is nil, to the next reload.
func (l *Life) request(a *control.Asker) *request {
	l.requests.mu.Lock()
	defer l.requests.mu.Unlock()
	w := l.requests.next
	if w == nil {
		w = &request{done: make(chan struct{})}
		w.ctx, w.stop = context.WithCancel(l.ctx)
		l.requests.next = w
	}
	if a == nil {
		w.inside++
	} else {
		w.askers = append(w.askers, a)
	}
	switch {
	case l.requests.closed:
		l.requests.next = nil
		leaving, waits := l.leavesFor()
		switch {
		case waits && a != nil:
			// There is nobody else to ask until this process is gone, which closes this.
			l.requests.late = append(l.requests.late, a)
		case leaving:
			w.passOn(l)
			w.answer(nil)
		default:
			w.answer(l.overtaken(l.plan.Fail("reload", errEnding)))
		}
	case l.requests.serving == nil:
		l.requests.serving = make(chan struct{})
		go l.serveRequests()
	}
	return w
}

var (
	errEnding  = errors.New("the daemon is on its way out")
	errGivenUp = errors.New("the reload was given up")
)

// overtaken marks the error of a reload that a stop has overtaken.
func (l *Life) overtaken(e *fault.Fault) *fault.Fault {
	if _, is := l.host.BySignal(context.Cause(l.ctx)); is {
		e.Err = fault.Say(e.Err.Error(), e.Err, fault.ErrStopping)
	}
	return e
}

// cancelRequest is for a call from inside that does not wait any more.
func (l *Life) cancelRequest(w *request) {
	l.requests.mu.Lock()
	defer l.requests.mu.Unlock()
	if l.state().Left() {
		return // it is the reload that has ended the context
	}
	if w.inside--; w.inside <= 0 && len(w.askers) == 0 {
		w.stop()
	}
}

// unwanted reports whether nobody waits for it any more. Who asks from outside and goes has said that it
// is not done: what has not begun by then must not begin.
func (w *request) unwanted() bool {
	return w.inside <= 0 && !slices.ContainsFunc(w.askers, func(a *control.Asker) bool { return !a.Gone() })
}

// passOn is for a request that came while a reload was on its way, which has gone well: the
// successor serves it. Askers ask that themselves.
func (w *request) passOn(l *Life) {
	if w.inside > 0 {
		l.passOn(signals.HangUp)
	}
}

// answer tells those who wait how it went.
func (w *request) answer(err error) {
	w.stop()
	e, known := errors.AsType[*fault.Fault](err)
	for _, a := range w.askers {
		switch {
		case err == nil:
			a.Close() // the successor has answered, or they have to ask that
		case known:
			a.Answer(control.Answer{Err: e.Err.Error(), Capital: e.Capital, PID: e.PID, Reason: e.Reason, Hint: e.Hint, Stderr: e.Stderr, Stopping: errors.Is(e, fault.ErrStopping)})
		default:
			a.Answer(control.Answer{Err: err.Error()})
		}
	}
	w.err = err
	close(w.done)
}

func (l *Life) serveRequests() {
	over := false
	for {
		l.requests.mu.Lock()
		w := l.requests.next
		l.requests.next = nil
		if w == nil {
			close(l.requests.serving)
			l.requests.serving = nil
			l.requests.closed = l.requests.closed || over
			l.requests.mu.Unlock()
			return
		}
		if w.unwanted() {
			w.stop()
		}
		l.requests.mu.Unlock()
		if over {
			w.passOn(l)
			w.answer(nil)
			continue
		}
		err := l.replace(w)
		over = err == nil
		w.answer(err)
	}
}

// leavesFor reports whether another process takes this one's place, and whether that
// waits for the end of this one.
func (l *Life) leavesFor() (leaving, waits bool) {
	switch l.state() {
	case phase.Parting, phase.Parted:
		return true, true
	case phase.Recalled:
		return false, true
	case phase.Finishing:
		return true, false
	}
	return false, false
}

// closeRequests returns when no reload is on its way and none can begin.
func (l *Life) closeRequests() {
	l.requests.mu.Lock()
	l.requests.closed = true
	serving := l.requests.serving
	l.requests.mu.Unlock()
	if serving != nil {
		<-serving
	}
}

// hangUp is what SIGHUP means: the program's own way to read its configuration again,
// or a reload. What is said while one is on its way means another one.
func (l *Life) hangUp() {
	if !l.opened.Load() {
		l.owed.Store(true)
		if !l.opened.Load() || !l.owed.Swap(false) {
			return
		}
	}
	if l.state().Left() {
		l.passOn(signals.HangUp)
		return
	}
	if !l.hanging.CompareAndSwap(idle, busy) {
		l.hanging.Store(again)
		return
	}
	go func() {
		for {
			err := l.reread(nil)
			if err != nil && !errors.Is(err, errEnding) {
				l.complain("reload", l.host.InWords(err))
			}
			if l.hanging.CompareAndSwap(busy, idle) {
				return
			}
			if err == nil && l.code.Reload == nil {
				l.passOn(signals.HangUp)
				return
			}
			l.hanging.Store(busy)
		}
	}()
}

// passOn is for a successor: it may have read its configuration before, or have opened
// its log files.
func (l *Life) passOn(sig syscall.Signal) {
	if h := l.lastSuccessor.Load().Handle(); h != nil && sig != l.plan.OwnStopSignal {
		h.Signal(sig)
	}
}

// heard counts what a successor has to hear as well that comes up meanwhile.
type heard struct{ rereads, reopenings atomic.Int32 }

// passOnSince is for a successor that is there: what has come since then came too early
// to be passed on at once.
func (l *Life) passOnSince(rereads, reopenings int32) {
	if l.heard.rereads.Load() != rereads {
		l.passOn(signals.HangUp)
	}
	if l.heard.reopenings.Load() != reopenings {
		l.passOn(signals.Reopen)
	}
}

// States of life.hanging.
const (
	idle = iota
	busy
	again
)

// reread does what hangUp means, once, unless the asker, if there is one, has gone before.
func (l *Life) reread(a *control.Asker) error {
	hook := l.code.Reload
	if hook == nil {
		w := l.request(nil)
		<-w.done
		return w.err
	}
	l.rereading.Lock()
	defer l.rereading.Unlock()
	if a.Gone() {
		return errGivenUp
	}
	l.heard.rereads.Add(1)
	if l.state().Left() {
		l.passOn(signals.HangUp)
		return nil
	}
	l.tell(sdnotify.Reloading())
	err := usercode.Call("reload hook", func() error { return hook(l.ctx) })
	switch {
	case l.state().Ending():
	case err != nil:
		l.tell(sdnotify.Ready, sdnotify.Status("reload failed: "+err.Error()))
	default:
		l.status.say(l, sdnotify.Ready)
	}
	return err
}

// open lets the daemon be told to reload, as soon as it is the daemon and at work.
func (l *Life) open() {
	if !l.state().Begun() || l.succession.pending() || l.opened.Swap(true) {
		return
	}
	l.listenForAskers()
	if l.owed.Swap(false) {
		l.hangUp()
	}
}

// listenForAskers lets others ask from outside, for as long as this is the daemon.
func (l *Life) listenForAskers() {
	if l.inode == "" {
		return
	}
	if ctx := l.control.begin(); ctx != nil {
		go l.serveControl(ctx)
	}
}

// serveControl answers those who ask from outside. Another process may have the name: for a moment
// a predecessor that was killed, or for as long as it likes whoever took it. Signals work nevertheless.
func (l *Life) serveControl(ctx context.Context) {
	pause := 5 * time.Millisecond
	s, err := l.control.open(ctx, l.inode)
	for err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if pause < timing.NameTaken {
			if pause = min(2*pause, timing.NameTaken); pause == timing.NameTaken {
				l.complain("listen to who asks for a reload", fmt.Errorf("%w; SIGHUP works nevertheless", err))
			}
		}
		s, err = l.control.open(ctx, l.inode)
	}
	s.Serve(func(a *control.Asker, r control.Request) {
		if l.code.Reload == nil || r.Replace || l.state().Left() {
			l.request(a)
			return
		}
		answer := control.Answer{PID: os.Getpid(), Generation: l.Generation()}
		if err := l.reread(a); err != nil {
			answer.Err, answer.Capital = err.Error(), l.host.Ours(err)
		}
		a.Answer(answer)
	})
}

// controlListener is the control socket of a life.
type controlListener struct {
	mu     sync.Mutex
	server *control.Server
	stop   context.CancelFunc // of who tries to listen, or does; nil: nobody
	over   bool
}

// begin gives who listens a context, which ends with close; nil: somebody does already, or nobody shall.
func (e *controlListener) begin() (ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over || e.stop != nil {
		return nil
	}
	ctx, e.stop = context.WithCancel(context.Background())
	return ctx
}

func (e *controlListener) open(ctx context.Context, id string) (s *control.Server, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err = ctx.Err(); err == nil {
		s, err = control.Listen(id)
		e.server = s
	}
	return s, err
}

// close ends the listening, for good if it is over.
func (e *controlListener) close(over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server.Close()
	if e.stop != nil {
		e.stop()
	}
	e.server, e.stop, e.over = nil, nil, over
}
