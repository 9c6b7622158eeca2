// Package fault has what can go wrong with a daemon: the sentinels that callers branch on,
// one type that says the rest, and the words for what a system call has refused. The
// package daemonocle gives both to its users as its own.
package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"unicode"
)

// Sentinels. What each means stands where daemonocle exports it.
var (
	ErrAlreadyRunning = errors.New("already running")
	ErrNotRunning     = errors.New("not running")
	ErrDied           = errors.New("died while starting")
	ErrStillStarting  = errors.New("still starting")
	ErrStartCancelled = errors.New("start cancelled")
	ErrStopTimeout    = errors.New("did not stop in time")
	ErrBlocked        = errors.New("PID file is blocked")
	ErrNoPIDFile      = errors.New("no PID file")
	ErrNoWorker       = errors.New("no worker")
	ErrUsage          = errors.New("wrong use")
	ErrUnknownAction  = errors.New("unknown action")
	ErrHeldElsewhere  = errors.New("process cannot be named from here")
	ErrManaged        = errors.New("run by a service manager")
	ErrInside         = errors.New("called in the daemon's own process")
	ErrOutside        = errors.New("not called in the daemon's own process")
	ErrReload         = errors.New("reloading")
	ErrReloadFailed   = errors.New("reload failed")
	ErrStopping       = errors.New("stopping")
	ErrUnsupported    = errors.ErrUnsupported
)

// Fault is what the rooms report. Its fields are those of daemonocle.Error, which it
// becomes for whoever uses the package, and are described there.
type Fault struct {
	Op     string
	Name   string
	PID    int
	Code   int
	Reason string
	Stderr []string
	Stdout []string
	Hint   string
	Unit   string
	Err    error

	Capital bool

	Shown bool
}

func (f *Fault) Error() string { return Text(f.Op, f.Name, f.Err, f.Reason) }
func (f *Fault) Unwrap() error { return f.Err }

// Text is what an error is as one line.
func Text(op, name string, err error, reason string) string {
	s := "daemonocle: " + op + " " + name + ": " + TextOf(err)
	if reason != "" {
		s += ": " + reason
	}
	return s
}

// TextOf is for errors that somebody else may have left out.
func TextOf(err error) string {
	if err == nil {
		return "failed"
	}
	return err.Error()
}

// Say words an error for people, which is the others for programs.
//
// It is called from many places, each of which would be larger with its code.
//
//go:noinline
func Say(text string, is ...error) error { return &said{text, is} }

type said struct {
	text string
	is   []error
}

func (s *said) Error() string   { return s.text }
func (s *said) Unwrap() []error { return s.is }

// IsSaid reports whether the error itself was made by Say.
func IsSaid(err error) bool {
	_, is := err.(*said)
	return is
}

// Cause is the reason in a system call's error: what it was about is named already.
func Cause(err error) error {
	if file, is := errors.AsType[*fs.PathError](err); is {
		err = file.Err
	}
	if two, is := errors.AsType[*os.LinkError](err); is {
		err = two.Err
	}
	if call, is := errors.AsType[*os.SyscallError](err); is {
		err = call.Err
	}
	return err
}

// Has reports whether err has an error of that type in it.
func Has[T error](err error) bool {
	_, has := errors.AsType[T](err)
	return has
}

// New is a fault in our own words, which begin it.
func New(op, name string, err error) *Fault {
	f := &Fault{Op: op, Name: name, Code: 1, Err: err, Capital: true}
	if hint := NoFilesHint(err); hint != "" {
		f.Hint = string(unicode.ToUpper(rune(hint[0]))) + hint[1:] + "."
	}
	return f
}

// InWords is the error of something that a process has tried, with that one's reason.
func InWords(err error) error {
	f, is := errors.AsType[*Fault](err)
	switch {
	case !is:
		return err
	case f.Reason != "":
		return fmt.Errorf("%w: %s", f.Err, f.Reason)
	}
	return f.Err
}

// Misused makes it the fault of a call that cannot be meant.
func (f *Fault) Misused() *Fault {
	f.Err = Say(f.Err.Error(), ErrUsage, f.Err)
	f.Code = ExitUsage
	return f
}

// Exit codes of a command line beyond 0 and 1 and the daemon's own; see docs/CONTRACT.md.
const (
	ExitUsage         = 2
	ExitStillStarting = 75 // EX_TEMPFAIL of sysexits.h: try later
	ExitCancelled     = 130
)

// ExitStatus turns a code, where -N is signal N, into what a process can exit with.
func ExitStatus(code int) int {
	if code < 0 {
		return (128 - code) & 0xff
	}
	return code & 0xff
}

// NoFilesHint is what to do where there was no descriptor left, whatever that was wanted
// for; empty if the error is another.
func NoFilesHint(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return "raise the limit of open files (ulimit -n)"
	case errors.Is(err, syscall.ENFILE):
		return "the whole machine has too many files open"
	}
	return ""
}
