package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/options"
	"github.com/daemonocle/daemonocle/internal/pyjson"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// Action is something that a program can be asked to do with its daemon, such
// as start. Make one with NewAction and put it into Config.Actions; one that has
// the name of a built-in action takes its place.
type Action struct {
	name, help string
	typ        reflect.Type
	run        func(context.Context, *Call, any) error

	// bind reads the options' tags. It is nil for the built-in actions, which
	// need it only for a command line: a program that has neither that nor actions
	// of its own does not link it.
	bind    func(reflect.Type) (binding, error)
	bound   binding
	builtin bool
	args    bool // takes arguments beyond its options
}

// NewAction makes an action from a function and its options, which are the
// fields of T. Their tags say more:
//
//	name:"max-age"     instead of the field's own name; "-": no option
//	short:"m"          one letter
//	help:"..."         one sentence
//	default:"10s"      for a bool, "true" makes the option --no-NAME as well
//	enum:"tcp,udp"     the only values
//	env:"APP_MAX_AGE"  variable that stands in for the option, unless it is empty
//	required:"true"    the option or its variable must be there
//	sep:","            of a slice: one value is several
//	meta:"SECONDS"     what help shows for the value
//	inline:"true"      of a struct: its fields are options, as if it were embedded
//
// Fields are strings, bools, numbers, time.Duration (a bare number is seconds),
// anything that implements encoding.TextUnmarshaler (which may be asked more
// than once about one value), or slices of these: the option may be repeated.
// Use struct{} where there are none. Mistakes in the tags are errors from New.
//
// The function's error is printed, in its own words, and ExitCode says what it means;
// an *Error may have a hint, and a Capital. A panic is an error as well; its stack is
// printed, and the exit code is 1.
func NewAction[T any](name, help string, run func(ctx context.Context, c *Call, options T) error) Action {
	return Action{name: name, help: help, typ: reflect.TypeFor[T](), bind: bind, args: true,
		run: func(ctx context.Context, c *Call, o any) error { return run(ctx, c, o.(T)) }}
}

// Call is one call of an action.
type Call struct {
	Daemon *Daemon
	Output          // Out and Err are never nil
	Args   []string // what followed the action and its options

	// Result is what the action has found out, for programs: with JSON it is in the
	// object that is printed, and else nothing is done with it. It may be a string, a
	// bool, a number, a slice, a map with strings as keys, or a struct.
	Result any

	action string
}

// Builtin runs the built-in action that this one has taken the place of, with
// its options: StartOptions, StopOptions, RestartOptions, StatusOptions, ReloadOptions
// or LogsOptions; nil: the defaults. What it returns has been printed, so that an action may return
// it as it is.
func (c *Call) Builtin(ctx context.Context, options any) error {
	for _, a := range c.Daemon.builtin() {
		if a.name == c.action {
			return c.Daemon.call(ctx, &a, c.Output, c.Args, func() (any, error) { return a.typed(options) })
		}
	}
	return public(c.Daemon.plan.Fail(c.action, fmt.Errorf("there is no built-in action %q", c.action)))
}

// Color says whether to use colours.
type Color int

const (
	ColorAuto   Color = iota // on a terminal, as NO_COLOR and its kin say
	ColorAlways              // also into files and pipes
	ColorNever
)

var colors = [...]string{"auto", "always", "never"}

func (c Color) String() string {
	if c < 0 || int(c) >= len(colors) {
		return fmt.Sprintf("Color(%d)", int(c))
	}
	return colors[c]
}

// UnmarshalText reads auto, always or never.
func (c *Color) UnmarshalText(text []byte) error {
	i := slices.Index(colors[:], string(text))
	if i < 0 {
		return fmt.Errorf("%q is not one of %s", text, strings.Join(colors[:], ", "))
	}
	*c = Color(i)
	return nil
}

// Output says where and how an action prints. The zero value is the process's
// stdout and stderr.
type Output struct {
	Out, Err io.Writer
	Color    Color
	// JSON makes actions print one object with the outcome on Out, and nothing else
	// there. Of an action of the program's own, what it has printed and Call.Result
	// are in the object; one that has an option json of its own prints what it wants.
	JSON bool
	// Quiet makes the built-in actions print nothing but errors: the exit code of
	// status is its answer.
	Quiet bool

	optioned bool // who reads has given options by name, and knows them

	into *map[string]any // takes the object instead of Out; nil: nothing does
}

// Explain prints an error as the actions do: an ERROR line, what the daemon had
// to say, and what can be done. The text of an *Error begins as its Capital says, that of
// any other error as it is. An error that was shown before is not printed
// again. With JSON there is an object on Out as well, unless the call was a mistake.
// What it returns is the same error, now shown; see Shown.
func (o Output) Explain(err error) error {
	if err == nil {
		return nil
	}
	v := newPrinter(nil, o)
	if !Shown(err) {
		v.object(failedObject(err), err)
	}
	return v.failed(err)
}

func (o Output) filled() Output {
	if o.Out == nil {
		o.Out = os.Stdout
	}
	if o.Err == nil {
		o.Err = os.Stderr
	}
	return o
}

func (d *Daemon) builtin() []Action {
	list := []Action{
		{name: "start", help: "Start the daemon.", typ: reflect.TypeFor[StartOptions](), run: func(ctx context.Context, c *Call, o any) error {
			start := o.(StartOptions)
			start.Args = append(start.Args, c.Args...)
			return c.printer().start(ctx, start)
		}},
		{name: "stop", help: "Stop the daemon.", typ: reflect.TypeFor[StopOptions](), run: func(ctx context.Context, c *Call, o any) error {
			return c.printer().stop(ctx, o.(StopOptions))
		}},
		{name: "restart", help: "Stop then start the daemon.", typ: reflect.TypeFor[RestartOptions](), run: func(ctx context.Context, c *Call, o any) error {
			restart := o.(RestartOptions)
			restart.Start.Args = append(restart.Start.Args, c.Args...)
			return c.printer().restart(ctx, restart)
		}},
		{name: "status", help: "Get the status of the daemon.", typ: reflect.TypeFor[StatusOptions](), run: func(ctx context.Context, c *Call, o any) error {
			return c.printer().status(ctx, o.(StatusOptions))
		}},
		{name: "reload", help: "Reload the daemon without stopping it.", typ: reflect.TypeFor[ReloadOptions](), run: func(ctx context.Context, c *Call, o any) error {
			return c.printer().reload(ctx, o.(ReloadOptions))
		}},
	}
	if d.hasLogs() {
		list = append(list, Action{name: "logs", help: "Show the last lines that the daemon has written.", typ: reflect.TypeFor[LogsOptions](), run: func(ctx context.Context, c *Call, o any) error {
			return c.printer().logs(ctx, o.(LogsOptions), c.Daemon.Logs)
		}})
	}
	for i := range list {
		a := &list[i]
		a.builtin, a.args = true, a.name == "start" || a.name == "restart"
	}
	return list
}

// builtinNames are the actions that every daemon has, and whose outcome is a line: for them
// there is Output.Quiet.
var builtinNames = []string{"start", "stop", "restart", "status", "reload"}

// setActions checks the program's own actions. The built-in ones join them where they are
// asked for: whoever calls none of that links none of them.
func (d *Daemon) setActions(own []Action) error {
	errs := make([]error, len(own))
	for i := range own {
		errs[i] = d.addAction(&own[i])
	}
	return errors.Join(errs...)
}

func (d *Daemon) addAction(a *Action) error {
	wrong := ""
	switch {
	case a.run == nil:
		wrong = " was not made with NewAction"
	case !options.IsName(a.name):
		wrong = ": the name is none: use letters, digits and dashes"
	case a.name == "help":
		wrong = ": command lines have that already"
	case slices.ContainsFunc(d.own, func(o Action) bool { return o.name == a.name }):
		return fmt.Errorf("two actions are called %q", a.name)
	}
	if wrong != "" {
		return fmt.Errorf("action %q%s", a.name, wrong)
	}
	bound, err := a.bind(a.typ)
	d.own = append(d.own, *a)
	d.own[len(d.own)-1].bound = bound
	if err != nil {
		return fmt.Errorf("action %q: %w", a.name, err)
	}
	return nil
}

// actions are the built-in ones, or the program's own in their places, and its others.
func (d *Daemon) actions() []Action {
	list := d.builtin()
	for i := range list {
		list[i].args = list[i].args && !d.plan.NoArgs
	}
	for _, a := range d.own {
		if i := slices.IndexFunc(list, func(b Action) bool { return b.name == a.name }); i >= 0 {
			list[i] = a
		} else {
			list = append(list, a)
		}
	}
	return list
}

// Actions lists the names that Do knows: start, stop, restart, status, reload, logs if
// there is a StdoutFile or StderrFile, then the program's own in the order of
// Config.Actions.
func (d *Daemon) Actions() []string {
	var names []string
	for _, a := range d.actions() {
		names = append(names, a.name)
	}
	return names
}

// ActionSpec describes an action to a command line.
type ActionSpec struct {
	Name    string
	Help    string
	Options []Option
	Builtin bool // start, stop, restart, status, or in the place of one: knows Output.JSON and Output.Quiet
	Args    bool // it takes arguments beyond its options
}

// Specs describes the actions, in the order of Actions.
func (d *Daemon) Specs() []ActionSpec {
	var specs []ActionSpec
	for _, a := range d.actions() {
		specs = append(specs, ActionSpec{
			Name: a.name, Help: a.help, Options: slices.Clone(a.forCommandLine().bound.options),
			Builtin: slices.Contains(builtinNames, a.name), Args: a.args,
		})
	}
	return specs
}

// Do runs the action that args[0] names, prints its outcome on stdout and
// stderr, and returns nil exactly if the exit code is 0; ExitCode has it. It is
// the whole command line of a program that needs no options:
//
//	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
//
// Nothing in args is taken for an option: what follows the name is for the
// worker in start and restart (see Args), unless that takes none (Config.NoArgs), in Call.Args for an action of the
// program's own, and an error in stop and status. That a daemon runs already, or
// does not run, is fine for start and stop: they warn. While it waits for a
// detached start, SIGINT and SIGTERM cancel the start. Without arguments Do
// lists the actions; the exit code is then 2.
//
// In a launched process Do becomes the daemon, whatever the action is; see
// Start.
func (d *Daemon) Do(ctx context.Context, args ...string) error {
	if len(args) == 0 {
		if done, err := d.claim(ctx, nil); done {
			return err
		}
		return d.usage()
	}
	return d.dispatch(ctx, Output{}, args[0], args[1:], func(a *Action) (any, error) { return a.filled(nil) })
}

// DoWith runs the action of that name like Do, with its options as a value:
// StartOptions, StopOptions, RestartOptions, StatusOptions, ReloadOptions, LogsOptions,
// or the type that the program's own action was made with. Nil: the defaults.
func (d *Daemon) DoWith(ctx context.Context, out Output, name string, options any, args ...string) error {
	return d.dispatch(ctx, out, name, args, func(a *Action) (any, error) { return a.typed(options) })
}

// Invoke runs the action of that name like Do, with the values that a command
// line has found for its options, by their names in Specs: what package cli
// calls. A mistake in them has exit code 2.
func (d *Daemon) Invoke(ctx context.Context, out Output, name string, options map[string][]string, args ...string) error {
	out.optioned = true
	return d.dispatch(ctx, out, name, args, func(a *Action) (any, error) {
		return a.forCommandLine().filled(options)
	})
}

// forCommandLine is the action with its options bound.
func (a *Action) forCommandLine() *Action {
	if a.bound.fill == nil {
		bound := *a
		bound.bound, _ = bind(a.typ)
		return &bound
	}
	return a
}

func (d *Daemon) dispatch(ctx context.Context, out Output, name string, args []string, options func(*Action) (any, error)) error {
	// Before anything else: what comes next has been done by the launcher.
	if done, err := d.claim(ctx, args); done {
		return err
	}
	for _, a := range d.actions() {
		if a.name == name {
			return d.call(ctx, &a, out, args, func() (any, error) { return options(&a) })
		}
	}
	e := d.plan.Fail(name, fault.Say(fmt.Sprintf("invalid action %q", name), ErrUnknownAction))
	e.Hint = "The actions are " + strings.Join(d.Actions(), ", ") + "."
	return newPrinter(d, out).failed(e)
}

// unexpected is the error for arguments where there should be none, nil if there are none.
func unexpected(args []string) error {
	if len(args) == 0 {
		return nil
	}
	list := make([]string, len(args))
	for i, arg := range args {
		list[i] = strconv.Quote(arg)
	}
	return errors.New("unexpected " + plural(len(list), "argument ", "arguments ") + strings.Join(list, ", "))
}

// refused is the error for arguments to a worker that takes none.
func (d *Daemon) refused(op string, args []string) error {
	if err := unexpected(args); err != nil && d.plan.NoArgs {
		return d.plan.Misused(op, err)
	}
	return nil
}

func (d *Daemon) call(ctx context.Context, a *Action, out Output, args []string, options func() (any, error)) error {
	c := &Call{Daemon: d, Output: out.filled(), Args: args, action: a.name}
	o, err := options()
	if err == nil && !a.args {
		err = unexpected(args)
	}
	if err != nil {
		return c.printer().failed(d.plan.Misused(a.name, err))
	}
	if a.builtin {
		return a.run(ctx, c, o)
	}
	v, began := c.printer(), time.Now()
	replaces := slices.Contains(builtinNames, a.name)
	var printed strings.Builder
	wrapped := out.JSON && !replaces && !a.has("json")
	if wrapped {
		c.Out, c.into = &printed, nil
	}
	var stack []byte
	err = usercode.Call("action "+a.name, func() error {
		returned := false
		defer func() {
			if !returned {
				stack = debug.Stack()
			}
		}()
		err := a.run(ctx, c, o)
		returned = true
		return err
	})
	switch {
	case wrapped:
		v.object(func() map[string]any {
			m := map[string]any{"outcome": "done", "output": printed.String(), "result": pyjson.Plain(c.Result, jsonKey), "seconds": time.Since(began).Seconds()}
			if err != nil {
				m["outcome"] = "failed"
			}
			return m
		}, err)
	case replaces && err != nil && !Shown(err):
		v.object(failedObject(err), err)
	}
	if err == nil {
		return nil
	}
	err = v.failed(err)
	c.Err.Write(stack)
	return err
}

// typed checks an options value.
func (a *Action) typed(options any) (any, error) {
	if options == nil {
		return a.filled(nil)
	}
	if t := reflect.TypeOf(options); t != a.typ {
		return nil, fmt.Errorf("the options of %s are a %v, not a %v", a.name, a.typ, t)
	}
	return options, nil
}

// filled makes an options value. Those of the built-in actions have neither
// defaults nor variables.
func (a *Action) filled(given map[string][]string) (any, error) {
	if a.builtin && len(given) == 0 {
		return reflect.Zero(a.typ).Interface(), nil
	}
	v, err := a.bound.fill(given)
	if err != nil {
		return nil, err
	}
	return v.Interface(), nil
}

func (c *Call) printer() *printer { return newPrinter(c.Daemon, c.Output) }

// usage lists the actions.
func (d *Daemon) usage() error {
	c := console.New(console.Options{Out: os.Stderr})
	c.Line("Usage: " + d.plan.Name + " ACTION")
	c.Line("")
	width := 0
	for _, a := range d.actions() {
		width = max(width, len(a.name))
	}
	for _, a := range d.actions() {
		c.Line(strings.TrimRight(fmt.Sprintf("  %-*s  %s", width, a.name, a.help), " "))
	}
	return MarkShown(public(d.plan.Misused("do", errors.New("no action was named"))))
}
