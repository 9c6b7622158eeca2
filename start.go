package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/rights"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/timing"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// StartOptions are for one start. The zero value starts as the Config says.
type StartOptions struct {
	// Debug keeps the daemon in the foreground, like Config.Foreground.
	Debug bool `help:"Do NOT detach and run in the background."`
	// Timeout is how long to wait at most. 0: Config.StartTimeout.
	Timeout time.Duration `name:"wait" zero:"1" help:"How long to wait for the daemon to be ready."`
	// NotifyFD is a descriptor that the caller has open for writing, from 3 up. A newline
	// is written to it when the daemon is ready, or counts as started, and then it is
	// closed, as s6 and its kin want it. 0: none.
	NotifyFD int `name:"notify-fd" meta:"N" descriptor:"true" help:"Write a newline to this descriptor when the daemon is ready."`
	// Args are for the worker; see Args and Config.NoArgs.
	Args []string `name:"-"`
}

// Started says what became of a start.
type Started struct {
	PID   int           // of the daemon
	Took  time.Duration // until it was known
	Ready bool          // the worker said so; else it has lived through the window

	// Skipped: this process was launched to become another daemon of this
	// program, so that nothing was done.
	Skipped bool
	// Ended: it was not detached, and is over.
	Ended bool
}

// watcher hears of a start or stop while it goes on. Its functions may be nil.
type watcher struct {
	broken     func(held, mended bool) // the PID file names no process
	orphaned   func(pids []int)        // processes of an earlier daemon are left
	needed     func()                  // this process is the daemon's own or its keeper's, or was to be
	unseen     func()                  // it cannot be told whether a container ends with this process
	optioned   bool                    // who reads has the options of the actions
	begun      func()                  // it is certain that something is tried
	settled    func(ok bool)           // the line of begun can end
	forwarding func(syscall.Signal)    // by the keeper
	childless  func()                  // the keeper's last word

	interrupts bool // signals of the terminal cancel a detached start

	checkup *checkup // of the action that this start is part of; nil: of none
}

func (w watcher) begin() {
	if w.begun != nil {
		w.begun()
	}
}

func (w watcher) settle(ok bool) {
	if w.settled != nil {
		w.settled(ok)
	}
}

// Start starts the daemon and returns when it is known what became of it.
// Detached, that is when the worker has called Ready, has lived through
// StartWindow (unless RequireReady is set), or has died.
//
// In the launched process the program's main runs again up to this call, which
// then becomes the daemon and ends the process with the worker's exit code.
//
// In the foreground, and where nothing is launched (see Config.Foreground), it
// returns when the daemon has ended.
//
// The end of ctx ends the waiting. A cancellation before the verdict also ends
// the start, and nothing is left of it: ErrStartCancelled. (What a worker has put
// into a session of its own is found only if the worker is a Program and no other is
// started with it.) A deadline leaves the daemon alone: ErrStillStarting. If the
// launcher vanishes, the start goes on.
//
// The errors are *Error and wrap ErrAlreadyRunning (PID says who), ErrDied (Code,
// Reason and Stderr say why), ErrBlocked, ErrNoWorker, what a system call of the
// set-up said, or the start hook's own.
func (d *Daemon) Start(ctx context.Context, o StartOptions) (Started, error) {
	s, err := d.start(ctx, o, watcher{})
	return s, public(err)
}

func (d *Daemon) start(ctx context.Context, o StartOptions, w watcher) (Started, error) {
	began := time.Now()
	if skip, err := d.claim(ctx, o.Args); skip {
		return Started{Skipped: true}, err
	}
	if err := d.refused("start", o.Args); err != nil {
		return Started{}, err
	}
	ctx, err := withNotifyFD(ctx, o.NotifyFD)
	if err != nil {
		return Started{}, d.plan.Misused("start", err)
	}
	defer notifyFDOf(ctx).Close()
	ctx = withSockets(ctx, d.plan.Member)
	defer socketsOf(ctx).End()
	place, err := d.place(ctx, o)
	if err != nil {
		w.begin()
		w.settle(false)
		return Started{}, err
	}
	if w.needed != nil && stays(place, o.Debug || d.plan.Foreground, environ.Terminal(0)) {
		w.needed()
	}
	if err := d.prepare(ctx, &o, w); err != nil {
		return Started{}, err
	}
	var s Started
	switch {
	case place == environ.Init, place == environ.First:
		s, err = d.keep(ctx, w)
	case place == environ.Socket: // no line of ours may get onto it
		err = d.runHere(ctx, context.WithoutCancel(ctx), "start", o.Args, nil)
	case !detaches(place):
		err = d.runHere(ctx, context.WithoutCancel(ctx), "start", o.Args, func(ok bool) {
			w.begin()
			w.settle(ok)
		})
	case o.Debug:
		s, err = d.keep(ctx, w)
	default:
		if place == environ.Unseen && w.unseen != nil {
			w.unseen()
		}
		a := d.attempt(w)
		detach(ctx, o.Timeout, []*attempt{a})
		s, err = a.started, a.err
		if err == nil {
			d.notified(ctx)
		}
		s.Took = time.Since(began)
		return s, err
	}
	s.Ended = true
	s.Took = time.Since(began)
	return s, err
}

// survey is made once: what a process was started for does not change, and several ask.
var survey struct {
	once  sync.Once
	place environ.Place
}

func here() environ.Place {
	survey.once.Do(func() { survey.place = environ.Here() })
	return survey.place
}

// where says where this process is. What started a daemon's own process was meant for
// that daemon, not for those that it starts.
func where() environ.Place {
	if p := here(); p == environ.Init || launch.Self() == nil {
		return p
	}
	return environ.Shell
}

// stays reports whether a start there keeps this process, so that a daemon that runs already
// is a failure: whoever started this one would take its end for the service's. A person at a
// terminal is told so, and no more. A unit of Type=forking finds the daemon that runs.
func stays(p environ.Place, foreground, terminal bool) bool {
	return !detaches(p) || foreground && !terminal
}

// detaches reports whether a start there leaves the process that was called.
func detaches(p environ.Place) bool {
	return p == environ.Shell || p == environ.Unseen || p == environ.Forking
}

// notified tells who has handed over a descriptor for it that the daemon is started.
func (d *Daemon) notified(ctx context.Context) {
	if err := notifyFDOf(ctx).Ready(); err != nil {
		d.complain("notify", err)
	}
}

// prepare is what comes before anything is started: it completes the options, and
// finds out early what would keep the daemon from starting.
func (d *Daemon) prepare(ctx context.Context, o *StartOptions, w watcher) error {
	if err := d.startTimeout("start", o); err != nil {
		return err
	}
	o.Debug = o.Debug || d.plan.Foreground
	if d.code.Worker == nil {
		return d.plan.NoWorker("start")
	}
	if d.life.Load() != nil {
		return d.plan.AlreadyRunning("start", os.Getpid())
	}
	if err := d.mayStart(ctx, w); err != nil {
		if !errors.Is(err, ErrAlreadyRunning) {
			w.begin()
			w.settle(false)
		}
		return err
	}
	if d.foreign != nil {
		if err := d.foreign.check(d); err != nil {
			w.begin()
			w.settle(false)
			return err
		}
	}
	if err := d.check(ctx, "start", w.checkup); err != nil {
		w.begin()
		w.settle(false)
		return err
	}
	if hook := d.code.Hooks.Start; hook != nil {
		info := StartInfo{Debug: o.Debug, Daemon: d}
		if err := usercode.Call("start hook", func() error { return hook(ctx, info) }); err != nil {
			w.begin()
			w.settle(false)
			return d.relay("start", err)
		}
	}
	return nil
}

// startTimeout completes and checks how long to wait.
func (d *Daemon) startTimeout(op string, o *StartOptions) error {
	if o.Timeout < 0 {
		return d.plan.Negative(op, o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = d.plan.StartTimeout
	}
	return nil
}

// mayStart looks at the PID file. The daemon decides; this is to answer early.
func (d *Daemon) mayStart(ctx context.Context, w watcher) error {
	if d.plan.PID == nil {
		return nil
	}
	r, err := d.look(ctx, "start", w)
	if err != nil {
		return err
	}
	if r.State == pidfile.Running || r.State == pidfile.Blocked {
		return d.plan.Held("start", r)
	}
	return nil
}

// attempt is one detached start, seen from the launcher.
type attempt struct {
	d  *Daemon
	op string // start or reload: what its errors are about
	l  *launch.Launch
	w  watcher

	phase   phase.Launch
	begun   bool      // the line of w
	since   time.Time // when the worker began; zero: it has not
	reason  string
	hint    string       // what to do about that
	note    string       // what the daemon says it is doing
	absent  []paths.Name // paths that this start has created, if they exist by now
	logFrom int64        // length of the stderr file when the daemon opened it, -1: none
	logFile string       // which file that is

	// The verdict.
	started Started
	err     error
	over    func() // called with it; may be nil

	gate func(context.Context) error // opens the way for it, once it has come as far as it can; nil: it is open

	watch  startWatch     // nil: the worker is Go code
	outLog launch.Message // as for stderr, of a daemon that becomes a program
	alone  bool           // no other daemon is in its session
}

func (d *Daemon) attempt(w watcher) *attempt {
	return &attempt{d: d, op: "start", w: w, phase: phase.Launched, logFrom: -1, absent: d.absent()}
}

// detach starts daemons in one new session, and returns when it is known what
// became of each. The first one's watcher says whether signals cancel.
func detach(ctx context.Context, timeout time.Duration, attempts []*attempt) {
	if errors.Is(ctx.Err(), context.Canceled) {
		for _, a := range attempts {
			a.refused(a.d.plan.Cancelled("start", ctx))
		}
		return
	}
	if attempts = prepareWatches(ctx, attempts); len(attempts) == 0 {
		return
	}
	interrupts := attempts[0].w.interrupts
	files, names, err := inheritance(ctx)
	var hellos []launch.Hello
	for _, a := range attempts {
		hellos = append(hellos, launch.Hello{Key: a.d.plan.Key, Deaf: interrupts, Gated: a.gate != nil, Notify: a.notifyAddress(), Files: names})
	}
	var launches []*launch.Launch
	if err == nil {
		launches, err = launch.Detached(hellos, files)
	}
	closeAll(files)
	if err != nil {
		for _, a := range attempts {
			a.endWatch()
			e := a.d.plan.Fail("start", err)
			if errors.Is(err, syscall.EMFILE) && len(attempts) > 1 {
				e.Hint = "Raise the limit of open files (ulimit -n), or start fewer workers at once."
			}
			a.refused(e)
		}
		return
	}
	if interrupts {
		// While the daemon is on its way, for this takes a while: a Ctrl-C before
		// it ends us, and the daemon takes that for what it is. Not SIGHUP: whose
		// terminal goes while he waits has not changed his mind.
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer func() { go stop() }() // as slow
		for _, l := range launches {
			l.Send(launch.Listening)
		}
	}
	var all sync.WaitGroup
	for i, a := range attempts {
		a.l = launches[i]
		if i > 0 {
			all.Go(func() { a.decide(ctx, timeout) })
		}
	}
	attempts[0].decide(ctx, timeout)
	all.Wait()
}

// refused: nothing was started.
func (a *attempt) refused(err *fault.Fault) {
	a.begin()
	a.w.settle(false)
	a.tell(err)
}

// decide waits for the verdict, and lets go of the daemon.
func (a *attempt) decide(ctx context.Context, timeout time.Duration) {
	ready, err := a.wait(ctx, timeout)
	a.started = Started{PID: a.l.PID(), Ready: ready}
	if !errors.Is(err, ErrAlreadyRunning) {
		a.begin()
		a.w.settle(err == nil)
	}
	if err != nil {
		a.started.PID = 0
		if e, is := errors.AsType[*fault.Fault](err); is && e.PID == 0 {
			e.PID = a.l.PID()
		}
	}
	a.endWatch()
	a.l.Close()
	a.l.Reap()
	a.tell(err)
}

func (a *attempt) tell(err error) {
	a.err = err
	if a.over != nil {
		a.over()
	}
}

func (a *attempt) begin() {
	if !a.begun {
		a.begun = true
		a.w.begin()
	}
}

// wait gives the verdict. An error of the daemon's own comes with the sign that says so.
func (a *attempt) wait(ctx context.Context, timeout time.Duration) (ready bool, err error) {
	limit, stop := context.WithTimeout(ctx, timeout)
	defer func() { stop() }()
	grant := func(ctx context.Context, time time.Duration) {
		stop()
		limit, stop = context.WithTimeout(ctx, time)
	}
	watched := false // by its watch
	for !a.phase.Over() {
		watched = watched || a.phase == phase.Replaced
		sign, said := a.await(ctx, limit)
		if said != nil {
			err = said
		}
		switch do := a.step(sign); {
		case do&phase.NewTime != 0:
			grant(ctx, timeout)
		case do&phase.LookCloser != 0:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				grant(context.WithoutCancel(ctx), timing.StageReports)
			} else {
				grant(ctx, timing.StageReports)
			}
		case do&phase.GrantStop != 0:
			grant(context.WithoutCancel(ctx), a.d.plan.StopTimeout)
		}
	}
	switch a.phase {
	case phase.Up, phase.Lived:
		return a.phase == phase.Up && err == nil, err
	case phase.StillUp:
		err = a.late()
	case phase.CalledOff:
		if err == nil {
			err = a.d.plan.Cancelled("start", ctx)
		}
	}
	if watched && a.watch != nil {
		a.watch.tell(a, err)
	}
	return false, err
}

// await gives what is seen next, in a state in which there is something to wait for. limit
// is what the state grants.
func (a *attempt) await(ctx, limit context.Context) (phase.Sign, error) {
	over := func() phase.Sign {
		switch {
		case a.phase.Recalled():
			return phase.Tires
		case errors.Is(ctx.Err(), context.Canceled):
			return phase.CallOff
		case a.phase.Late():
			return phase.Tires
		}
		return phase.TimesOut
	}
	patience, stop := context.WithCancel(limit)
	defer func() { stop() }()
	short := func(until time.Time) {
		stop()
		patience, stop = context.WithDeadline(limit, until)
	}
	counts := !a.d.plan.RequireReady && a.watch == nil // which has its own window
	switch a.phase {
	case phase.AtGate:
		if err := a.gate(ctx); err != nil {
			a.w = watcher{} // there was no start
			return phase.Stays, err
		}
		return phase.Opens, nil
	case phase.LateNamed, phase.LateClaim:
		if a.gate != nil || a.d.plan.PID == nil { // by which nobody finds it
			return over(), nil
		}
	case phase.Doubted:
		short(time.Now().Add(timing.ClaimArrives))
	case phase.Running, phase.Becoming, phase.Mute:
		if counts {
			short(a.since.Add(a.d.plan.StartWindow))
		}
	case phase.Replaced:
		if a.watch != nil {
			return a.watch.watch(ctx, limit, a)
		}
		if counts {
			short(a.since.Add(a.d.plan.StartWindow))
		}
	}
	switch a.phase {
	case phase.Vanished, phase.Hushed, phase.Mute, phase.Replaced, phase.RecallEnds:
		status, err := a.l.Wait(patience)
		if err == nil && a.phase.Recalled() {
			return phase.Exits, nil
		}
		if err == nil {
			return phase.Exits, a.died(status)
		}
	default:
		for {
			m, err := a.l.Receive(patience)
			if errors.Is(err, io.EOF) {
				return phase.HangsUp, nil
			}
			if err != nil {
				break
			}
			if sign, is, err := a.hear(m); is {
				return sign, err
			}
		}
	}
	if limit.Err() == nil && a.phase.Worked() {
		return phase.LivesOn, nil
	}
	return over(), nil
}

// step takes the step that the sign leads to, and does what follows from it, but for the
// clocks of the wait.
func (a *attempt) step(sign phase.Sign) phase.Order {
	c, ok := a.phase.Next(sign)
	if !ok {
		a.d.complain("start", fmt.Errorf("sign %d cannot come in state %d", sign, a.phase))
	}
	phase.Taken(a, a.phase, sign, c)
	a.phase = c.To
	if c.Do&phase.ShowLine != 0 {
		a.begin()
	}
	if c.Do&phase.StartWindow != 0 {
		a.since = time.Now()
	}
	for _, say := range []struct {
		order phase.Order
		kind  launch.Kind
	}{{phase.SayGo, launch.Go}, {phase.SayRelease, launch.Release}, {phase.SayCancel, launch.Cancel}} {
		if c.Do&say.order != 0 {
			a.l.Send(say.kind)
		}
	}
	if h := a.l.Handle(); h != nil && c.Do&phase.SignalIt != 0 {
		h.Signal(a.d.plan.StopSignal())
		h.Signal(signals.Continue)
	}
	if c.Do&phase.KillIt != 0 {
		a.kill()
	}
	if c.Do&phase.TakeAway != 0 {
		a.cleanUp()
	}
	return c.Do
}

// hear takes what the daemon says, and gives the sign that it is; false: it is none. An
// error is what the daemon says of its own end, which has come then.
func (a *attempt) hear(m launch.Message) (sign phase.Sign, is bool, err error) {
	switch m.Kind {
	case launch.Claimed:
		return phase.Claims, true, nil
	case launch.Waiting:
		return phase.Arrives, a.gate != nil, nil
	case launch.Locked:
		return phase.Locks, true, nil
	case launch.Running:
		return phase.Runs, true, nil
	case launch.Executing:
		return phase.Executes, true, nil
	case launch.Ready:
		return phase.IsReady, true, nil
	case launch.Stderr: // the first one comes before the daemon has given up any rights
		if a.logFrom < 0 {
			a.logFrom, a.logFile = int64(m.Code), m.Text
		}
	case launch.Stdout:
		if a.outLog.Kind == 0 {
			a.outLog = m
		}
	case launch.Reason:
		a.reason, a.hint = m.Text, m.Hint
	case launch.Note:
		a.note = m.Text
	case launch.Failed, launch.Refused, launch.Blocked, launch.Held:
		if a.phase.Recalled() {
			return phase.Fails, true, nil
		}
		a.gone(timing.FailureEnds)
		e := a.d.plan.Failure(a.op, m)
		if m.Kind == launch.Failed || m.Kind == launch.Refused {
			e.Stderr = a.lastLines()
		}
		return phase.Fails, true, e
	}
	return phase.Names, a.phase.Unnamed() && a.l.PID() != 0, nil
}

// heard takes one message, for who keeps the daemon; done means that it is the verdict.
func (a *attempt) heard(m launch.Message) (done, ready bool, err error) {
	sign, is, err := a.hear(m)
	if is && !a.phase.Over() {
		a.step(sign)
	}
	return a.phase.Over(), a.phase == phase.Up, err
}

// gone waits for the end of a process that is about to end.
func (a *attempt) gone(limit time.Duration) bool {
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	_, err := a.l.Wait(ctx)
	return err == nil
}

func (a *attempt) died(s launch.Status) error {
	never := a.l.PID() == 0 // not even started
	text := "child exited"
	switch early := a.since.IsZero() || time.Since(a.since) <= a.d.plan.StartWindow; {
	case never:
		text = "the process that was to start the daemon was killed"
	case early && s.Known:
		text += fmt.Sprintf(" immediately with exit code %d", s.Code)
	case early:
		text += " immediately"
	case s.Known:
		text += fmt.Sprintf(" with exit code %d before it was ready", s.Code)
	default:
		text += " before it was ready"
	}
	e := a.d.plan.Fail(a.op, fault.Say(text, ErrDied))
	e.PID = a.l.PID()
	e.Code = max(fault.ExitStatus(s.Code), 1)
	e.Reason, e.Hint = a.reason, a.hint
	reason, lines := explain(a.output())
	e.Stderr = lines
	if e.Reason == "" {
		e.Reason = reason
	}
	if e.Reason == "" && !a.phase.Reached() && s.Code == 0 && !never {
		e.Reason = fmt.Sprintf("the program ended before it reached Start of %s", a.d.plan.Name)
	}
	a.begin()
	return e
}

// cleanUp removes what a daemon could not remove itself: its PID file, and the
// empty directories and files that were not there before.
func (a *attempt) cleanUp() {
	if a.d.plan.PID != nil {
		a.d.plan.PID.Remove()
	}
	for _, n := range a.absent {
		n.RemoveEmpty() // not a directory that is in use by now
	}
}

// absent lists what of the daemon's paths does not exist yet, the innermost
// first.
func (d *Daemon) absent() []paths.Name {
	var list []paths.Name
	for _, n := range []*paths.Name{d.plan.Stdout, d.plan.Stderr, d.plan.PIDName(), d.plan.Laid.WorkDir} {
		if n != nil {
			list = append(list, n.Absent()...)
		}
	}
	return list
}

// late is the error of a start that has run out of time.
func (a *attempt) late() error {
	who := "process (PID " + strconv.Itoa(a.l.PID()) + ")"
	if a.l.PID() == 0 {
		who = "a process"
	}
	e := a.d.late(a.w, who)
	e.PID, e.Reason = a.l.PID(), a.note
	e.Stderr = a.lastLines()
	return e
}

// late is the error of a start whose daemon is not ready in time, and lives.
func (d *Daemon) late(w watcher, who string) *fault.Fault {
	e := d.plan.Fail("start", fault.Say("timed out while waiting for "+who+" to become ready", ErrStillStarting))
	e.Code = fault.ExitStillStarting
	more := d.plan.Setting("StartTimeout")
	if w.optioned && d.plan.SetBy["StartTimeout"] == "" {
		more = "--wait"
	}
	e.Hint = "It is alive and may yet become ready; raise " + more + " if it needs longer."
	return e
}

// kill ends what is left of the daemon and its process group, and of a program also what
// has left that.
func (a *attempt) kill() {
	h := a.l.Handle()
	if h == nil {
		return
	}
	h.Signal(syscall.SIGKILL)
	a.gone(timing.KillShows)
	rights.KillGroup(a.d.plan, a.l.PID())
	if a.watch != nil {
		a.watch.end(a)
	}
}

func eachMember(pgid int, do func(*proc.Handle)) []int {
	members, _ := proc.Group(pgid)
	var done []int
	for _, pid := range members {
		h, err := proc.Open(pid)
		if err != nil {
			continue
		}
		if group, _, err := proc.GroupID(pid); err == nil && group == pgid && !h.Gone() {
			do(h)
			done = append(done, pid)
		}
		h.Close()
	}
	return done
}

// maxTail is how much of the end of the daemon's stderr is looked at.
const maxTail = 64 << 10

// output is the end of what the daemon wrote to stderr in this launch.
func (a *attempt) output() string {
	s := tail(a.l.Output(), 0)
	if a.logFrom < 0 || a.d.plan.Stderr == nil {
		return s
	}
	return s + logTail(a.d.plan.Stderr.String(), a.logFile, a.logFrom)
}

// logTail is the end of what was written to a log file from that length on.
func logTail(path, identity string, from int64) string {
	// By now it may be a FIFO, at which a plain open would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if launch.Identity(f) != identity {
		return "" // the directory may be the service's own: another file is not for us to show
	}
	return tail(f, from)
}

// tail reads from the offset, or the last maxTail bytes.
func tail(r io.ReaderAt, from int64) string {
	size := from
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
	}
	from = max(from, size-maxTail)
	b, _ := io.ReadAll(io.NewSectionReader(r, from, size-from))
	return string(b)
}

func (a *attempt) lastLines() []string {
	_, lines := explain(a.output())
	return lines
}
