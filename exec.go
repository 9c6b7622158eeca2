package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/template"
)

// Program is a worker that is another program: it replaces the daemon's process,
// so that the number in the PID file is its own, and the file's locks are as
// well. It has its signals at their defaults, none of them blocked, the resource
// limits of whoever starts it, descriptors 0 to 2, and one more, of the PID file.
// User, directory, umask and root directory come from the Config.
//
// No shutdown hook runs, and nothing of this library is left in the process: Stop
// signals the program itself, and removes the PID file. A program that ends
// otherwise leaves a stale one.
//
// A program must stay in the foreground and leave descriptors alone that it
// has not opened. One that goes into the background by itself, or that closes
// the PID file's descriptor, is noticed while it starts: it is ended, and the
// error says so.
//
// A detached program writes to the log files itself, and to /dev/null without
// them. If it dies while it starts, the last lines of this start are in the
// error. Where it is not detached, it writes where the starter does.
type Program struct {
	// Name is looked for in PATH, unless it has a slash; then it is relative to
	// the directory in which New is called.
	Name string
	// Args follow the name. What Do found behind the action follows them. In a group
	// {n} in Args and Env is the worker's number; see NewGroup.
	Args []string
	// Env changes the environment: "NAME=value" sets, "NAME" removes. Beyond that
	// it is the starter's, with HOME, USER and LOGNAME of Config.User.
	Env []string
	// Nice is added to the starter's niceness; see nice(1).
	Nice int
	// Limits are set for the program; see setrlimit(2).
	Limits []Limit
	// Ready says when the program is ready. The zero value: when it has lived
	// through Config.StartWindow.
	Ready Readiness
}

// Limit is one resource limit.
type Limit struct {
	Resource int // such as syscall.RLIMIT_NOFILE
	Soft     uint64
	Hard     uint64
}

// NoLimit is the value of a Limit that is none.
const NoLimit = ^uint64(0)

// Exec is a worker that is another program: Program{Name: name, Args: args}.
func Exec(name string, args ...string) func(context.Context) error {
	return Program{Name: name, Args: args}.Worker()
}

// Worker is for Config.Worker. It may also be called by a worker, with that one's
// context; then the launcher does not look for the program before it starts
// anything, and Nice, Limits and Ready must not be set.
func (p Program) Worker() func(context.Context) error {
	own := &program{Program: p}
	own.Args, own.Env, own.Limits = slices.Clone(p.Args), slices.Clone(p.Env), slices.Clone(p.Limits)
	find := programOf
	foreignWorker.Store(&find)
	return own.work
}

// program is what a Program's worker is a method of.
type program struct {
	Program
	path string // absolute, if Name is a path

	user []string // variables of the Config's User, in the daemon
}

type programKey struct{}

// programOf finds the program of which the worker is the method.
func programOf(worker func(context.Context) error) foreign {
	if worker == nil || reflect.ValueOf(worker).Pointer() != reflect.ValueOf((*program)(nil).work).Pointer() {
		return nil
	}
	var p *program
	worker(context.WithValue(context.Background(), programKey{}, &p))
	return p
}

func (p *program) member(n int) (func(context.Context) error, error) {
	own := &program{Program: p.Program}
	var problems []error
	expand := func(what string, list []string) []string {
		list = slices.Clone(list)
		for i, text := range list {
			t, err := template.Parse(text)
			if err != nil {
				problems = append(problems, &ConfigError{Setting: "Worker", Value: text, Err: fmt.Errorf("among the %s of a group's program %w", what, err),
					Hint: "write {n} for the worker's number, and {{ or }} for a brace"})
				continue
			}
			list[i] = t.Expand(n)
		}
		return list
	}
	own.Args, own.Env = expand("arguments", p.Args), expand("variables", p.Env)
	return own.work, errors.Join(problems...)
}

func (p *program) complete(d *Daemon) []error {
	if d.code.Help == "" {
		d.code.Help = fmt.Sprintf("Run %q as a daemon.", p.Name)
	}
	var problems []error
	bad := func(value string, err error, hint string) {
		problems = append(problems, &ConfigError{Setting: "Worker", Value: value, Err: err, Hint: hint})
	}
	switch {
	case p.Name == "":
		bad("", errors.New("names no program"), "give its name or path")
	case strings.HasSuffix(p.Name, "/"):
		bad(p.Name, errors.New("is a directory, not a program"), "give the path of a program")
	case strings.Contains(p.Name, "/"):
		abs, err := d.plan.Absolute(p.Name)
		if err != nil {
			bad(p.Name, err, "give an absolute path")
		}
		p.path = abs
	}
	for _, text := range slices.Concat([]string{p.Name}, p.Args, p.Env) {
		if strings.ContainsRune(text, 0) {
			bad(text, errors.New("holds a zero byte"), "no program can be given that")
		}
	}
	for _, v := range p.Env {
		if v == "" || v[0] == '=' {
			bad(v, errors.New("is no variable"), `write "NAME=value", or "NAME" to remove it`)
		}
	}
	for _, l := range p.Limits {
		if l.Soft > l.Hard {
			bad(fmt.Sprint(l.Soft), errors.New("is a soft limit above the hard one"), "lower it, or raise Hard")
		}
	}
	if p.Ready.probe == nil && d.plan.RequireReady {
		problems = append(problems, &ConfigError{Setting: "RequireReady",
			Err: errors.New("cannot be met by a program that has no way to say so"), Hint: "give the program a way to be ready"})
	}
	if p.Ready.probe != nil {
		if err := p.Ready.probe.suits(d); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// programError is a program that cannot be executed.
type programError struct {
	name string
	err  error
	hint string
}

func (e *programError) Error() string {
	why := e.err.Error()
	if !fault.IsSaid(e.err) {
		why = plan.Cause(e.err)
	}
	return "unable to execute " + e.name + " (" + why + ")"
}

func (e *programError) ours() bool      { return true }
func (e *programError) Unwrap() []error { return []error{inside.ErrNotExecuted, e.err} }

func (p *program) check(d *Daemon) error {
	if d.plan.ChrootDir != "" {
		return nil // not to be seen from here as it is there
	}
	path, err := p.find()
	if err == nil {
		err = checkInterpreter(path)
	}
	if err == nil {
		return nil
	}
	e := d.plan.Fail("start", err)
	if odd, is := errors.AsType[*programError](err); is {
		e.Hint = odd.hint
	}
	return e
}

// find gives the path to execute.
func (p *program) find() (string, error) {
	if strings.Contains(p.Name, "/") {
		path := p.path
		if path == "" {
			path = p.Name // of a worker within a worker
		}
		if err := executable(path); err != nil {
			return "", &programError{path, err, hintFor(err)}
		}
		return path, nil
	}
	search := os.Getenv("PATH")
	if search == "" {
		search = "/usr/local/bin:/usr/bin:/bin"
	}
	var refused error
	for _, dir := range filepath.SplitList(search) {
		if !filepath.IsAbs(dir) {
			continue // the daemon's directory is another one
		}
		path := filepath.Join(dir, p.Name)
		if _, err := os.Stat(path); err != nil {
			continue // not there, or in a directory that is closed to us
		}
		err := executable(path)
		if err == nil {
			return path, nil
		}
		if refused == nil && errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EISDIR) {
			refused = &programError{path, err, hintFor(err)}
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", &programError{p.Name, fault.Say("not found in PATH", fs.ErrNotExist), "Install it, or give its path."}
}

// executable says why a file is not.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return fault.Say("it is a directory", syscall.EISDIR, fs.ErrPermission)
	case !info.Mode().IsRegular():
		return fault.Say("it is not a regular file", fs.ErrPermission)
	}
	return paths.MayExecute(path)
}

func hintFor(err error) string {
	switch {
	case errors.Is(err, syscall.EISDIR):
		return "Give the path of a program."
	case errors.Is(err, syscall.ENOEXEC):
		return "It is no program for this machine, or a script without a line such as #!/bin/sh at its beginning."
	case errors.Is(err, fs.ErrNotExist):
		return "Give the path of a program that exists."
	case errors.Is(err, fs.ErrPermission):
		return "Make it executable for the user that the daemon runs as, and its directories accessible."
	}
	return ""
}

// work is the worker. It returns only if there is nothing to become.
func (p *program) work(ctx context.Context) error {
	if ask, ok := ctx.Value(programKey{}).(**program); ok {
		*ask = p
		return nil
	}
	l := inside.Of(ctx)
	if l == nil {
		return errors.New("daemonocle: execute " + p.Name + ": the context is not a worker's")
	}
	if From(ctx).foreign != foreign(p) && (p.Nice != 0 || p.Limits != nil || p.Ready.probe != nil) {
		return errors.New("daemonocle: execute " + p.Name + ": niceness, limits and readiness need the program to be the daemon's worker itself")
	}
	err := p.become(ctx, l)
	if odd, is := errors.AsType[*programError](err); is {
		m := plan.FailureMessage(odd)
		m.Hint = odd.hint
		l.SayFailed(m)
	}
	return err
}

func (p *program) become(ctx context.Context, l *inside.Life) error {
	path, err := p.find()
	if err != nil {
		return err
	}
	env := p.environment(l)
	argv := slices.Concat([]string{p.Name}, p.Args, l.Args())
	keep, err := l.GiveSignalsBack(ctx)
	defer keep()
	if err != nil {
		return err
	}
	err = p.execute(l, path, argv, env)
	hint := hintFor(err)
	if errors.Is(err, fs.ErrNotExist) {
		hint = "The file is there, but not what runs it: see its first line, or file(1)."
	}
	return &programError{path, err, hint}
}

// environment is the starter's, with what is different for the program.
func (p *program) environment(l *inside.Life) []string {
	env := os.Environ()
	set := func(variable string) {
		name, _, isSet := strings.Cut(variable, "=")
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		if isSet {
			env = append(env, variable)
		}
	}
	if os.Getenv("PWD") != "" {
		set("PWD=" + l.Plan().WorkDir)
	}
	if address := l.NotifyAddress(); address != "" {
		set("NOTIFY_SOCKET=" + address)
	}
	for _, v := range slices.Concat(p.user, p.Env) {
		set(v)
	}
	return env
}
