package daemonocle

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// What callers branch on, with errors.Is. The errors that the methods return
// are *Error values that wrap these.
var (
	// ErrAlreadyRunning: Start met a running daemon. For the command line this
	// is fine.
	ErrAlreadyRunning = fault.ErrAlreadyRunning
	// ErrNotRunning: Stop or Wait met no daemon. For the command line this is
	// fine.
	ErrNotRunning = fault.ErrNotRunning
	// ErrDied: the daemon's process ended before it was ready.
	ErrDied = fault.ErrDied
	// ErrStillStarting: StartTimeout ran out. The daemon is alive and may yet
	// become ready.
	ErrStillStarting = fault.ErrStillStarting
	// ErrStartCancelled: the start was given up and nothing is left of it.
	ErrStartCancelled = fault.ErrStartCancelled
	// ErrStopTimeout: the daemon did not end in time. It is alive.
	ErrStopTimeout = fault.ErrStopTimeout
	// ErrBlocked: a process that is no daemon of ours holds a lock on the PID
	// file, or the file cannot be trusted.
	ErrBlocked = fault.ErrBlocked
	// ErrNoPIDFile: the action needs Config.PIDFile.
	ErrNoPIDFile = fault.ErrNoPIDFile
	// ErrNoWorker: Start and Run need Config.Worker.
	ErrNoWorker = fault.ErrNoWorker
	// ErrUsage: the call itself was wrong, such as an option that cannot be
	// read. Nothing was tried. The exit code is 2.
	ErrUsage = fault.ErrUsage
	// ErrUnknownAction: Do was asked for an action that does not exist.
	ErrUnknownAction = fault.ErrUnknownAction
	// ErrHeldElsewhere: the daemon runs, but its process cannot be named from
	// here, as from inside a container.
	ErrHeldElsewhere = fault.ErrHeldElsewhere
	// ErrManaged: a service manager runs the daemon, and is who should be told to stop
	// or restart it. Nothing was done. Error.Unit is the service.
	ErrManaged = fault.ErrManaged
	// ErrInside: the call is not for the daemon's own process.
	ErrInside = fault.ErrInside
	// ErrOutside: the call is for the daemon's own process.
	ErrOutside = fault.ErrOutside
	// ErrReload is the cause of a worker's context that ended because another
	// process takes the daemon's place.
	ErrReload = fault.ErrReload
	// ErrReloadFailed: the daemon could not reload, and goes on as before.
	ErrReloadFailed = fault.ErrReloadFailed
	// ErrStopping: a stop that was asked for has overtaken the reload.
	ErrStopping = fault.ErrStopping
	// ErrUnsupported: this system has no Unix processes. Run works nevertheless.
	ErrUnsupported = fault.ErrUnsupported
)

// exitPipe is the exit code of an answer that nobody reads: as if SIGPIPE had ended the
// program.
const exitPipe = 141

// Error is what the methods of Daemon return.
type Error struct {
	Op     string   // action: "start", "stop", ...
	Name   string   // of the daemon
	PID    int      // of the process that this is about, 0 if there is none
	Code   int      // exit code for a program that did nothing else, never 0
	Reason string   // the daemon's own words: error text, panic text
	Stderr []string // the last lines that the daemon wrote in this launch
	Stdout []string // the same of a Program that wrote nothing to stderr
	Hint   string   // a sentence: what to do
	Unit   string   // of the service manager that runs the daemon, with ErrManaged
	Err    error    // act, thing and cause

	// Capital: the text of Err begins with an ordinary word, which an ERROR line
	// capitalises. Else it begins with a name, or is somebody else's, such as a
	// worker's own error, and is printed as it is.
	Capital bool

	Shown bool // the operator has been told of it; see the function Shown
}

func (e *Error) Error() string { return fault.Text(e.Op, e.Name, e.Err, e.Reason) }

func (e *Error) Unwrap() error { return e.Err }

// told is an error of another type that the operator has seen.
type told struct{ error }

func (t *told) Unwrap() error { return t.error }

// Shown reports whether the operator has been told of the error: Do, DoWith,
// Invoke and Output.Explain print what they return, and so does package cli. A
// program that prints errors itself looks here first.
func Shown(err error) bool {
	e, is := errors.AsType[*Error](err)
	return is && e.Shown || fault.Has[*told](err)
}

// MarkShown is for who prints errors in another way: it returns the error as one
// that the operator has seen.
func MarkShown(err error) error {
	if err == nil || Shown(err) {
		return err
	}
	if e, ok := err.(*Error); ok {
		seen := *e
		seen.Shown = true
		return &seen
	}
	return &told{err}
}

// ExitError is how a worker ends with an exit code or a message of its choice:
// "exit with". Code -N leaves as 128+N, others modulo 256. A Message with Code 0
// means 1.
type ExitError struct {
	Code    int
	Message string
}

func (e *ExitError) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return "exit with code " + strconv.Itoa(e.Code)
}

// code is Code with the rule for messages applied.
func (e *ExitError) code() int {
	if e.Code == 0 && e.Message != "" {
		return 1
	}
	return e.Code
}

// SignalError is the cause of a worker's context that ended by a signal.
type SignalError struct{ Signal syscall.Signal }

func (e *SignalError) Error() string { return "terminated by " + signals.Name(e.Signal) }

// ExitCode is the exit code for a program whose last act returned err: 0 for
// nil, the code that an *Error or *ExitError carries, 1 for any other error.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if failed, is := errors.AsType[*Error](err); is {
		if failed.Code == 0 {
			return 1
		}
		return fault.ExitStatus(failed.Code)
	}
	if exit, is := errors.AsType[*ExitError](err); is {
		return fault.ExitStatus(exit.code())
	}
	return 1
}

// public gives what the rooms report the type that users know it by. Whatever is handed to
// the program goes through it: what exported methods return, and what is logged and printed.
func public(err error) error {
	if f, is := err.(*fault.Fault); is {
		return (*Error)(f)
	}
	return err
}

// relay is a fault that begins with a name, or with the program's words.
func (d *Daemon) relay(op string, err error) *fault.Fault {
	f := d.plan.Relay(op, err)
	f.Capital = ours(err)
	return f
}

func (g *Group) fail(op string, err error) *fault.Fault { return fault.New(op, g.name, err) }

// ours reports whether an error, which is no fault, begins with our own words.
func ours(err error) bool {
	switch e := err.(type) {
	case interface{ ours() bool }:
		return e.ours()
	case *usercode.PanicError:
		return true
	case interface{ Unwrap() []error }: // as New joins them
		all := e.Unwrap()
		return len(all) > 0 && ours(all[0])
	}
	return err == inside.ErrNotExecuted // of a program.Error, whose type not everybody links
}

func (e *ConfigError) ours() bool { return true }
func (e *ExitError) ours() bool   { return e.Message == "" }

// inLine is what an ERROR or WARNING line says of an error.
func inLine(err error) string {
	capital := ours(err)
	if e, is := public(err).(*Error); is {
		err, capital = e.Err, e.Capital
	}
	if capital {
		return console.Capitalize(fault.TextOf(err))
	}
	return fault.TextOf(err)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return strings.ReplaceAll(many, "%d", strconv.Itoa(n))
}
