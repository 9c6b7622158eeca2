package daemonocle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/sockets"
	"github.com/daemonocle/daemonocle/internal/timing"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// life is the daemon's own life, in the process that runs the worker.
type life struct {
	plan *plan.Plan
	host host
	code ownCode
	op   string // start, run or reload: what its errors are about
	args []string
	link *launch.Child // to the launcher or keeper; nil if nobody launched us

	foreground bool // not detached: the streams are the caller's

	started func(ok bool) // see runHere; nil once it was said

	watched bool // by a keeper, at the other end of link; it speaks to the service manager

	notifyFD *sdnotify.Descriptor // of a life that nobody has launched; nil: there is none

	sockets  *sockets.Set
	manager  atomic.Pointer[sdnotify.Conn] // nil if no service manager listens to this process
	watchdog watchdog
	status   status

	succession    *succession // nil in a daemon that was started
	requests      requestQueue
	control       controlListener
	inode         string // of the PID file
	opened        atomic.Bool
	owed          atomic.Bool // a SIGHUP that came before
	unopened      atomic.Bool // log files that were to be opened again before they were open
	reopening     repeated
	hanging       atomic.Int32
	rereading     sync.Mutex
	heard         heard
	lastSuccessor atomic.Pointer[launch.Launch] // the last one

	held *pidfile.Held
	undo paths.Undo // what a cancelled start takes back; l.mu once it is complete
	null *os.File   // for stderr, once the launcher need not see it

	ctx       context.Context
	cancel    context.CancelCauseFunc
	abrupt    chan syscall.Signal // cuts the goodbye short
	safe      chan struct{}       // closed when only a signal that asks for the end is the end
	installed chan struct{}       // closed when all handlers are installed
	stop      chan struct{}       // closed when they need not any more
	stopped   chan struct{}       // closed when that has had its effect
	stopOnce  sync.Once           // closes stop
	becomes   bool                // another program: before stop is closed
	revert    func()              // the signals' dispositions, if it does not come to that

	released chan struct{} // closed with the verdict
	gate     chan struct{} // closed when the daemon that was in the way is gone
	listened chan struct{} // closed when the launcher hears Ctrl-C, or is gone

	complaints sync.WaitGroup // that are on their way
	logs       sync.Mutex     // held by who opens the log files

	mu        sync.Mutex // never held while anything waits
	phase     phase.Life
	verdict   phase.Verdict
	signal    syscall.Signal // that ended the context
	successor *successor     // the one that waits for the end of this process
	recall    func()         // ends the waiting for another one; nil: there is none
	kept      []demand       // while it is not clear whose they are
}

// demand is that the daemon should end.
type demand struct {
	sig   syscall.Signal // 0: it was not by a signal
	cause error
}

// fail is an error in our own words, which begin it.
func (l *life) fail(err error) *fault.Fault { return l.plan.Fail(l.op, err) }

// cannot is for a system call that was refused.
func (l *life) cannot(act, thing string, err error, hint string) *fault.Fault {
	return l.plan.Cannot(l.op, act, thing, err, hint)
}

// relay is an error of the program's own code.
func (l *life) relay(err error) *fault.Fault {
	f := l.plan.Relay(l.op, err)
	f.Capital = l.host.Ours(err)
	return f
}

// state is how far this process is.
func (l *life) state() phase.Life {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.phase
}

// step takes the step that the event leads to, and does what follows from it, but for what
// can wait: that is for the caller, after the release of l.mu, which is held here. The end of
// the context is due to by.
func (l *life) step(e phase.Event, by demand) phase.Do {
	s, ok := l.phase.Next(e)
	if !ok {
		l.complainSoon("take the next step", fmt.Errorf("event %d cannot happen in state %d", e, l.phase))
		return 0
	}
	phase.Taken(l, l.phase, e, s)
	l.phase = s.To
	if s.Do&phase.Note != 0 {
		l.signal = by.sig
	}
	if s.Do&phase.TellStopping != 0 {
		l.tell(sdnotify.Stopping)
	}
	if s.Do&phase.SayReady != 0 && !l.foreground && l.verdict.Undecided() {
		l.hear(phase.SaysReady)
	}
	if s.Do&phase.EndContext != 0 {
		l.cancel(by.cause)
	}
	if s.Do&phase.CancelSuccessor != 0 {
		l.successor.a.Launch.Send(launch.Cancel)
		if l.recall != nil {
			l.recall()
		}
	}
	if s.Do&phase.PassOn != 0 {
		l.successor.passEnd()
	}
	if s.Do&phase.Remember != 0 {
		l.kept = append(l.kept, by)
	}
	return s.Do
}

// hear does what follows from the news, and gives it. l.mu is held.
func (l *life) hear(n phase.News) phase.Answer {
	t, ok := l.verdict.Next(n)
	if !ok {
		l.complainSoon("hear news", fmt.Errorf("news %d cannot come in state %d", n, l.verdict))
		return 0
	}
	phase.Taken(l, l.verdict, n, t)
	l.verdict = t.To
	if t.Do&phase.KeepFiles != 0 {
		l.undo.Keep()
	}
	if t.Do&phase.DropStderr != 0 {
		l.dropStderr()
	}
	if t.Do&phase.Announce != 0 && !l.phase.Ending() {
		l.tell(sdnotify.Ready)
	}
	if t.Do&phase.TellReady != 0 && l.link != nil {
		l.link.Send(launch.Message{Kind: launch.Ready})
	}
	if t.Do&phase.Release != 0 {
		close(l.released)
	}
	if t.Do&phase.CancelStart != 0 {
		l.step(phase.End, demand{cause: ErrStartCancelled})
	}
	return t.Do
}

// Ready tells whoever started the daemon that it is ready: the launcher, which
// then reports it, or a service manager. It may be called from any goroutine of the worker, and more
// than once. An error means that there is nobody to be ready for: ctx is not a
// worker's, or the start was cancelled before.
func Ready(ctx context.Context) error {
	l := lifeOf(ctx)
	if l == nil {
		return errors.New("daemonocle: ready: the context is not a worker's")
	}
	return l.sayReady()
}

func lifeOf(ctx context.Context) *life {
	l, _ := ctx.Value(contextKey{}).(*life)
	return l
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
	return public(d.runHere(withSockets(ctx, d.plan.Member), ctx, "run", nil, nil))
}

// runHere is a life without a launcher. The worker's context has the values of
// ctx and ends with until. started is called once, when the daemon counts as started or has
// failed before, and not at all if it ends well before; nil: nobody wants to know.
func (d *Daemon) runHere(ctx, until context.Context, op string, args []string, started func(ok bool)) error {
	if d.code.Worker == nil {
		return d.plan.NoWorker(op)
	}
	l := newLife(ctx, d.plan, programHost{d}, op, nil, true, args)
	if l == nil {
		return d.plan.Fail(op, fault.Say("the daemon runs in this process already", ErrAlreadyRunning, ErrInside))
	}
	l.started = started
	stop := context.AfterFunc(until, func() { l.end(0, context.Cause(until)) })
	defer stop()
	if environ.PID1() {
		defer proc.ReapOrphans(func() { proc.ReapStrays() })()
	}
	if err := l.setUp(); err != nil {
		l.takeBack()
		l.release()
		if f, is := errors.AsType[*fault.Fault](err); is {
			l.tell(sdnotify.Status(f.Err.Error()))
		}
		l.awaitMessages()
		l.sayStarted(false)
		return err
	}
	l.completed()
	stopCounting := l.countAlive()
	err := l.work()
	stopCounting()
	l.release()
	if err != nil {
		l.tell(sdnotify.Status(err.Err.Error()))
		l.awaitMessages()
		l.sayStarted(false)
		return err
	}
	l.awaitMessages()
	return nil
}

// sayStarted says once whether the daemon has started.
func (l *life) sayStarted(ok bool) {
	l.mu.Lock()
	say := l.started
	l.started = nil
	l.mu.Unlock()
	if say != nil {
		say(ok)
	}
}

// claim turns a launched process into its daemon, and never returns from that.
// In a launched process that is another daemon's, it reports that there is
// nothing to do. In all other processes it is false.
func (d *Daemon) claim(ctx context.Context, args []string) (done bool, err error) {
	c := launch.Self()
	if c == nil || c.Claimed() {
		return false, nil
	}
	if c.Key != d.plan.Key || !c.Claim() {
		return true, nil
	}
	c.Send(launch.Message{Kind: launch.Claimed, PID: os.Getpid()})
	keptWatchdog = environ.Watchdog()
	environ.Unsupervise() // it was the launcher that a service manager may have started
	ctx = withSockets(ctx, d.plan.Member)
	for _, f := range c.Files() {
		socketsOf(ctx).Hand(f)
	}
	l := newLife(ctx, d.plan, programHost{d}, "start", c, c.Foreground, args)
	if l.succession != nil {
		go l.listenToPredecessor()
	} else {
		go l.listen()
	}
	os.Exit(l.live())
	return true, nil
}

// newLife gives nil if the daemon lives in this process already.
func newLife(ctx context.Context, p *plan.Plan, h host, op string, link *launch.Child, foreground bool, args []string) *life {
	l := &life{phase: phase.ComingUp, verdict: phase.Early, plan: p, host: h, code: h.Code(), op: op, link: link, foreground: foreground, args: args, sockets: socketsOf(ctx), abrupt: make(chan syscall.Signal, 1), released: make(chan struct{}),
		gate: make(chan struct{}), listened: make(chan struct{}), safe: make(chan struct{}), installed: make(chan struct{}), stop: make(chan struct{}), stopped: make(chan struct{})}
	if link != nil && inherited != nil {
		l.op, l.succession, l.watchdog.limit = "reload", inherited, inherited.watchdog
	}
	l.watched = link != nil && foreground && (l.succession == nil || l.succession.keeper >= 0)
	if l.watched {
		l.watchdog.limit = keptWatchdog // the keeper passes it on
	}
	l.ctx, l.cancel = context.WithCancelCause(context.WithValue(context.WithoutCancel(ctx), contextKey{}, l))
	if !h.Life().CompareAndSwap(nil, l) {
		return nil
	}
	if link == nil {
		l.notifyFD = notifyFDOf(ctx)
	}
	if link == nil && !h.Foreign() { // another program speaks for itself
		l.meetManager()
	}
	l.watchdog.begin()
	go l.handleSignals() // installing the handlers takes as long as the set-up meanwhile
	return l
}

// live is a launched daemon's life, from the claim to the exit code.
func (l *life) live() int {
	if err := l.setUp(); err != nil {
		l.takeBack()
		l.link.Send(plan.FailureMessage(err))
		l.sendLastWords()
		return 1
	}
	l.completed()
	if l.host.Foreign() {
		l.stopHandlersSoon(true) // takes a while
	}
	s := l.succession
	if s != nil && !s.readyFirst {
		l.happens(phase.Waits) // before the predecessor hears that it can leave
	}
	l.sayRunning()
	switch {
	case s == nil:
	case s.readyFirst:
		l.happens(phase.Works)
	case !l.awaitTurn():
		l.undo.Back()
		return 1
	}
	err := l.work()
	if errors.Is(context.Cause(l.ctx), ErrStartCancelled) || err != nil && errors.Is(err, errNotExecuted) {
		l.mu.Lock()
		l.undo.Back()
		l.mu.Unlock()
	}
	if err == nil {
		l.awaitMessages()
		return 0
	}
	l.tell(sdnotify.Status(err.Err.Error()))
	l.report(err)
	l.sendLastWords()
	return fault.ExitStatus(cmp.Or(err.Code, 1))
}

// sendLastWords waits for last words that are still on their way.
func (l *life) sendLastWords() {
	if l.link != nil {
		limit, stop := context.WithTimeout(context.Background(), timing.LastWords)
		defer stop()
		l.link.Flush(limit)
	}
	l.awaitMessages()
}

// awaitMessages waits for what the service manager or a logger has not heard yet.
func (l *life) awaitMessages() {
	if err := l.manager.Load().Flush(); err != nil {
		l.complain("notify", err)
	}
	l.complaints.Wait()
}

// completed: nothing of the set-up can fail any more. In the foreground nobody takes it
// back after that.
func (l *life) completed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hear(phase.SetUp)
	if l.foreground {
		l.undo.Keep()
	}
}

// sayRunning reports the set-up. In the foreground the keeper's line comes before
// all that the worker has to say.
func (l *life) sayRunning() {
	<-l.installed
	l.link.Send(launch.Message{Kind: launch.Running})
	if l.foreground && l.succession == nil {
		select {
		case <-l.released:
		case <-l.ctx.Done():
		}
	}
}

// report says why the daemon dies, to whoever can hear it.
func (l *life) report(err *fault.Fault) {
	l.mu.Lock()
	listens := l.verdict.Undecided()
	l.mu.Unlock()
	if listens && !l.foreground || l.succession.pending() {
		l.link.Send(launch.Message{Kind: launch.Reason, Text: err.Reason, Hint: err.Hint})
		return
	}
	out := say(os.Stderr)
	out.Error(inLine(err))
	if err.Hint != "" {
		out.Hint(err.Hint)
	}
}

// listen hears the launcher, or the keeper, until it is gone.
func (l *life) listen() {
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
func (l *life) cancelStart() (cancelled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cancelled = l.verdict.Undecided()
	l.hear(phase.Cancels)
	return cancelled
}

// sayReady lets go of the launcher's stderr before it speaks, so that nothing
// of the launcher's can break under a daemon that counts as started.
func (l *life) sayReady() error {
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

func (l *life) becomeReady() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.verdict.SaidReady() {
		return nil
	}
	if cause := context.Cause(l.ctx); errors.Is(cause, ErrStartCancelled) {
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
func (l *life) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hear(phase.Decides)
}

// dropStderr puts /dev/null in the place of the launcher's memory. l.mu is held.
func (l *life) dropStderr() {
	if l.null == nil {
		return // the caller's streams, a file, or done
	}
	if err := launch.Redirect(int(l.null.Fd()), 2); err != nil {
		l.complainSoon("let go of stderr", err)
	}
	l.null.Close()
	l.null = nil
}

// end is for everybody who asks for the end.
func (l *life) end(sig syscall.Signal, cause error) {
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

// work runs the worker and says goodbye. The process is set up.
func (l *life) work() *fault.Fault {
	<-l.installed
	if l.held != nil && !l.host.Foreign() {
		l.inode = l.held.Inode()
	}
	l.mu.Lock()
	l.step(phase.Begin, demand{})
	l.mu.Unlock()
	if l.unopened.Swap(false) {
		l.signalled(signals.Reopen)
	}
	l.open()
	ended := make(chan outcome, 1)
	go l.callWorker(ended)

	var o outcome
	select {
	case o = <-ended:
	case <-l.ctx.Done():
		select {
		case o = <-ended:
		case <-l.abandonTimer():
			o = l.abandoned()
		case <-l.abrupt:
			o = l.abandoned()
		}
	}
	l.mu.Lock()
	l.step(phase.WorkerEnded, demand{})
	l.mu.Unlock()
	l.callHook(o.Shutdown)
	l.cancel(context.Canceled) // for what the worker has left behind
	l.depart()
	return o.err
}

// abandonTimer is a channel that says when the goodbye has taken too long; nil, so
// never, without AbandonAfter.
func (l *life) abandonTimer() <-chan time.Time {
	if l.plan.AbandonAfter == 0 {
		return nil
	}
	return time.After(l.plan.AbandonAfter)
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
func (l *life) handleSignals() {
	h := newHandlers()
	if l.succession != nil {
		h = l.succession.handlers
	}
	// First those that would kill a daemon for which they mean something else: whoever finds
	// its PID file may send them. Each takes some 50 microseconds.
	if !l.host.Foreign() {
		h.install(signals.Reopen)
	}
	if l.code.Reload != nil || !l.host.Foreign() && (l.plan.PID != nil && l.link != nil || l.manager.Load() != nil) {
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
	if l.link != nil && !l.host.Foreign() {
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

func (l *life) signalled(sig syscall.Signal) {
	if sig == signals.Reopen && sig != l.plan.OwnStopSignal {
		l.reopening.soon(func() {
			if err := l.reopenLogs(); err != nil {
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
func (l *life) stopHandlers(becomes bool) {
	<-l.installed
	l.stopHandlersSoon(becomes)
	<-l.stopped
}

// stopHandlersSoon lets stopHandlers begin.
func (l *life) stopHandlersSoon(becomes bool) {
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

// outcome is how the worker ended: what the hook is told, and the error that
// the process ends with, nil if all is well.
type outcome struct {
	Shutdown
	err *fault.Fault
}

// callWorker is a goroutine of its own, which a runtime.Goexit of the worker ends
// without a return: only what is deferred is certain to happen.
func (l *life) callWorker(ended chan<- outcome) {
	var err error
	returned := false
	defer func() {
		if returned {
			ended <- l.outcomeFrom(err)
			return
		}
		v := recover()
		if v == nil {
			v = "the worker called runtime.Goexit"
		}
		ended <- l.panicked(v, debug.Stack())
	}()
	err = l.code.Worker(l.ctx)
	returned = true
}

func (l *life) panicked(v any, stack []byte) outcome {
	text := fmt.Sprint(v)
	fmt.Fprintf(os.Stderr, "panic: %s\n\n%s", text, stack)
	e := l.fail(errors.New("dying due to unhandled panic: " + text))
	if err, ok := v.(error); ok {
		l.hintAtDirectory(e, err)
	}
	return l.outcome("Dying due to unhandled panic: "+text, 2, "panic: "+text, e)
}

// outcomeFrom reads the worker's return value.
func (l *life) outcomeFrom(err error) outcome {
	l.mu.Lock()
	sig, stopping := l.signal, l.phase.Ending()
	l.mu.Unlock()
	asked := stopping && (err == nil || errors.Is(err, l.ctx.Err()) || errors.Is(err, context.Cause(l.ctx)))
	code, message, exits := l.host.Exit(err)
	switch {
	case asked && sig != 0:
		return outcome{Shutdown: Shutdown{"Terminated by " + signals.Name(sig), -int(sig)}}
	case asked && errors.Is(context.Cause(l.ctx), ErrStartCancelled):
		return outcome{Shutdown: Shutdown{"Start was cancelled", 0}}
	case asked && errors.Is(context.Cause(l.ctx), ErrReload):
		return outcome{Shutdown: Shutdown{"Shutting down for reload", 0}}
	case asked || err == nil:
		return outcome{Shutdown: Shutdown{"Shutting down normally", 0}}
	case !exits:
		return l.outcome("Dying due to unhandled error: "+err.Error(), 1, err.Error(), l.relay(err))
	case message != "":
		return l.outcome("Exiting with message: "+message, code, message, l.relay(err))
	case code != 0:
		return l.outcome(fmt.Sprintf("Exiting with non-zero exit code %d", code), code, "", l.relay(err))
	}
	return outcome{Shutdown: Shutdown{"Shutting down normally", 0}}
}

func (l *life) outcome(message string, code int, reason string, e *fault.Fault) outcome {
	e.PID, e.Code, e.Reason = os.Getpid(), code, reason
	l.hintAtDirectory(e, e.Err)
	return outcome{Shutdown{message, code}, e}
}

// hintAtDirectory says where the worker is, if it has died of a relative path: main, and the hooks in
// the launcher, are in the directory of whoever has called the program.
func (l *life) hintAtDirectory(e *fault.Fault, cause error) {
	if path := missing(cause); path != "" && !filepath.IsAbs(path) && e.Hint == "" {
		e.Hint = fmt.Sprintf("The worker's directory is %s, and %s is not there: give the absolute path, or set %s.", l.plan.WorkDir, path, l.plan.Setting("WorkDir"))
	}
}

// missing is the path of an error that says that nothing is there.
func missing(err error) string {
	if !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if file, is := errors.AsType[*fs.PathError](err); is {
		return file.Path
	}
	if link, is := errors.AsType[*os.LinkError](err); is {
		if filepath.IsAbs(link.Old) {
			return link.New
		}
		return link.Old
	}
	return ""
}

func (l *life) abandoned() outcome {
	l.mu.Lock()
	sig := l.signal
	l.mu.Unlock()
	if sig == 0 {
		return l.outcome("Shutting down normally", 1, "", l.fail(errors.New("the worker was abandoned")))
	}
	err := fmt.Errorf("the worker was abandoned after %s", signals.Name(sig))
	return l.outcome("Terminated by "+signals.Name(sig), -int(sig), "", l.fail(err))
}

// callHook gives the shutdown hook its one call. One that hangs is left behind
// like a worker.
func (l *life) callHook(s Shutdown) {
	hook := l.code.Shutdown
	if hook == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := usercode.Call("shutdown hook", func() error { hook(s); return nil }); err != nil {
			l.complain("call the shutdown hook", err)
		}
	}()
	select {
	case <-done:
	case <-l.abandonTimer():
		l.complain("call the shutdown hook", errors.New("it did not return in time"))
	case <-l.abrupt:
		l.complain("call the shutdown hook", errors.New("it was cut short by a signal"))
	}
}

func (l *life) removePIDFile() {
	if l.held == nil || l.succession.others() {
		return
	}
	// After a change of user it is usual that the directory is not ours to
	// change: the number stays, and the next action of the starter's removes it.
	if err := l.held.Remove(); err != nil && !errors.Is(err, fs.ErrPermission) {
		l.complain("remove the PID file "+l.plan.PIDPath(), err)
	}
}

// takeBack removes what a set-up that failed has created.
func (l *life) takeBack() {
	l.sockets.End()
	l.removePIDFile()
	l.undo.Back()
}

// release makes this process an ordinary one again, for a program that goes on
// after Run.
func (l *life) release() {
	l.stopHandlers(false)
	if l.watchdog.ticker != nil {
		l.watchdog.ticker.Stop()
	}
	if l.held != nil {
		l.held.Release()
	}
	l.cancel(context.Canceled)
	l.host.Life().CompareAndSwap(l, nil)
}

// complainSoon is for who holds a lock, or must not wait: the logger is the program's.
func (l *life) complainSoon(act string, err error) {
	l.complaints.Go(func() { l.complain(act, err) })
}

// complain is for what no caller can be told.
func (l *life) complain(act string, err error) { l.host.Complain(act, err) }

func (d *Daemon) complain(act string, err error) {
	if log := d.code.Logger; log != nil {
		log.Error(act, "daemon", d.plan.Name, "error", public(err))
		return
	}
	say(os.Stderr).Error(console.Capitalize(act) + ": " + err.Error())
}
