package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/outside"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/pyjson"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/systemd"
)

// say is for what a daemon's own process has to say.
func say(w io.Writer) *console.Console {
	return console.New(console.Options{Out: w, Err: w})
}

// printer prints what the methods report: the lines of the original, and behind
// them what else is known.
type printer struct {
	lines
	d   *Daemon
	out Output

	needed bool // that a daemon runs already is a failure; see outside.Watcher
}

// lines is a console.Console, or one's turn with one.
type lines interface {
	Begin(text string)
	End(ok bool)
	Line(text string)
	Error(text string)
	Warn(text string)
	Reason(text string)
	Hint(text string)
	Stderr(lines []string)
	Stdout(lines []string)
}

func newPrinter(d *Daemon, out Output) *printer {
	out = out.steady()
	return &printer{lines: out.console(), d: d, out: out}
}

// steady survives the readers of the process's own streams.
func (o Output) steady() Output {
	o = o.filled()
	o.Out, o.Err = console.Steady(o.Out), console.Steady(o.Err)
	return o
}

func (o Output) console() *console.Console {
	c := console.Options{Out: o.Out, Err: o.Err, Color: console.Color(o.Color)}
	if o.JSON || o.Quiet {
		c.Out = nil
	}
	return console.New(c)
}

// Warn is left out where only errors are wanted.
func (v *printer) Warn(text string) {
	if !v.out.Quiet {
		v.lines.Warn(text)
	}
}

func (v *printer) watcher(doing string) *outside.Watcher {
	return &outside.Watcher{
		Broken:     v.broken,
		Orphaned:   v.orphaned,
		Needed:     func() { v.needed = true },
		Unseen:     v.unseen,
		Begun:      func() { v.Begin(doing + " " + v.d.plan.Name) },
		Settled:    v.End,
		Forwarding: func(s syscall.Signal) { v.Line("Received signal " + signals.Name(s) + ". Forwarding to child...") },
		Childless:  func() { v.Line("All children are gone. Parent is exiting...") },
		Interrupts: true,
		Optioned:   v.out.optioned,
	}
}

func (v *printer) stopWatcher() *outside.StopWatcher {
	return &outside.StopWatcher{
		Watcher: *v.watcher("Stopping"),
		Failed:  func(err error) { v.explain(err) },
		Killing: func() { v.Begin("Killing " + v.d.plan.Name) },
		Unasked: func(err error) {
			v.Warn("systemd may run " + v.d.plan.Name + " (" + err.Error() + "); acting on the process itself")
		},
	}
}

func (v *printer) broken(held, mended bool) {
	path := v.d.plan.PIDPath()
	text := "Empty or broken PID file " + path
	act := "; removing"
	if held {
		text = "PID file " + path + " does not name the running daemon"
		act = "; repairing"
	}
	if mended {
		text += act
	}
	v.Warn(text)
}

// orphaned says what a daemon that was a foreign program has left behind. It is
// not in the way of another one.
func (v *printer) orphaned(pids []int) {
	text := "Processes that " + v.d.plan.Name + " has left behind are still running"
	if len(pids) > 0 {
		text += " (PID " + plan.PIDs(pids) + since(pids) + ")"
	}
	v.Warn(text)
}

// unseen says what may come of a start in a container whose processes are hidden.
func (v *printer) unseen() {
	v.Warn("/proc is hidden here, so that it cannot be told whether this is the container's first process, " +
		"with which it ends; if it is, keep " + v.d.plan.Name + " in the foreground: start --debug")
}

// since says for how long the oldest of them has been running.
func since(pids []int) string {
	oldest := 0.0
	for _, pid := range pids {
		if values, err := proc.Snapshot(pid, []string{"uptime"}); err == nil {
			seconds, _ := values["uptime"].(float64)
			oldest = max(oldest, seconds)
		}
	}
	if oldest == 0 {
		return ""
	}
	return "; for " + console.Uptime(time.Duration(oldest*float64(time.Second)))
}

func (v *printer) start(ctx context.Context, o StartOptions) error {
	s, err := v.d.start(ctx, o, v.watcher("Starting"))
	return v.started(s, err)
}

func (v *printer) started(s Started, err error) error {
	v.outcome(func() map[string]any { return startObject(s, err) }, err)
	v.fleeting(s, err)
	return v.finish(err)
}

func (v *printer) stop(ctx context.Context, o StopOptions) error {
	s, err := v.d.stop(ctx, "stop", o, v.stopWatcher())
	return v.stopped(s, o, err)
}

func (v *printer) stopped(s Stopped, o StopOptions, err error) error {
	v.object(func() map[string]any { return stopObject(s, err) }, err)
	switch {
	case !errors.Is(err, ErrNotRunning):
		v.left(s, o)
	case o.Force && len(s.Left) > 0: // without force they were named before
		v.Warn("They were killed (PID " + plan.PIDs(s.Left) + ")")
	}
	return v.finish(err)
}

func (v *printer) restart(ctx context.Context, o RestartOptions) error {
	r, err := v.d.restart(ctx, o, v.stopWatcher(), v.watcher("Starting"), func(err error) { v.warn(err) })
	return v.restarted(r, o, err)
}

func (v *printer) restarted(r Restarted, o RestartOptions, err error) error {
	err = public(err)
	v.outcome(func() map[string]any {
		m := startObject(r.Started, err)
		failed, is := errors.AsType[*Error](err)
		stopped := stopObject(r.Stopped, nil)
		switch {
		case is && failed.Op == "restart": // it was the stop
			stopped = stopObject(r.Stopped, err)
		case r.Stopped.PID == 0:
			stopped["outcome"] = outcomeOf(ErrNotRunning)
		}
		m["stopped"], m["kept"] = stopped, number(r.Kept)
		if r.Kept != 0 {
			m["stopped"] = nil
		}
		m["seconds"] = r.Took.Seconds()
		return m
	}, err)
	v.left(r.Stopped, o.Stop)
	v.fleeting(r.Started, err)
	return v.finish(err)
}

// fleeting warns of a PID file that may not be there for as long as the daemon.
func (v *printer) fleeting(s Started, err error) {
	d := v.d
	if err != nil || s.PID == 0 || d.plan.PID == nil {
		return
	}
	switch where := d.plan.PID.Where(); {
	case d.plan.Laid.Warning != "":
		v.Warn("The PID file of " + d.plan.Name + " " + d.plan.Laid.Warning)
	case where != d.plan.PID.Name && d.plan.Laid.Private == "":
		v.Warn("The PID file of " + d.plan.Name + " goes with the last logout, for the file system of " + filepath.Dir(d.plan.PIDPath()) +
			" does not name the holder of a lock: set " + d.plan.Setting("PIDFile") + ", or see loginctl enable-linger")
	}
}

func (v *printer) reload(ctx context.Context, o ReloadOptions) error {
	over := v.outliveStop(ctx)
	r, err := v.d.requestReload(ctx, o, v.watcher("Reloading"))
	if over() && err != nil && !errors.Is(err, ErrStopping) {
		err = outside.ToldToStop(v.d.plan, r.Old)
	}
	v.object(func() map[string]any { return reloadObject(r, err) }, err)
	return v.finish(err)
}

func (v *printer) status(ctx context.Context, o StatusOptions) error {
	s, err := v.d.status(ctx, o, v.watcher(""))
	return v.reported(s, err)
}

func (v *printer) reported(s Status, err error) error {
	if err != nil {
		v.object(failedObject(err), err)
		return v.finish(err)
	}
	answer := s.String() + "\n"
	switch {
	case v.out.into != nil:
		*v.out.into, answer = s.object(), ""
	case v.out.JSON:
		answer = string(pyjson.Append(nil, s.object())) + "\n"
	case v.out.Quiet:
		answer = "" // the exit code says it
	}
	if _, err := io.WriteString(v.out.Out, answer); err != nil && answer != "" {
		return v.unheard(err)
	}
	if !s.Running {
		return &Error{Op: "status", Name: s.Name, Code: s.ExitCode(), Err: v.d.plan.NotRunning("status").Err, Shown: true}
	}
	return nil
}

// left says what has outlived the daemon in its process group.
func (v *printer) left(s Stopped, o StopOptions) {
	if len(s.Left) == 0 {
		return
	}
	pids := plan.PIDs(s.Left)
	what := plural(len(s.Left), "A process", "%d processes") + " of the process group of " + v.d.plan.Name
	if o.Force {
		v.Warn(what + plural(len(s.Left), " was", " were") + " left and killed (PID " + pids + ")")
		return
	}
	v.Warn(what + plural(len(s.Left), " is", " are") + " still running (PID " + pids + ")")
}

// finish prints what went wrong. What is fine for the command line is a warning
// and no error.
func (v *printer) finish(err error) error {
	err = public(err)
	e, is := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return nil
	case v.needed && is && errors.Is(err, ErrAlreadyRunning) && e.Op == "start":
		v.lines.Warn(e.Err.Error())
		return MarkShown(err)
	case errors.Is(err, ErrAlreadyRunning) && is && e.Op == "start",
		errors.Is(err, ErrNotRunning) && is && e.Op == "stop",
		errors.Is(err, ErrStopping):
		v.warn(err)
		return nil
	}
	return v.failed(err)
}

func (v *printer) warn(err error) {
	err = public(err)
	if e, is := errors.AsType[*Error](err); is {
		err = e
	}
	v.Warn(inLine(err))
}

func (v *printer) failed(err error) error {
	err = public(err)
	v.explain(err)
	return MarkShown(err)
}

// unheard: the answer did not reach who asked for it. One who has gone away need
// not be told so.
func (v *printer) unheard(err error) error {
	e := v.d.plan.Fail("status", fmt.Errorf("print the answer: %w", err))
	if errors.Is(err, syscall.EPIPE) {
		e.Code, e.Shown = exitPipe, true
	}
	return v.failed(e)
}

// explain prints the error's line and what is known beyond it.
func (v *printer) explain(err error) {
	err = public(err)
	e, is := errors.AsType[*Error](err)
	switch {
	case Shown(err):
		return
	case !is:
		v.Error(inLine(err))
		return
	case e == err:
		v.Error(inLine(e))
		if e.Reason != "" && e.Reason != fault.TextOf(e.Err) {
			v.Reason(e.Reason)
		}
	default: // somebody had more to say about it
		v.Error(inLine(err))
	}
	v.Stderr(e.Stderr)
	v.Stdout(e.Stdout)
	if e.Hint != "" {
		v.Hint(e.Hint)
	}
}

// object prints the outcome for programs. Where nothing was tried there is none.
func (v *printer) object(make func() map[string]any, err error) {
	err = public(err)
	if !v.out.JSON || errors.Is(err, ErrUsage) {
		return
	}
	m := make()
	m["name"], m["error"], m["reason"], m["code"] = nil, nil, nil, int64(ExitCode(err))
	if err != nil {
		m["error"] = err.Error()
	}
	e, known := errors.AsType[*Error](err)
	switch {
	case v.d != nil:
		m["name"] = v.d.plan.Name
	case known:
		m["name"] = e.Name
	}
	if known {
		if e == err {
			m["error"] = fault.TextOf(e.Err)
		}
		if e.Reason != "" {
			m["reason"] = e.Reason
		}
		if m["pid"] == nil && e.PID > 0 {
			m["pid"] = int64(e.PID)
		}
		if fine := m["outcome"]; fine == outcomeOf(ErrAlreadyRunning) && e.Op == "start" && !v.needed ||
			fine == outcomeOf(ErrNotRunning) && e.Op == "stop" || fine == outcomeOf(ErrStopping) {
			m["code"] = int64(0)
		}
	}
	if v.out.into != nil {
		*v.out.into = m
		return
	}
	_, lost := fmt.Fprintf(v.out.Out, "%s\n", pyjson.Append(nil, m))
	if lost != nil && !errors.Is(lost, syscall.EPIPE) {
		v.lines.Warn("The outcome could not be printed: " + lost.Error())
	}
}

// outcome is the object of an action that starts something: none on a
// super-server's socket.
func (v *printer) outcome(make func() map[string]any, err error) {
	if !environ.SuperServer() {
		v.object(make, err)
	}
}

func failedObject(err error) func() map[string]any {
	return func() map[string]any { return map[string]any{"outcome": outcomeOf(err)} }
}

func startObject(s Started, err error) map[string]any {
	outcome := outcomeOf(err)
	switch {
	case err == nil && s.Ended:
		outcome = "ended"
	case err == nil && s.Ready:
		outcome = "ready"
	case err == nil:
		outcome = "alive"
	}
	return map[string]any{"outcome": outcome, "pid": number(s.PID), "seconds": s.Took.Seconds()}
}

func stopObject(s Stopped, err error) map[string]any {
	outcome := outcomeOf(err)
	switch {
	case err == nil && s.Killed:
		outcome = "killed"
	case err == nil:
		outcome = "stopped"
	}
	return map[string]any{"outcome": outcome, "pid": number(s.PID), "seconds": s.Took.Seconds(), "left": numbers(s.Left)}
}

func reloadObject(r Reloaded, err error) map[string]any {
	outcome := outcomeOf(err)
	if err == nil {
		outcome = "reloaded"
	}
	return map[string]any{"outcome": outcome, "pid": number(r.PID), "old": number(r.Old), "generation": int64(r.Generation), "seconds": r.Took.Seconds()}
}

func number(pid int) any {
	if pid == 0 {
		return nil
	}
	return int64(pid)
}

// outcomeOf is the word that CONTRACT lists for an error.
func outcomeOf(err error) string {
	for _, o := range []struct {
		is   error
		word string
	}{
		{ErrAlreadyRunning, "already running"},
		{ErrNotRunning, "not running"},
		{ErrDied, "died"},
		{ErrStillStarting, "still starting"},
		{ErrStartCancelled, "cancelled"},
		{ErrStopTimeout, "timed out"},
		{ErrBlocked, "blocked"},
		{ErrHeldElsewhere, "unknown"},
		{ErrManaged, "managed"},
		{ErrStopping, "stopping"},
	} {
		if errors.Is(err, o.is) {
			return o.word
		}
	}
	return "failed"
}

func numbers(pids []int) []any {
	list := make([]any, len(pids))
	for i, pid := range pids {
		list[i] = int64(pid)
	}
	return list
}

// outliveStop is for an action that the daemon's own service runs, as ExecReload= does: a
// stop by the manager sends SIGTERM to it as well, and its end by that would be the
// service's failure. over gives the signals back, and reports whether there was one.
func (v *printer) outliveStop(ctx context.Context) (over func() bool) {
	pid := v.d.running(ctx)
	if pid == 0 {
		return func() bool { return false }
	}
	if s, ok := systemd.ServiceOf(pid); !ok || !s.Has(os.Getpid()) {
		return func() bool { return false }
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	return func() bool {
		signal.Stop(c)
		return len(c) > 0
	}
}
