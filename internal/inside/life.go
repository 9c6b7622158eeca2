// Package inside is the daemon's own process, from the claim, or the call of Run, to its end:
// set-up, signals, the wire to the launcher or keeper, the worker, the service manager, and
// both sides of a reload. The methods of daemonocle.Daemon that are for this process call it;
// whatever acts on a daemon from another process is not in here.
package inside

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

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
	"github.com/daemonocle/daemonocle/internal/sockets"
)

// Life is the daemon's own life, in the process that runs the worker.
type Life struct {
	plan *plan.Plan
	host Host
	code Code
	op   string // start, run or reload: what its errors are about
	args []string
	link *launch.Child // to the launcher or keeper; nil if nobody launched us

	foreground bool // not detached: the streams are the caller's

	started func(ok bool) // see Run; nil once it was said

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

type contextKey struct{}

// Of is the life of the worker, or the hook, whose context it is; nil if it is neither's.
func Of(ctx context.Context) *Life {
	l, _ := ctx.Value(contextKey{}).(*Life)
	return l
}

// Plan is what the settings say.
func (l *Life) Plan() *plan.Plan { return l.plan }

// Host is the program.
func (l *Life) Host() Host { return l.host }

// Args are those that the start was given.
func (l *Life) Args() []string { return l.args }

// demand is that the daemon should end.
type demand struct {
	sig   syscall.Signal // 0: it was not by a signal
	cause error
}

// fail is an error in our own words, which begin it.
func (l *Life) fail(err error) *fault.Fault { return l.plan.Fail(l.op, err) }

// cannot is for a system call that was refused.
//
// It is called from many places, each of which would be larger with its code.
//
//go:noinline
func (l *Life) cannot(act, thing string, err error, hint string) *fault.Fault {
	return l.plan.Cannot(l.op, act, thing, err, hint)
}

// relay is an error of the program's own code.
func (l *Life) relay(err error) *fault.Fault {
	f := l.plan.Relay(l.op, err)
	f.Capital = l.host.Ours(err)
	return f
}

// state is how far this process is.
func (l *Life) state() phase.Life {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.phase
}

// step takes the step that the event leads to, and does what follows from it, but for what
// can wait: that is for the caller, after the release of l.mu, which is held here. The end of
// the context is due to by.
func (l *Life) step(e phase.LifeEvent, by demand) phase.LifeEffect {
	s, ok := l.phase.Next(e)
	if !ok {
		l.complainSoon("take the next step", fmt.Errorf("event %d cannot happen in state %d", e, l.phase))
		return 0
	}
	phase.Taken(l, "Life", uint8(l.phase), uint8(e), uint8(s.To), uint16(s.Do))
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

// hear does what follows from the event, and gives it. l.mu is held.
func (l *Life) hear(e phase.VerdictEvent) phase.VerdictEffect {
	t, ok := l.verdict.Next(e)
	if !ok {
		l.complainSoon("hear the launcher", fmt.Errorf("event %d cannot come in state %d", e, l.verdict))
		return 0
	}
	phase.Taken(l, "Verdict", uint8(l.verdict), uint8(e), uint8(t.To), uint16(t.Do))
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
		l.step(phase.End, demand{cause: fault.ErrStartCancelled})
	}
	return t.Do
}

// sayStarted says once whether the daemon has started.
func (l *Life) sayStarted(ok bool) {
	l.mu.Lock()
	say := l.started
	l.started = nil
	l.mu.Unlock()
	if say != nil {
		say(ok)
	}
}

// Run is a life without a launcher. The worker's context has the values of ctx and ends with
// until. started is called once, when the daemon counts as started or has failed before, and
// not at all if it ends well before; nil: nobody wants to know.
func Run(ctx, until context.Context, p *plan.Plan, h Host, op string, args []string, started func(ok bool)) error {
	l := newLife(ctx, p, h, op, nil, true, args)
	if l == nil {
		return p.Fail(op, fault.Say("the daemon runs in this process already", fault.ErrAlreadyRunning, fault.ErrInside))
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

// Claim turns a launched process into its daemon, and never returns from that.
// In a launched process that is another daemon's, it reports that there is
// nothing to do. In all other processes it is false.
func Claim(ctx context.Context, p *plan.Plan, h Host, args []string) (done bool) {
	c := launch.Self()
	if c == nil || c.Claimed() {
		return false
	}
	if c.Key != p.Key || !c.Claim() {
		return true
	}
	c.Send(launch.Message{Kind: launch.Claimed, PID: os.Getpid()})
	keptWatchdog = environ.Watchdog()
	environ.Unsupervise() // it was the launcher that a service manager may have started
	ctx = sockets.With(ctx, p.Member.Of > 1)
	for _, f := range c.Files() {
		sockets.Of(ctx).Hand(f)
	}
	l := newLife(ctx, p, h, "start", c, c.Foreground, args)
	if l.succession != nil {
		go l.listenToPredecessor()
	} else {
		go l.listen()
	}
	os.Exit(l.live())
	return true
}

// newLife gives nil if the daemon lives in this process already.
func newLife(ctx context.Context, p *plan.Plan, h Host, op string, link *launch.Child, foreground bool, args []string) *Life {
	l := &Life{phase: phase.ComingUp, verdict: phase.Early, plan: p, host: h, code: h.Code(), op: op, link: link, foreground: foreground, args: args, sockets: sockets.Of(ctx), abrupt: make(chan syscall.Signal, 1), released: make(chan struct{}),
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
		l.notifyFD = sdnotify.DescriptorOf(ctx)
	}
	if link == nil && p.Worker != plan.Program { // another program speaks for itself
		l.meetManager()
	}
	l.watchdog.begin()
	go l.handleSignals() // installing the handlers takes as long as the set-up meanwhile
	return l
}

// live is a launched daemon's life, from the claim to the exit code.
func (l *Life) live() int {
	if err := l.setUp(); err != nil {
		l.takeBack()
		l.link.Send(plan.FailureMessage(err))
		l.sendLastWords()
		return 1
	}
	l.completed()
	if l.plan.Worker == plan.Program {
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
	l.lastSignals()
	if errors.Is(context.Cause(l.ctx), fault.ErrStartCancelled) || err != nil && errors.Is(err, ErrNotExecuted) {
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

// completed: nothing of the set-up can fail any more. In the foreground nobody takes it
// back after that.
func (l *Life) completed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hear(phase.SetUp)
	if l.foreground {
		l.undo.Keep()
	}
}

func (l *Life) removePIDFile() {
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
func (l *Life) takeBack() {
	l.sockets.End()
	l.removePIDFile()
	l.undo.Back()
}

// release makes this process an ordinary one again, for a program that goes on
// after Run.
func (l *Life) release() {
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
//
// It is called from many places, each of which would be larger with its code.
//
//go:noinline
func (l *Life) complainSoon(act string, err error) {
	l.complaints.Go(func() { l.complain(act, err) })
}

// complain is for what no caller can be told.
func (l *Life) complain(act string, err error) { l.host.Complain(act, err) }

func say(w io.Writer) *console.Console {
	return console.New(console.Options{Out: w, Err: w})
}

// closeUnclaimed closes what nobody has asked for.
func (l *Life) closeUnclaimed() {
	for _, left := range l.sockets.CloseUnclaimed() {
		l.complain("listen", fmt.Errorf("the service manager's socket %s is not one that the program listens on: its clients wait in vain", left))
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
