// Package attempt makes new processes of daemons and watches each until the verdict: what it
// says on the wire, whether it lives or dies and why, and what is taken back then. A start and
// a keeper use it in the launcher, a reload in the daemon.
package attempt

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

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/rights"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// Attempt is one new process of a daemon, seen from the one that has made it.
type Attempt struct {
	Plan     *plan.Plan
	Op       string                      // start or reload: what its errors are about
	Complain func(act string, err error) // is for what no caller can be told
	Line     Line
	Optioned bool // who reads of it has the options of the actions

	// Prepare gets ready to watch a program start. Nil: the worker is Go code.
	Prepare func(context.Context) (Watch, error)
	// Gate opens the way for the process, once it has come as far as it can. Nil: it is open.
	Gate func(context.Context) error
	// Over is called with the verdict. Nil: nobody needs that.
	Over func()

	Launch     *launch.Launch
	Phase      phase.Launch // of a successor phase.Successor says more
	Watch      Watch        // nil: there is none
	Alone      bool         // no other daemon is in its session
	Interrupts bool         // see Session
	Since      time.Time    // when the worker began; zero: it has not
	Reason     string       // for its end, in its own words
	Hint       string       // what to do about that
	Note       string       // what it says it is doing
	Stderr     *Log         // the file that it has for stderr; nil: none
	Stdout     *Log         // as for stderr, of a daemon that becomes a program

	// The verdict.
	PID   int // 0 with an error
	Ready bool
	Err   error

	begun  bool         // the line
	absent []paths.Name // paths that this start has created, if they exist by now
}

// Line is where a start is shown to whoever waits for it. Its functions may be nil.
type Line struct {
	Begin func()        // it is certain that something is tried
	End   func(ok bool) // it is known what became of it
}

// Watch is a launcher's watch over a program that starts.
type Watch interface {
	// Address is the program's NOTIFY_SOCKET, empty without one.
	Address() string
	// Watch gives what is seen of the program, once the daemon is that or dead; limit is
	// derived from ctx, the caller's.
	Watch(ctx, limit context.Context, a *Attempt) (phase.LaunchEvent, error)
	// Tell adds what the program had to say to the error, if it is one of a start's. What
	// Watch gives has it.
	Tell(a *Attempt, err error)
	// End ends what is left of the program and of what it has started, and gives what it
	// has met.
	End(a *Attempt) []int
	// Await waits until the program says that it is ready, where a keeper watches over
	// it; can is false if it has no way to say so there.
	Await(ctx context.Context, a *Attempt) (ready, can bool)
	Close()
}

// New is for a start. What it finds of the daemon's paths is not taken back.
func New(p *plan.Plan, complain func(act string, err error)) *Attempt {
	return &Attempt{Plan: p, Op: "start", Complain: complain, Phase: phase.Launched, absent: absent(p)}
}

// Session is what daemons have in common that are started together.
type Session struct {
	Timeout    time.Duration
	Interrupts bool // signals of the terminal cancel the start
	// Files are for the daemons, with the names by which they know them.
	Files func() (files []*os.File, names []string, err error)
}

// Detach starts daemons in one new session, and returns when it is known what
// became of each.
func (s Session) Detach(ctx context.Context, attempts []*Attempt) {
	if errors.Is(ctx.Err(), context.Canceled) {
		for _, a := range attempts {
			a.refused(a.Plan.Cancelled(a.Op, ctx))
		}
		return
	}
	var left []*Attempt
	for _, a := range attempts {
		a.Alone, a.Interrupts = len(attempts) == 1, s.Interrupts
		if a.PrepareWatch(ctx) {
			left = append(left, a)
		}
	}
	if attempts = left; len(attempts) == 0 {
		return
	}
	files, names, err := s.Files()
	var hellos []launch.Hello
	for _, a := range attempts {
		hellos = append(hellos, launch.Hello{Key: a.Plan.Key, Deaf: s.Interrupts, Gated: a.Gate != nil, Notify: a.NotifyAddress(), Files: names})
	}
	var launches []*launch.Launch
	if err == nil {
		launches, err = launch.Detached(hellos, files)
	}
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		for _, a := range attempts {
			a.EndWatch()
			e := a.Plan.Fail(a.Op, err)
			if errors.Is(err, syscall.EMFILE) && len(attempts) > 1 {
				e.Hint = "Raise the limit of open files (ulimit -n), or start fewer workers at once."
			}
			a.refused(e)
		}
		return
	}
	if s.Interrupts {
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
		a.Launch = launches[i]
		if i > 0 {
			all.Go(func() { a.decide(ctx, s.Timeout) })
		}
	}
	attempts[0].decide(ctx, s.Timeout)
	all.Wait()
}

// PrepareWatch gets ready to watch the daemon if that becomes a program. It reports false if
// it cannot, which is the verdict then.
func (a *Attempt) PrepareWatch(ctx context.Context) bool {
	if a.Prepare == nil || a.Gate != nil { // then it does not become that
		return true
	}
	w, err := a.Prepare(ctx)
	if err != nil {
		a.Begin()
		a.end(false)
		a.tell(err)
		return false
	}
	a.Watch = w
	return true
}

// EndWatch ends the watch.
func (a *Attempt) EndWatch() {
	if a.Watch != nil {
		a.Watch.Close()
	}
}

// NotifyAddress is the program's NOTIFY_SOCKET, empty without one.
func (a *Attempt) NotifyAddress() string {
	if a.Watch == nil {
		return ""
	}
	return a.Watch.Address()
}

// refused: nothing was started.
func (a *Attempt) refused(err *fault.Fault) {
	a.Begin()
	a.end(false)
	a.tell(err)
}

// decide waits for the verdict, and lets go of the daemon.
func (a *Attempt) decide(ctx context.Context, timeout time.Duration) {
	ready, err := a.wait(ctx, timeout)
	a.PID, a.Ready = a.Launch.PID(), ready
	if !errors.Is(err, fault.ErrAlreadyRunning) {
		a.Begin()
		a.end(err == nil)
	}
	if err != nil {
		a.PID = 0
		if e, is := errors.AsType[*fault.Fault](err); is && e.PID == 0 {
			e.PID = a.Launch.PID()
		}
	}
	a.EndWatch()
	a.Launch.Close()
	a.Launch.Reap()
	a.tell(err)
}

func (a *Attempt) tell(err error) {
	a.Err = err
	if a.Over != nil {
		a.Over()
	}
}

// Begin begins the line, once.
func (a *Attempt) Begin() {
	if a.begun {
		return
	}
	a.begun = true
	if a.Line.Begin != nil {
		a.Line.Begin()
	}
}

func (a *Attempt) end(ok bool) {
	if a.Line.End != nil {
		a.Line.End(ok)
	}
}

// wait gives the verdict. An error of the daemon's own comes with the event that says so.
func (a *Attempt) wait(ctx context.Context, timeout time.Duration) (ready bool, err error) {
	limit, stop := context.WithTimeout(ctx, timeout)
	defer func() { stop() }()
	grant := func(ctx context.Context, time time.Duration) {
		stop()
		limit, stop = context.WithTimeout(ctx, time)
	}
	var do phase.LaunchEffect
	for !a.Phase.Over() {
		event, said := a.await(ctx, limit)
		if said != nil {
			err = said
		}
		switch do = a.step(event); {
		case do&phase.NewTime != 0:
			grant(ctx, timeout)
		case do&phase.LookCloser != 0:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				grant(context.WithoutCancel(ctx), timing.StageReports)
			} else {
				grant(ctx, timing.StageReports)
			}
		case do&phase.GrantStop != 0:
			grant(context.WithoutCancel(ctx), a.Plan.StopTimeout)
		}
	}
	switch a.Phase {
	case phase.Up, phase.Lived:
		return a.Phase == phase.Up && err == nil, err
	case phase.StillUp:
		err = a.late()
	case phase.CalledOff:
		if err == nil {
			err = a.Plan.Cancelled(a.Op, ctx)
		}
	}
	if a.Watch != nil && do&phase.QuoteIt != 0 {
		a.Watch.Tell(a, err)
	}
	return false, err
}

// await gives what is seen next, in a state in which there is something to wait for. limit
// is what the state grants.
func (a *Attempt) await(ctx, limit context.Context) (phase.LaunchEvent, error) {
	over := func() phase.LaunchEvent {
		switch {
		case a.Phase.Recalled():
			return phase.Tires
		case errors.Is(ctx.Err(), context.Canceled):
			return phase.CallOff
		case a.Phase.Late():
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
	counts := !a.Plan.RequireReady && a.Watch == nil // which has its own window
	switch a.Phase {
	case phase.AtGate:
		if err := a.Gate(ctx); err != nil {
			a.Line = Line{} // there was no start
			return phase.Stays, err
		}
		return phase.Opens, nil
	case phase.LateNamed, phase.LateClaim:
		if a.Gate != nil || a.Plan.PID == nil { // by which nobody finds it
			return over(), nil
		}
	case phase.Doubted:
		short(time.Now().Add(timing.ClaimArrives))
	case phase.Running, phase.Becoming, phase.Mute:
		if counts {
			short(a.Since.Add(a.Plan.StartWindow))
		}
	case phase.Replaced:
		if a.Watch != nil {
			return a.Watch.Watch(ctx, limit, a)
		}
		if counts {
			short(a.Since.Add(a.Plan.StartWindow))
		}
	}
	switch a.Phase {
	case phase.Vanished, phase.Hushed, phase.Mute, phase.Replaced, phase.RecallEnds, phase.RecallReplaced:
		status, err := a.Launch.Wait(patience)
		if err == nil && a.Phase.Recalled() {
			return phase.Exits, nil
		}
		if err == nil && a.cancelledEarly() {
			return phase.CallOff, nil
		}
		if err == nil {
			return phase.Exits, a.Died(status, a.Phase.Reached())
		}
	default:
		for {
			m, err := a.Launch.Receive(patience)
			if errors.Is(err, io.EOF) {
				return phase.HangsUp, nil
			}
			if err != nil {
				break
			}
			if event, is, err := a.Hear(m); is {
				return event, err
			}
		}
	}
	if limit.Err() == nil && a.Phase.Worked() {
		return phase.LivesOn, nil
	}
	return over(), nil
}

// cancelledEarly reports whether the cancellation of the start has ended the process that was to
// start the daemon: the terminal sends its signal to that as well until it has a session of its
// own, and it may be seen to be gone before our own signal comes.
func (a *Attempt) cancelledEarly() bool {
	if a.Phase != phase.Vanished || !a.Interrupts || a.Launch.PID() != 0 {
		return false
	}
	code := a.Launch.Stage().Code
	return code == -int(syscall.SIGINT) || code == -int(syscall.SIGTERM)
}

// step takes the step that the event leads to, and does what follows from it, but for the
// clocks of the wait.
func (a *Attempt) step(event phase.LaunchEvent) phase.LaunchEffect {
	c, ok := a.Phase.Next(event)
	if !ok {
		a.Complain(a.Op, fmt.Errorf("event %d cannot come in state %d", event, a.Phase))
	}
	phase.Taken(a, "Launch", uint8(a.Phase), uint8(event), uint8(c.To), uint16(c.Do))
	a.Phase = c.To
	if c.Do&phase.ShowLine != 0 {
		a.Begin()
	}
	if c.Do&phase.StartWindow != 0 {
		a.Since = time.Now()
	}
	for _, say := range []struct {
		effect phase.LaunchEffect
		kind   launch.Kind
	}{{phase.SayGo, launch.Go}, {phase.SayRelease, launch.Release}, {phase.SayCancel, launch.Cancel}} {
		if c.Do&say.effect != 0 {
			a.Launch.Send(say.kind)
		}
	}
	if h := a.Launch.Handle(); h != nil && c.Do&phase.SignalIt != 0 {
		h.Signal(a.Plan.StopSignal())
		h.Signal(signals.Continue)
	}
	if c.Do&phase.KillIt != 0 {
		a.Kill()
	}
	if c.Do&phase.TakeAway != 0 {
		a.CleanUp()
	}
	return c.Do
}

// Hear takes what the daemon says, and gives the event that it is; false: it is none. An
// error is what the daemon says of its own end, which has come then.
func (a *Attempt) Hear(m launch.Message) (event phase.LaunchEvent, is bool, err error) {
	switch m.Kind {
	case launch.Claimed:
		return phase.Claims, true, nil
	case launch.Waiting:
		return phase.Arrives, a.Gate != nil, nil
	case launch.Locked:
		return phase.Locks, true, nil
	case launch.Running:
		return phase.Runs, true, nil
	case launch.Executing:
		return phase.Executes, true, nil
	case launch.Ready:
		return phase.IsReady, true, nil
	case launch.Stderr: // the first one comes before the daemon has given up any rights
		if a.Stderr == nil && a.Plan.Stderr != nil {
			a.Stderr = &Log{a.Plan.Stderr.String(), m.Text, int64(m.Code)}
		}
	case launch.Stdout:
		if a.Stdout == nil && a.Plan.Stdout != nil {
			a.Stdout = &Log{a.Plan.Stdout.String(), m.Text, int64(m.Code)}
		}
	case launch.Reason:
		a.Reason, a.Hint = m.Text, m.Hint
	case launch.Note:
		a.Note = m.Text
	case launch.Failed, launch.Refused, launch.Blocked, launch.Held:
		if a.Phase.Recalled() {
			return phase.Fails, true, nil
		}
		a.Gone(timing.FailureEnds)
		e := a.Plan.Failure(a.Op, m)
		if m.Kind == launch.Failed || m.Kind == launch.Refused {
			e.Stderr = a.LastLines()
		}
		return phase.Fails, true, e
	}
	return phase.Names, a.Phase.Unnamed() && a.Launch.PID() != 0, nil
}

// Heard takes one message, for who keeps the daemon; done means that it is the verdict.
func (a *Attempt) Heard(m launch.Message) (done, ready bool, err error) {
	event, is, err := a.Hear(m)
	if is && !a.Phase.Over() {
		a.step(event)
	}
	return a.Phase.Over(), a.Phase == phase.Up, err
}

// Gone waits for the end of a process that is about to end.
func (a *Attempt) Gone(limit time.Duration) bool {
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	_, err := a.Launch.Wait(ctx)
	return err == nil
}

// Died is the verdict on a process that has ended; reached is whether it had reached its daemon.
func (a *Attempt) Died(s launch.Status, reached bool) error {
	never := a.Launch.PID() == 0 // not even started
	text := "child exited"
	switch early := a.Since.IsZero() || time.Since(a.Since) <= a.Plan.StartWindow; {
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
	e := a.Plan.Fail(a.Op, fault.Say(text, fault.ErrDied))
	e.PID = a.Launch.PID()
	e.Code = max(fault.ExitStatus(s.Code), 1)
	e.Reason, e.Hint = a.Reason, a.Hint
	reason, lines := explain(a.output())
	e.Stderr = lines
	if e.Reason == "" {
		e.Reason = reason
	}
	if e.Reason == "" && !reached && s.Code == 0 && !never {
		e.Reason = fmt.Sprintf("the program ended before it reached Start of %s", a.Plan.Name)
	}
	a.Begin()
	return e
}

// CleanUp removes what a daemon could not remove itself: its PID file, and the
// empty directories and files that were not there before.
func (a *Attempt) CleanUp() {
	if a.Plan.PID != nil {
		a.Plan.PID.Remove()
	}
	for _, n := range a.absent {
		n.RemoveEmpty() // not a directory that is in use by now
	}
}

// absent lists what of the daemon's paths does not exist yet, the innermost
// first.
func absent(p *plan.Plan) []paths.Name {
	var list []paths.Name
	for _, n := range []*paths.Name{p.Stdout, p.Stderr, p.PIDName(), p.Laid.WorkDir} {
		if n != nil {
			list = append(list, n.Absent()...)
		}
	}
	return list
}

// late is the error of a start that has run out of time.
func (a *Attempt) late() error {
	who := "process (PID " + strconv.Itoa(a.Launch.PID()) + ")"
	if a.Launch.PID() == 0 {
		who = "a process"
	}
	e := late(a.Plan, a.Op, who, a.Optioned)
	e.PID, e.Reason = a.Launch.PID(), a.Note
	e.Stderr = a.LastLines()
	return e
}

// late is the error of a start whose daemon is not ready in time, and lives.
func late(p *plan.Plan, op, who string, optioned bool) *fault.Fault {
	e := p.Fail(op, fault.Say("timed out while waiting for "+who+" to become ready", fault.ErrStillStarting))
	e.Code = fault.ExitStillStarting
	more := p.Setting("StartTimeout")
	if optioned && p.SetBy["StartTimeout"] == "" {
		more = "--wait"
	}
	e.Hint = "It is alive and may yet become ready; raise " + more + " if it needs longer."
	return e
}

// Kill ends what is left of the daemon and its process group, and of a program also what
// has left that.
func (a *Attempt) Kill() {
	h := a.Launch.Handle()
	if h == nil {
		return
	}
	h.Signal(syscall.SIGKILL)
	a.Gone(timing.KillShows)
	rights.KillGroup(a.Plan, a.Launch.PID())
	if a.Watch != nil {
		a.Watch.End(a)
	}
}
