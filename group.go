package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/outside"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/pyjson"
	"github.com/daemonocle/daemonocle/internal/template"
)

// Group is a number of daemons that have one worker, and one Config in which {n}
// stands for the worker's number. Its methods act on all of them at the same
// time; they may be called concurrently, and by the same processes as those of a
// Daemon.
type Group struct {
	cfg       Config
	name      string
	size      int
	templates map[string]template.Template // by setting

	mu      sync.Mutex
	daemons []*Daemon // nil: not made yet
}

// NewGroup makes a group of daemons, whose numbers begin with 0. In Name, PIDFile,
// StdoutFile, StderrFile, WorkDir and ChrootDir, and in the paths that the Layout
// gives, {n} is the worker's number, and so it is in Args and Env of a Program;
// {n:0>4} and {n:04} are four digits wide; {{ and }} are braces. Each worker needs a
// PID file of its own; log files may be shared.
//
// Like New it starts and creates nothing, may be called in any process, and says
// all that is wrong in one error.
func NewGroup(c Config, workers int) (*Group, error) {
	g := &Group{cfg: c, size: workers, templates: map[string]template.Template{}}
	var problems []error
	bad := func(setting, value string, err error, hint string) {
		problems = append(problems, &ConfigError{Setting: setting, Value: value, Err: err, Hint: hint})
	}
	if workers < 1 {
		bad("Workers", strconv.Itoa(workers), errors.New("is fewer than one worker"), "a group needs one or more")
	}
	if workers > 1 && c.Foreground {
		bad("Foreground", "", errors.New("is for one worker"), "leave it false, and start one worker with the debug option")
	}
	if c.PIDFile == "" && c.Layout == nil {
		bad("PIDFile", "", errors.New("is missing"), "give each worker its own, such as /run/name{n}.pid")
	}
	for _, s := range g.settings(&c) {
		t, err := template.Parse(*s.value)
		if err != nil {
			bad(s.name, *s.value, err, "write {n} for the worker's number, {n:0>4} for four digits of it, and {{ or }} for a brace")
		}
		g.templates[s.name] = t
	}
	if f := foreignOf(c.Worker); f != nil {
		_, found := f.member(0)
		problems = append(problems, configErrors(found)...)
	}
	if len(problems) > 0 {
		return nil, c.refused(problems)
	}
	g.name = strings.Trim(g.templates["Name"].Plain(), " -_.:#")
	if g.name == "" {
		g.name = filepath.Base(os.Args[0])
	}
	g.daemons = make([]*Daemon, workers)
	if n := g.launched(); n >= 0 {
		// The others are made when somebody asks for them: in a group of a
		// thousand, each of the thousand makes one.
		_, err := g.Daemon(n)
		return g, err
	}
	files := map[string]int{}
	for n := range workers {
		path := g.pidFile(n)
		if other, ok := files[path]; ok && path != "" {
			bad("PIDFile", path, fmt.Errorf("is that of the workers %d and %d", other, n), "write {n} where the number belongs")
			break
		}
		files[path] = n
		if _, err := g.Daemon(n); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return nil, c.refused(problems)
	}
	return g, nil
}

// setting is one that may hold {n}.
type setting struct {
	name  string
	value *string
}

func (g *Group) settings(c *Config) []setting {
	return []setting{
		{"Name", &c.Name}, {"PIDFile", &c.PIDFile}, {"StdoutFile", &c.StdoutFile},
		{"StderrFile", &c.StderrFile}, {"WorkDir", &c.WorkDir}, {"ChrootDir", &c.ChrootDir},
	}
}

// launched is the number of the worker for which this process was launched, -1 if
// it was not.
func (g *Group) launched() int {
	c := launch.Self()
	if c == nil || c.Claimed() || g.size == 1 {
		return -1
	}
	n, err := strconv.Atoi(c.Key.Member)
	if err != nil || n < 0 || n >= g.size || g.templates["Name"].Expand(n) != c.Key.Name && g.cfg.Name != "" {
		return -1
	}
	return n
}

// Daemon gives the daemon that is worker n.
func (g *Group) Daemon(n int) (*Daemon, error) {
	if n < 0 || n >= g.size {
		return nil, g.outOfRange(n)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.daemons[n] != nil {
		return g.daemons[n], nil
	}
	c := g.cfg
	for _, s := range g.settings(&c) {
		*s.value = g.templates[s.name].Expand(n)
	}
	if layout := c.Layout; layout != nil {
		c.Layout = func(name string) (Paths, error) { return expandPaths(layout, name, n) }
	}
	if f := foreignOf(c.Worker); f != nil {
		c.Worker, _ = f.member(n) // whose templates NewGroup has read
	}
	d, err := newDaemon(&c, plan.Member{N: n, Of: g.size})
	if err != nil {
		return nil, fmt.Errorf("worker %d: %w", n, err)
	}
	g.daemons[n] = d
	return d, nil
}

// pidFile is what the worker's PID file will be; empty if that cannot be told.
func (g *Group) pidFile(n int) string {
	if g.cfg.PIDFile != "" || g.cfg.Layout == nil {
		return g.templates["PIDFile"].Expand(n)
	}
	p, err := expandPaths(g.cfg.Layout, g.templates["Name"].Expand(n), n)
	if err != nil {
		return ""
	}
	return p.PIDFile
}

func (g *Group) outOfRange(n int) error {
	return fmt.Errorf("there is no worker %d: the workers of %s are 0 to %d", n, g.name, g.size-1)
}

func expandPaths(layout Layout, name string, n int) (Paths, error) {
	p, err := layout(name)
	for _, value := range []*string{&p.PIDFile, &p.StdoutFile, &p.StderrFile, &p.WorkDir, &p.Private, &p.Prefix, &p.Earlier[0], &p.Earlier[1], &p.Earlier[2]} {
		t, bad := template.Parse(*value)
		if bad != nil && err == nil {
			err = fmt.Errorf("its path %q %w", *value, bad)
		}
		*value = t.Expand(n)
	}
	return p, err
}

// Name of the group: Config.Name without the number.
func (g *Group) Name() string { return g.name }

// Help is Config.Help.
func (g *Group) Help() string { return g.cfg.Help }

// Size is the number of workers.
func (g *Group) Size() int { return g.size }

// Actions lists the names that Do knows.
func (g *Group) Actions() []string { return g.some().Actions() }

// some is any of the daemons: they have the same actions.
func (g *Group) some() *Daemon {
	g.mu.Lock()
	i := slices.IndexFunc(g.daemons, func(d *Daemon) bool { return d != nil })
	g.mu.Unlock()
	return g.daemons[i]
}

// claim turns a launched process into its daemon; see Daemon.claim.
func (g *Group) claim(ctx context.Context, args []string) (done bool, err error) {
	if !waitingForClaim() {
		return false, nil
	}
	return g.some().claim(ctx, args) // the only one there is, if it is ours
}

// all makes those that were not made yet.
func (g *Group) all() ([]*Daemon, error) {
	var list []*Daemon
	for n := range g.size {
		d, err := g.Daemon(n)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// Start starts the workers that do not run, all in one session and each in a
// process group of its own, and returns when it is known what became of each: in
// the order of their numbers. The error joins those of the workers, each an
// *Error; that one of them runs already is among them, and keeps no other from
// starting. See Daemon.Start.
//
// Only one worker can be in the foreground, or in the place of a process that a
// service manager or a container has started: use Daemon(n).
func (g *Group) Start(ctx context.Context, o StartOptions) ([]Started, error) {
	if done, err := g.claim(ctx, o.Args); done {
		return []Started{{Skipped: true}}, err
	}
	list, err := g.all()
	if err != nil {
		return nil, public(g.fail("start", err))
	}
	started, errs := make([]Started, len(list)), make([]error, len(list))
	if err := g.startAll(ctx, list, o, make([]outside.Watcher, len(list)), func(i int, s Started, err error) {
		started[i], errs[i] = s, err
	}); err != nil {
		return nil, public(err)
	}
	return started, joined(errs)
}

// startAll calls over for each, in any order and from any goroutine.
func (g *Group) startAll(ctx context.Context, list []*Daemon, o StartOptions, watchers []outside.Watcher, over func(int, Started, error)) error {
	if len(list) == 1 {
		s, err := list[0].start(ctx, o, &watchers[0])
		over(0, s, err)
		return nil
	}
	if err := list[0].refused("start", o.Args); err != nil {
		return err
	}
	if err := g.cannotStart(o); err != nil {
		return err
	}
	outside.StartAll(ctx, launchers(list), o.outside(ctx), watchers, func(i int, s outside.Started, err error) { over(i, started(s), err) })
	return nil
}

// cannotStart: what takes the place of this process can be only one.
func (g *Group) cannotStart(o StartOptions) *fault.Fault {
	var e *fault.Fault
	switch place := outside.Where(); {
	case o.NotifyFD != 0:
		e = g.fail("start", errors.New("only one worker can say that it is ready")).Misused()
		e.Hint = "Name one of them, as with --worker-id."
	case o.Debug:
		e = g.fail("start", errors.New("only one worker can be in the foreground")).Misused()
		e.Hint = "Name one of them, as with --worker-id."
	case place == environ.Init:
		e = g.fail("start", errors.New("PID 1 can start only one worker"))
		e.Hint = "Name one of them, as with --worker-id, and give each its own container."
	case place == environ.First:
		e = g.fail("start", errors.New("a container's first process can start only one worker"))
		e.Hint = "Name one of them, as with --worker-id, and give each its own container."
	case place == environ.Socket:
		e = g.fail("start", errors.New("a super-server can start only one worker"))
		e.Hint = "Name one of them, as with --worker-id."
	case !outside.Detaches(place):
		e = g.fail("start", errors.New("a service manager can start only one worker"))
		e.Hint = "Name one of them, as with --worker-id, in a unit of its own: a template unit can say --worker-id=%i."
	}
	return e
}

// Stop stops the workers and returns when all are gone. The error joins those of
// the workers, each an *Error; that one does not run is among them. See
// Daemon.Stop.
func (g *Group) Stop(ctx context.Context, o StopOptions) ([]Stopped, error) {
	if waitingForClaim() {
		return []Stopped{{Skipped: true}}, nil
	}
	list, err := g.all()
	if err != nil {
		return nil, public(g.fail("stop", err))
	}
	stopped, errs := make([]Stopped, len(list)), make([]error, len(list))
	stopAll(ctx, "stop", list, o, make([]outside.StopWatcher, len(list)), func(i int, s Stopped, err error) {
		stopped[i], errs[i] = s, err
	})
	return stopped, joined(errs)
}

// joined is what users get of the errors of several daemons.
func joined(errs []error) error {
	list := make([]error, len(errs))
	for i, err := range errs {
		list[i] = public(err)
	}
	return errors.Join(list...)
}

// stopAll calls over for each, in any order and from any goroutine.
func stopAll(ctx context.Context, op string, list []*Daemon, o StopOptions, watchers []outside.StopWatcher, over func(int, Stopped, error)) {
	managers := outside.NewManagers()
	outside.Each(len(list), func(i int) {
		w := &watchers[i]
		w.Managers = managers
		s, err := list[i].stop(ctx, op, o, w)
		over(i, s, err)
	})
}

// Restart stops the workers, and starts those that could be stopped or did not
// run. Before, one new process shows that it can come up as far as possible beside those
// that run; else nothing is stopped. See Daemon.Restart.
func (g *Group) Restart(ctx context.Context, o RestartOptions) ([]Restarted, error) {
	if done, err := g.claim(ctx, o.Start.Args); done {
		return []Restarted{{Started: Started{Skipped: true}}}, err
	}
	list, err := g.all()
	if err != nil {
		return nil, public(g.fail("restart", err))
	}
	r := newRestarting(list)
	if err := r.mayRestart(ctx, g, o, &outside.Watcher{}); err != nil {
		return nil, public(err)
	}
	stopAll(ctx, "restart", list, o.Stop, make([]outside.StopWatcher, len(list)), func(i int, s Stopped, err error) { r.stopped(ctx, i, s, err) })
	left, at := r.left()
	if len(left) > 0 {
		err = g.startAll(ctx, left, o.Start, r.watchers(make([]outside.Watcher, len(left))), func(i int, s Started, err error) { r.started(at[i], s, err) })
	}
	if err != nil {
		return nil, public(err)
	}
	return r.results, joined(r.errs)
}

// restarting collects what becomes of a restart.
type restarting struct {
	began   time.Time
	list    []*Daemon
	results []Restarted
	errs    []error
	missing []error // it did not run
	checkup *outside.Checkup
}

func newRestarting(list []*Daemon) *restarting {
	n := len(list)
	return &restarting{time.Now(), list, make([]Restarted, n), make([]error, n), make([]error, n), &outside.Checkup{}}
}

// watchers makes the starts part of the restart.
func (r *restarting) watchers(list []outside.Watcher) []outside.Watcher {
	for i := range list {
		list[i].Checkup = r.checkup
	}
	return list
}

// mayRestart is asked before anything is stopped: one worker is tried beside those that
// run, since they are the same program.
func (r *restarting) mayRestart(ctx context.Context, g *Group, o RestartOptions, w *outside.Watcher) error {
	if err := r.list[0].mayRestart(o.Start); err != nil {
		return err
	}
	if len(r.list) > 1 {
		if err := g.cannotStart(o.Start); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(r.list, func(d *Daemon) bool { return d.running(ctx) != 0 })
	if i < 0 {
		return nil
	}
	w.Checkup = r.checkup
	return r.list[i].launcher(nil).MayRestart(ctx, o.Start.outside(ctx), w)
}

func (r *restarting) stopped(ctx context.Context, i int, s Stopped, err error) {
	r.results[i].Stopped, r.results[i].Took = s, time.Since(r.began)
	if errors.Is(err, ErrNotRunning) {
		r.missing[i], err = err, nil
	}
	r.errs[i] = outside.Interrupted(ctx, r.list[i].plan, s.PID, err)
}

// left are those to start, and where they are in the list.
func (r *restarting) left() (list []*Daemon, at []int) {
	for i, d := range r.list {
		if r.errs[i] == nil {
			list, at = append(list, d), append(at, i)
		}
	}
	return list, at
}

func (r *restarting) started(i int, s Started, err error) {
	r.results[i].Started, r.results[i].Took = s, time.Since(r.began)
	r.errs[i] = outside.Down(r.list[i].plan, r.results[i].Stopped.PID, err)
}

// RequestReload asks the workers to reload, one after the other, in the order of their
// numbers. See Daemon.RequestReload.
func (g *Group) RequestReload(ctx context.Context, o ReloadOptions) ([]Reloaded, error) {
	list, err := g.all()
	if err != nil {
		return nil, public(g.fail("reload", err))
	}
	var results []Reloaded
	var errs []error
	for _, d := range list {
		r, err := d.RequestReload(ctx, o)
		results, errs = append(results, r), append(errs, err)
	}
	return results, errors.Join(errs...)
}

// Status says how each worker is, in the order of their numbers, measured at the
// same time. The error joins those of the workers. See Daemon.Status.
func (g *Group) Status(ctx context.Context, o StatusOptions) ([]Status, error) {
	list, err := g.all()
	if err != nil {
		return nil, public(g.fail("status", err))
	}
	all, errs := statusAll(ctx, list, o, make([]outside.Watcher, len(list)))
	return all, joined(errs)
}

// StatusAll is Status for any daemons: it looks at the machine's processes once, and
// measures their CPU use in one window. The errors are in the order of the daemons,
// nil where there is none.
func StatusAll(ctx context.Context, o StatusOptions, daemons ...*Daemon) ([]Status, []error) {
	all, errs := statusAll(ctx, daemons, o, make([]outside.Watcher, len(daemons)))
	for i, err := range errs {
		errs[i] = public(err)
	}
	return all, errs
}

// Do runs the action that args[0] names on all workers, prints a line for each in
// the order of their numbers, and returns nil exactly if the exit code is 0; the
// code is that of the first worker that failed. A status as text is fine whatever
// it says; as JSON, and quiet, its exit code is 1 unless all workers run. An
// action of the program's own is called for one worker after the other. See
// Daemon.Do.
func (g *Group) Do(ctx context.Context, args ...string) error {
	if len(args) == 0 {
		if done, err := g.claim(ctx, nil); done {
			return err
		}
		return g.some().usage()
	}
	return g.dispatch(ctx, Output{}, args[0], args[1:], nil, func(a *Action) (any, error) { return a.filled(nil) })
}

// DoWith runs the action of that name on all workers like Do, with its options as
// a value; see Daemon.DoWith.
func (g *Group) DoWith(ctx context.Context, out Output, name string, options any, args ...string) error {
	return g.dispatch(ctx, out, name, args, nil, func(a *Action) (any, error) { return a.typed(options) })
}

// Invoke runs the action of that name like Do, with the values that a command
// line has found for its options: what package cli calls. The option worker-id
// names the one worker to act on.
func (g *Group) Invoke(ctx context.Context, out Output, name string, options map[string][]string, args ...string) error {
	out.optioned = true
	return g.dispatch(ctx, out, name, args, options, func(a *Action) (any, error) {
		return a.forCommandLine().filled(withoutWorkerID(a, options))
	})
}

const workerID = "worker-id"

func withoutWorkerID(a *Action, options map[string][]string) map[string][]string {
	if a.forCommandLine().has(workerID) {
		return options // it is the action's own
	}
	rest := map[string][]string{}
	for name, values := range options {
		if name != workerID {
			rest[name] = values
		}
	}
	return rest
}

func (a *Action) has(option string) bool {
	return slices.ContainsFunc(a.bound.options, func(o Option) bool { return o.Name == option })
}

// Specs describes the actions, in the order of Actions. To the options of each is
// added worker-id.
func (g *Group) Specs() []ActionSpec {
	type options struct {
		ID int `name:"worker-id" meta:"INTEGER"`
	}
	bound, err := bind(reflect.TypeFor[options]())
	if err != nil {
		panic(err)
	}
	specs := g.some().Specs()
	for i := range specs {
		s := &specs[i]
		if slices.ContainsFunc(s.Options, func(o Option) bool { return o.Name == workerID }) {
			continue
		}
		id := bound.options[0]
		id.Help = "The ID of the worker to act on."
		switch s.Name {
		case "start", "stop", "restart", "reload":
			id.Help = "The ID of the worker to " + s.Name + "."
		case "status":
			id.Help = "The ID of the worker whose status to get."
		case "logs":
			id.Help = "The ID of the worker whose logs to show."
		}
		s.Options = slices.Insert(s.Options, 0, id)
	}
	return specs
}

// chosen are the workers to act on.
func (g *Group) chosen(given map[string][]string) ([]*Daemon, error) {
	values := given[workerID]
	if len(values) == 0 {
		return g.all()
	}
	text := values[len(values)-1]
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("option --%s: %q is not a whole number", workerID, text)
	}
	d, err := g.Daemon(n)
	if err != nil && (n < 0 || n >= g.size) {
		err = fmt.Errorf("option --%s: %w", workerID, err)
	}
	return []*Daemon{d}, err
}

func (g *Group) dispatch(ctx context.Context, out Output, name string, args []string, given map[string][]string, options func(*Action) (any, error)) error {
	if done, err := g.claim(ctx, args); done {
		return err
	}
	some := g.some()
	actions := some.actions()
	i := slices.IndexFunc(actions, func(a Action) bool { return a.name == name })
	if i < 0 {
		return some.dispatch(ctx, out, name, args, options) // it says so
	}
	a := &actions[i]
	if a.forCommandLine().has(workerID) {
		given = nil
	}
	list, err := g.chosen(given)
	if err != nil {
		return newPrinter(some, out).failed(g.fail(name, err).Misused())
	}
	c := &groupPrinter{g: g, out: out.steady(), list: list}
	if !a.builtin {
		return c.oneByOne(func(d *Daemon, out Output) error {
			return d.call(ctx, a, out, args, func() (any, error) { return options(a) })
		})
	}
	o, err := options(a)
	if err == nil && !a.args {
		err = unexpected(args)
	}
	if err != nil {
		return newPrinter(some, out).failed(g.fail(name, err).Misused())
	}
	switch o := o.(type) {
	case StartOptions:
		o.Args = append(o.Args, args...)
		return c.start(ctx, o)
	case StopOptions:
		return c.stop(ctx, o)
	case RestartOptions:
		o.Start.Args = append(o.Start.Args, args...)
		return c.restart(ctx, o)
	case ReloadOptions:
		return c.reload(ctx, o)
	case LogsOptions:
		if out.JSON {
			return c.oneByOne(func(d *Daemon, out Output) error { return newPrinter(d, out).logs(ctx, o, d.Logs) })
		}
		return newPrinter(some, out).logs(ctx, o, func(ctx context.Context, w io.Writer, o LogsOptions) error {
			return outside.Logs(ctx, w, plans(list...), outside.LogsOptions(o), g.fail)
		})
	}
	return c.status(ctx, o.(StatusOptions))
}

// groupPrinter prints what becomes of several daemons, in the order of the list.
type groupPrinter struct {
	g    *Group
	out  Output
	list []*Daemon

	printers []*printer
	turns    []*console.Turn
	objects  []map[string]any
	errs     []error
}

// prepare gives each its printer. One alone needs no turn: what its worker writes to
// the same terminal has its place behind the line of the start.
func (c *groupPrinter) prepare() {
	c.printers, c.turns = nil, nil
	c.objects, c.errs = make([]map[string]any, len(c.list)), make([]error, len(c.list))
	for i, d := range c.list {
		v := &printer{d: d, out: c.out}
		if c.out.JSON {
			v.out.into = &c.objects[i]
		}
		if len(c.list) == 1 {
			v.lines = c.out.console()
		} else {
			t := console.NewTurn()
			c.turns = append(c.turns, t)
			v.lines = t
		}
		c.printers = append(c.printers, v)
	}
}

// over is the last word of one.
func (c *groupPrinter) over(i int, err error) {
	c.errs[i] = err
	if len(c.turns) > 0 {
		c.turns[i].Done()
	}
}

// perform calls act, which calls over for each, and prints meanwhile. An error of
// act means that it has called none.
func (c *groupPrinter) perform(act func() error) error {
	if len(c.turns) == 0 {
		return act()
	}
	return c.out.console().PlayWhile(c.turns, act)
}

// finish prints the outcomes for programs, and gives the error of the whole.
func (c *groupPrinter) finish(err error) error {
	if err != nil {
		return newPrinter(c.list[0], c.out).failed(err)
	}
	objects := slices.DeleteFunc(c.objects, func(m map[string]any) bool { return m == nil })
	if len(objects) > 0 {
		text := pyjson.AppendArray(nil, objects, console.Width(c.out.Out))
		if _, err := c.out.Out.Write(text); err != nil {
			c.errs = append(c.errs, newPrinter(c.list[0], c.out).unheard(err))
		}
	}
	return errors.Join(c.errs...)
}

func (c *groupPrinter) watchers(doing string) []outside.Watcher {
	var list []outside.Watcher
	for _, v := range c.printers {
		list = append(list, *v.watcher(doing))
	}
	return list
}

func (c *groupPrinter) stopWatchers() []outside.StopWatcher {
	var list []outside.StopWatcher
	for _, v := range c.printers {
		list = append(list, *v.stopWatcher())
	}
	return list
}

func (c *groupPrinter) start(ctx context.Context, o StartOptions) error {
	c.prepare()
	return c.finish(c.perform(func() error {
		return c.g.startAll(ctx, c.list, o, c.watchers("Starting"), func(i int, s Started, err error) {
			c.over(i, c.printers[i].started(s, err))
		})
	}))
}

func (c *groupPrinter) stop(ctx context.Context, o StopOptions) error {
	c.prepare()
	return c.finish(c.perform(func() error {
		stopAll(ctx, "stop", c.list, o, c.stopWatchers(), func(i int, s Stopped, err error) {
			c.over(i, c.printers[i].stopped(s, o, err))
		})
		return nil
	}))
}

// restart has all lines of the stop before those of the start.
func (c *groupPrinter) restart(ctx context.Context, o RestartOptions) error {
	r := newRestarting(c.list)
	c.prepare()
	until, calm := (&outside.Watcher{Interrupts: true}).Interruptible(ctx)
	err := r.mayRestart(until, c.g, o, &outside.Watcher{Interrupts: true})
	if err == nil {
		err = c.perform(func() error {
			stopAll(until, "restart", c.list, o.Stop, c.stopWatchers(), func(i int, s Stopped, err error) {
				r.stopped(until, i, s, err)
				if r.missing[i] != nil {
					c.printers[i].warn(r.missing[i])
				}
				if err = r.errs[i]; err != nil {
					err = c.printers[i].restarted(r.results[i], o, err)
				}
				c.over(i, err)
			})
			return nil
		})
	}
	calm()
	if err != nil {
		return c.finish(err)
	}
	failed, objects := c.errs, c.objects
	left, at := r.left()
	if len(left) > 0 {
		second := &groupPrinter{g: c.g, out: c.out, list: left}
		second.prepare()
		err = second.perform(func() error {
			return c.g.startAll(ctx, left, o.Start, r.watchers(second.watchers("Starting")), func(i int, s Started, err error) {
				r.started(at[i], s, err)
				second.over(i, second.printers[i].restarted(r.results[at[i]], o, r.errs[at[i]]))
			})
		})
		for i, n := range at {
			failed[n], objects[n] = second.errs[i], second.objects[i]
		}
	}
	return c.finish(err)
}

// reload is one after the other, so that only one worker at a time is there twice.
func (c *groupPrinter) reload(ctx context.Context, o ReloadOptions) error {
	c.prepare()
	return c.finish(c.perform(func() error {
		for i, v := range c.printers {
			c.over(i, v.reload(ctx, o))
		}
		return nil
	}))
}

func (c *groupPrinter) status(ctx context.Context, o StatusOptions) error {
	c.prepare()
	if c.out.JSON && len(c.list) > 1 && len(o.Fields) > 0 && !slices.Contains(o.Fields, "name") {
		o.Fields = append(slices.Clone(o.Fields), "name") // or nobody could tell one object from the next
	}
	statuses, errs := statusAll(ctx, c.list, o, c.watchers(""))
	lines := c.out.console()
	for i, v := range c.printers {
		if len(c.turns) > 0 {
			c.turns[i].Done()
			c.turns[i].Play(lines)
			v.lines = lines
		}
		c.errs[i] = v.reported(statuses[i], errs[i])
		e, is := errors.AsType[*fault.Fault](c.errs[i])
		gone := is && e.Code == exitPipe
		if errors.Is(c.errs[i], ErrNotRunning) && !c.out.JSON && !c.out.Quiet {
			c.errs[i] = nil // the text says it
		}
		if gone {
			break
		}
	}
	return c.finish(nil)
}

// oneByOne calls an action of the program's own.
func (c *groupPrinter) oneByOne(call func(*Daemon, Output) error) error {
	c.prepare()
	for i, d := range c.list {
		out := c.out
		out.into = c.printers[i].out.into
		c.errs[i] = call(d, out)
	}
	return c.finish(nil)
}
