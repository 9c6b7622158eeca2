package program

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/plan"
)

// Error is about a program that cannot be executed.
type Error struct {
	Name string
	Err  error
	Hint string
}

func (e *Error) Error() string {
	why := e.Err.Error()
	if !fault.IsSaid(e.Err) {
		why = plan.Cause(e.Err)
	}
	return "unable to execute " + e.Name + " (" + why + ")"
}

// Unwrap has what the error is first: by that its words are known as ours.
func (e *Error) Unwrap() []error { return []error{inside.ErrNotExecuted, e.Err} }

// Check looks, in the launcher, whether there is something to execute.
func (p *Program) Check(own *plan.Plan) error {
	if own.ChrootDir != "" {
		return nil // not to be seen from here as it is there
	}
	path, err := p.find()
	if err == nil {
		err = checkInterpreter(path)
	}
	if err == nil {
		return nil
	}
	e := own.Fail("start", err)
	if odd, is := errors.AsType[*Error](err); is {
		e.Hint = odd.Hint
	}
	return e
}

// find gives the path to execute.
func (p *Program) find() (string, error) {
	if strings.Contains(p.Name, "/") {
		path := p.path
		if path == "" {
			path = p.Name // of a worker within a worker
		}
		if err := executable(path); err != nil {
			return "", &Error{path, err, hintFor(err)}
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
			refused = &Error{path, err, hintFor(err)}
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", &Error{p.Name, fault.Say("not found in PATH", fs.ErrNotExist), "Install it, or give its path."}
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
