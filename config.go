package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/limits"
	"github.com/daemonocle/daemonocle/internal/plan"
)

// Config describes a daemon. New copies it; later changes have no effect.
// Relative paths are resolved against the current directory in New.
type Config struct {
	// Name is used in messages. Empty: the base name of os.Args[0].
	Name string

	// Worker does the work; Start and Run need it. Its context ends on SIGTERM,
	// SIGINT and SIGQUIT, and context.Cause(ctx) says why. What it returns
	// becomes the exit code and the message of the shutdown hook: see
	// Shutdown. Exec and Program.Worker are workers that are other programs.
	Worker func(ctx context.Context) error

	// Layout fills the paths below that are empty: XDG, FHS, Systemd, or one of
	// your own. Nil: none.
	Layout Layout

	// Foreground keeps the daemon on the terminal: the process that starts it
	// stays and watches over it. False: it is detached, except where that makes
	// no sense: as PID 1, under a service manager, and on a super-server's
	// socket.
	Foreground bool

	// PIDFile holds the daemon's number and its locks. Without one, only Start
	// and Run work, and nothing keeps a second daemon from starting.
	PIDFile string

	// WorkDir is the daemon's working directory and must exist, unless it is the
	// prefix of the layout. Empty: "/".
	WorkDir string

	// StdoutFile and StderrFile receive what a detached daemon writes; they are
	// appended to and may be the same file. Empty: /dev/null.
	StdoutFile string
	StderrFile string

	// ChrootDir becomes the root directory and must exist. Every other path is
	// then inside it, also one with a leading slash. Empty: no change.
	ChrootDir string

	// User and Group are names or numbers. Empty: no change, except that a User
	// without a Group gets the user's own groups: root's would be a leak.
	User  string
	Group string

	// Umask is the file mode creation mask. Nil: 022.
	Umask *fs.FileMode

	// CloseOpenFiles closes the descriptors that the daemon inherited from the
	// caller of the program, from 3 up. False: they stay open in the daemon, but
	// not in what it executes. Files that the program's own main has opened are
	// its own affair.
	CloseOpenFiles bool

	Hooks Hooks

	// Actions are the program's own, beyond start, stop, restart and status. One
	// that has the name of a built-in action takes its place.
	Actions []Action

	// SetBy says how an operator sets what the program has in these fields, such as
	// {"PIDFile": "--pid-file"}: errors and hints name that instead of the field, which
	// only who writes the program knows. What is not in it is named by its field.
	SetBy map[string]string

	// NoArgs is for a worker that takes no arguments: start and restart refuse them, in
	// whatever way they are called, as stop and status do. False: they are the
	// worker's; see Args.
	NoArgs bool

	// Help is what a command line shows about the worker.
	Help string

	// StopTimeout is how long Stop waits for the daemon to end. 0: 10 s.
	StopTimeout time.Duration

	// StopSignal is what Stop sends; a worker's context ends on it, too. 0:
	// SIGTERM. SIGUSR1 is for workers that are other programs.
	StopSignal syscall.Signal

	// StartTimeout is how long Start waits at most. 0: 60 s. A process that has not reached
	// Start by then is given 5 s more, so that Stop and Status can find it.
	StartTimeout time.Duration

	// StartWindow is how long a worker that does not call Ready must live to
	// count as started. 0: 1 s.
	StartWindow time.Duration

	// RequireReady makes Start wait until the worker calls Ready, up to
	// StartTimeout. False: living through StartWindow is enough.
	RequireReady bool

	// Health says whether the daemon does its work. It is called only under a
	// service manager with a watchdog (WatchdogSec= in systemd), twice in the
	// watchdog's time and never twice at once, and its context ends after half of
	// that. Without an error the watchdog is told that all is well; otherwise, or if
	// it hangs, the watchdog hears nothing, and ends the daemon by SIGABRT. Nil: the
	// worker calls Heartbeat; else the watchdog hears of it as long as the daemon's
	// own signal loop runs, which says that the process is not stopped and the Go
	// runtime not stuck, and nothing of the worker.
	Health func(ctx context.Context) error

	// AbandonAfter limits the worker's goodbye: that long after its context has
	// ended it is abandoned, the shutdown hook runs (with the same limit), and
	// the process leaves with 128 plus the signal's number. 0: no limit.
	AbandonAfter time.Duration

	// Logger hears what has no caller: a panic in a hook, a PID file that could
	// not be removed, log files that could not be opened again. A *slog.Logger is
	// one. Nil: the daemon's stderr does.
	Logger Logger
}

// Logger is the part of *slog.Logger that is used. The package itself is not,
// because it would add 300 KB to programs that log otherwise.
type Logger interface {
	Error(message string, args ...any)
}

// Hooks are called at points of a daemon's life. Nil hooks are not called.
type Hooks struct {
	// Check looks whether the daemon could do its work, such as at its configuration,
	// and opens, changes and keeps nothing: a start, restart or reload that it refuses with
	// an error, or a panic, leaves all as it was, and a daemon that runs goes on. It
	// runs once in each of these: in a start of one that does not run before the start
	// hook, in a restart before the old one is stopped, both in the launcher and with its
	// rights and directory; in Run; and in a reload that makes a new process first of all
	// there, with the directory of the start and the user and root directory that the
	// daemon has by then.
	Check func(ctx context.Context) error

	// Start runs in the launcher, before anything is started and only if the
	// daemon does not run. An error, or a panic, aborts the start with its text.
	Start func(ctx context.Context, info StartInfo) error

	// Privileged runs in the daemon before chroot and the change of user: the
	// place to bind port 80 or to read a key. An error aborts the start. After a
	// reload it runs again only where neither was changed.
	Privileged func(ctx context.Context) error

	// Reload reads the configuration again, on SIGHUP and for the action reload,
	// in the daemon and beside its worker; never twice at once. Its error is reported,
	// and the daemon goes on. Nil: the daemon replaces itself; see Daemon.Reload. The
	// context is the worker's.
	Reload func(ctx context.Context) error

	// Shutdown runs in the daemon once, when the worker has ended or is
	// abandoned, before the PID file is removed. It cannot run after os.Exit, a
	// panic in another goroutine than the worker's, or SIGKILL.
	Shutdown func(Shutdown)
}

// StartInfo tells the start hook what is about to happen.
type StartInfo struct {
	Debug  bool    // the daemon stays in the foreground
	Daemon *Daemon // which one it is
}

// Shutdown tells the shutdown hook why the daemon ends. Code is -N for signal N.
//
//	Terminated by SIGTERM (15)             -15
//	Shutting down normally                   0
//	Shutting down for reload                 0
//	Exiting with non-zero exit code 42      42
//	Exiting with message: goodbye world      1
//	Dying due to unhandled error: banana     1
//	Dying due to unhandled panic: banana     2
//
// After a signal, nil, ctx.Err() and context.Cause(ctx) from the worker all mean
// "Terminated by ...".
type Shutdown struct {
	Message string
	Code    int
}

// Daemon is one daemon of a program. Its methods may be called concurrently;
// each says which process it is for.
type Daemon struct {
	plan    *plan.Plan
	code    code
	own     []Action
	foreign foreign                     // nil: the worker is Go code
	life    atomic.Pointer[inside.Life] // set in the daemon's own process
}

// code is what a daemon has of the program's own.
type code struct {
	Worker func(context.Context) error
	Hooks  Hooks
	Health func(context.Context) error
	Logger Logger
	Help   string
}

// ConfigError is one setting that New refuses.
type ConfigError struct {
	Setting string // field of Config; empty: it is about none of them
	Value   string
	Err     error
	Hint    string // what to do
	SetBy   string // how an operator sets it; see Config.SetBy
}

func (e *ConfigError) Error() string {
	s := fault.TextOf(e.Err)
	if e.Setting != "" {
		of := "setting " + e.Setting
		switch {
		case strings.HasPrefix(e.SetBy, "-"):
			of = "option " + e.SetBy
		case e.SetBy != "":
			of = e.SetBy
		}
		if e.Value != "" {
			of += fmt.Sprintf(" %q", e.Value)
		}
		s = of + ": " + s
	}
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

func (e *ConfigError) Unwrap() error { return e.Err }

// New checks and copies the settings. It starts, creates and changes nothing,
// and may be called in any process. All problems are in the one error, each a
// *ConfigError.
func New(c Config) (*Daemon, error) { return newDaemon(&c, plan.Member{Of: 1}) }

func newDaemon(c *Config, m plan.Member) (*Daemon, error) {
	if err := limits.Poller(); err != nil {
		return nil, &ConfigError{Err: err, Hint: fault.NoFilesHint(err)}
	}
	f := foreignOf(c.Worker)
	p, found := plan.Make(c.settings(m, f))
	d := &Daemon{plan: p, code: code{c.Worker, c.Hooks, c.Health, c.Logger, c.Help}, foreign: f}
	if err := d.setActions(c.Actions); err != nil {
		found = append(found, plan.Problem{Setting: "Actions", Err: err})
	}
	if d.foreign != nil {
		if d.code.Help == "" {
			d.code.Help = d.foreign.help()
		}
		found = append(found, d.foreign.Complete(p)...)
	}
	for setting := range c.SetBy {
		if !slices.Contains(settingNames, setting) {
			found = append(found, plan.Problem{Setting: "SetBy", Value: setting, Err: errors.New("is no setting"), Hint: "name a field of Config"})
		}
	}
	if len(found) == 0 {
		if err := p.Register(reflect.ValueOf(c.Worker).Pointer()); err != nil {
			found = append(found, plan.Problem{Setting: "Name", Value: p.Name, Err: err, Hint: "give each daemon of a program its own name and PID file"})
		}
	}
	if len(found) > 0 {
		return nil, c.refused(configErrors(found))
	}
	return d, nil
}

// configErrors are the problems as users know them.
func configErrors(problems []plan.Problem) (errs []error) {
	for _, p := range problems {
		errs = append(errs, &ConfigError{Setting: p.Setting, Value: p.Value, Err: p.Err, Hint: p.Hint})
	}
	return errs
}

// settingNames are the fields of Config. Asked by reflection, they would keep the types of all of
// them in every program: 6 KB.
var settingNames = []string{
	"Name", "Worker", "Layout", "Foreground", "PIDFile", "WorkDir", "StdoutFile", "StderrFile", "ChrootDir", "User", "Group", "Umask",
	"CloseOpenFiles", "Hooks", "Actions", "SetBy", "NoArgs", "Help", "StopTimeout", "StopSignal", "StartTimeout", "StartWindow",
	"RequireReady", "Health", "AbandonAfter", "Logger",
}

// settings are those of the Config that are no functions of the program.
func (c *Config) settings(m plan.Member, f foreign) plan.Settings {
	s := plan.Settings{
		Name: c.Name, PIDFile: c.PIDFile, WorkDir: c.WorkDir, StdoutFile: c.StdoutFile, StderrFile: c.StderrFile, ChrootDir: c.ChrootDir,
		User: c.User, Group: c.Group, Umask: c.Umask,
		Foreground: c.Foreground, CloseOpenFiles: c.CloseOpenFiles, NoArgs: c.NoArgs, RequireReady: c.RequireReady,
		StopTimeout: c.StopTimeout, StartTimeout: c.StartTimeout, StartWindow: c.StartWindow, AbandonAfter: c.AbandonAfter,
		StopSignal: c.StopSignal, SetBy: c.SetBy,
		Member: m, Jailed: inside.Jailed(),
	}
	switch {
	case f != nil:
		s.Worker = plan.Program
	case c.Worker != nil:
		s.Worker = plan.GoCode
	}
	if c.Layout != nil {
		s.Layout = func(name string) (plan.Paths, error) {
			p, err := c.Layout(name)
			return plan.Paths(p), err
		}
	}
	return s
}

// refused joins what is wrong with the settings, in the reader's words.
func (c *Config) refused(problems []error) error {
	for _, p := range problems {
		if e, ok := p.(*ConfigError); ok && e.SetBy == "" {
			e.SetBy = c.SetBy[e.Setting]
		}
	}
	return errors.Join(problems...)
}

// Name of the daemon as it stands in messages.
func (d *Daemon) Name() string { return d.plan.Name }

// Worker says which worker of its group this is, from 0, and how many there are:
// 0 and 1 for a daemon that is in no group.
func (d *Daemon) Worker() (n, of int) { return d.plan.Member.N, d.plan.Member.Of }

// Help is Config.Help.
func (d *Daemon) Help() string { return d.code.Help }

// From gives a worker or a privileged hook its daemon, nil in any other context.
func From(ctx context.Context) *Daemon {
	if l := inside.Of(ctx); l != nil {
		return (*Daemon)(l.Host().(*programHost))
	}
	return nil
}

// Args gives a worker the arguments that Do found after the name of the action.
func Args(ctx context.Context) []string {
	if l := inside.Of(ctx); l != nil {
		return append([]string(nil), l.Args()...)
	}
	return nil
}

// Launched reports whether this process was launched to become a daemon and has
// not done so yet. The program's main runs again in such a process: banners and
// one-time work belong behind a look at this.
func Launched() bool { return waitingForClaim() }

// Goodbye is how long the worker may take to return when its context has ended: StopTimeout,
// after which a stop has waited in vain, or AbandonAfter if that is shorter.
func (d *Daemon) Goodbye() time.Duration { return d.plan.Goodbye() }
