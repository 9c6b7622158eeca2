package daemonocle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/program"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// TestEveryOutcomeHasItsWord: the words and keys for programs, as CONTRACT lists them.
func TestEveryOutcomeHasItsWord(t *testing.T) {
	for err, want := range map[error]string{
		ErrAlreadyRunning:    "already running",
		ErrNotRunning:        "not running",
		ErrDied:              "died",
		ErrStillStarting:     "still starting",
		ErrStartCancelled:    "cancelled",
		ErrStopTimeout:       "timed out",
		ErrBlocked:           "blocked",
		ErrHeldElsewhere:     "unknown",
		ErrManaged:           "managed",
		ErrStopping:          "stopping",
		ErrNoPIDFile:         "failed",
		errors.New("banana"): "failed",
	} {
		err = fmt.Errorf("wrapped: %w", err)
		for name, object := range map[string]map[string]any{
			"start": startObject(Started{PID: 7}, err), "stop": stopObject(Stopped{PID: 7}, err),
			"reload": reloadObject(Reloaded{PID: 7}, err), "other": failedObject(err)(),
		} {
			if object["outcome"] != want {
				t.Errorf("%s: %v is %q, want %q", name, err, object["outcome"], want)
			}
		}
	}
	for _, c := range []struct {
		object map[string]any
		want   map[string]any
	}{
		{startObject(Started{PID: 7, Ready: true}, nil), map[string]any{"outcome": "ready", "pid": int64(7), "seconds": 0.0}},
		{startObject(Started{PID: 7}, nil), map[string]any{"outcome": "alive", "pid": int64(7), "seconds": 0.0}},
		{startObject(Started{PID: 7, Ended: true}, nil), map[string]any{"outcome": "ended", "pid": int64(7), "seconds": 0.0}},
		{startObject(Started{}, ErrBlocked), map[string]any{"outcome": "blocked", "pid": nil, "seconds": 0.0}},
		{reloadObject(Reloaded{PID: 8, Old: 7, Generation: 2}, nil), map[string]any{"outcome": "reloaded", "pid": int64(8), "old": int64(7), "generation": int64(2), "seconds": 0.0}},
	} {
		if !maps.Equal(c.object, c.want) {
			t.Errorf("got %v, want %v", c.object, c.want)
		}
	}
	for killed, want := range map[bool]string{false: "stopped", true: "killed"} {
		got := stopObject(Stopped{PID: 7, Killed: killed, Left: []int{8, 9}}, nil)
		if got["outcome"] != want || got["pid"] != int64(7) || got["seconds"] != 0.0 || !slices.Equal(got["left"].([]any), []any{int64(8), int64(9)}) {
			t.Errorf("killed %v: got %v", killed, got)
		}
	}
}

// TestOnlyOurOwnFirstWordIsCapitalised: all ways in which an error comes to a line, for
// names and foreign words that begin with a small letter, one that is not of ASCII among them.
func TestOnlyOurOwnFirstWordIsCapitalised(t *testing.T) {
	for _, name := range []string{"myapp", "ünï", "Ünï"} {
		d := &Daemon{plan: &plan.Plan{Name: name}}
		g := &Group{name: name}
		banana := errors.New("banana")
		panicked := usercode.Call("start hook", func() error { panic("coconut") })
		odd := &ConfigError{Setting: "Name", Value: "x", Err: banana}
		for _, c := range []struct {
			err  error
			want string
		}{
			// Ours.
			{d.plan.Fail("start", banana), "Banana"},
			{d.plan.Fail("start", errors.New("PID file /x is locked")), "PID file /x is locked"},
			{d.plan.Fail("start", errors.New("/x is a directory")), "/x is a directory"},
			{g.fail("start", banana), "Banana"},
			{g.fail("start", banana).Misused(), "Banana"},
			{d.plan.Misused("start", banana), "Banana"},
			{d.plan.NoWorker("start"), "No worker is defined for daemon"},
			{d.plan.Cancelled("start", context.Background()), "Start was cancelled"},
			{d.plan.Held("start", &pidfile.Report{State: pidfile.Blocked, UID: -1}), "PID file  is locked by a process that cannot be named from here"},
			{d.plan.Negative("stop", -1), "Timeout -1ns is negative"},
			{panicked, "Start hook panicked: coconut"},
			{d.relay("start", panicked), "Start hook panicked: coconut"},
			{d.relay("start", &ExitError{Code: 42}), "Exit with code 42"},
			{odd, `Setting Name "x": banana`},
			{errors.Join(odd, odd), "Setting Name \"x\": banana\n  setting Name \"x\": banana"},
			{&Error{Err: banana, Capital: true}, "Banana"},
			{d.relay("start", &program.Error{Name: "/x", Err: fs.ErrNotExist}), "Unable to execute /x (file does not exist)"},

			// Names.
			{d.plan.NotRunning("reload"), name + " is not running"},
			{d.plan.AlreadyRunning("start", 7), name + " already running with PID 7"},
			{d.plan.Held("start", &pidfile.Report{State: pidfile.Running, PID: 7}), name + " already running with PID 7"},

			// Words of others.
			{banana, "banana"},
			{errors.Join(banana, odd), "banana\n  setting Name \"x\": banana"},
			{fmt.Errorf("peel: %w", d.plan.Fail("start", banana)), "peel: daemonocle: start " + name + ": banana"},
			{fmt.Errorf("peel: %w", panicked), "peel: start hook panicked: coconut"},
			{errors.Join(), ""},
			{d.relay("start", banana), "banana"},
			{d.relay("start", fmt.Errorf("peel: %w", panicked)), "peel: start hook panicked: coconut"},
			{d.relay("start", d.plan.NotRunning("stop")), "daemonocle: stop " + name + ": " + name + " is not running"},
			{d.relay("start", &ExitError{Message: "banana"}), "banana"},
			{d.relay("start", fmt.Errorf("peel: %w", &ExitError{Code: 3})), "peel: exit with code 3"},
			{&Error{Err: banana}, "banana"},
			{MarkShown(d.plan.Fail("start", banana)), ""},
		} {
			var errs bytes.Buffer
			Output{Err: &errs, Out: &errs}.Explain(c.err)
			line, _, _ := strings.Cut(strings.TrimPrefix(errs.String(), "ERROR: "), "\nhint: ")
			line, _, _ = strings.Cut(line, "\nreason: ")
			if strings.TrimSuffix(line, "\n") != c.want {
				t.Errorf("%s: %v is printed as %q, want %q", name, c.err, line, c.want)
			}
		}
	}
}

// TestWhoseWordsAreTravels: from the process in which an error arose to the one that prints it.
func TestWhoseWordsAreTravels(t *testing.T) {
	d := &Daemon{plan: &plan.Plan{Name: "myapp"}}
	for _, err := range []*fault.Fault{
		d.plan.Fail("start", errors.New("banana")),
		d.plan.Fail("start", syscall.EACCES),
		d.plan.Fail("start", fault.Say("banana", ErrBlocked)),
		d.relay("start", errors.New("banana")),
		d.relay("start", fs.ErrExist),
		d.relay("start", fault.Say("banana", ErrBlocked)),
		d.relay("start", fault.Say("banana", ErrAlreadyRunning)),
		d.plan.AlreadyRunning("start", 7),
		d.plan.NotRunning("start"),
	} {
		if got := d.plan.Failure("start", plan.FailureMessage(err)); got.Capital != err.Capital || inLine(got) != inLine(err) {
			t.Errorf("%q became %q at the launcher", inLine(err), inLine(got))
		}
	}
}

// TestLoggerHearsPublicErrors: what has no caller is of the type that users know as well.
func TestLoggerHearsPublicErrors(t *testing.T) {
	var got []any
	d := &Daemon{plan: &plan.Plan{Name: "myapp"}, code: code{Logger: logger(func(args []any) { got = args })}}
	d.complain("reload", d.plan.Fail("reload", errors.New("banana")))
	if _, is := got[3].(*Error); len(got) != 4 || !is {
		t.Errorf("got %v, want an *Error", got)
	}
}

type logger func(args []any)

func (f logger) Error(_ string, args ...any) { f(args) }
