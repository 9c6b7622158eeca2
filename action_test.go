package daemonocle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
)

// acting is a daemon that does not run, with these actions.
func acting(t *testing.T, a ...daemonocle.Action) *daemonocle.Daemon {
	t.Helper()
	d, err := daemonocle.New(daemonocle.Config{Name: "acting", PIDFile: filepath.Join(t.TempDir(), "acting.pid"), Actions: a})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// captured calls an action and gives what it prints.
func captured(d *daemonocle.Daemon, out daemonocle.Output, name string, options any, args ...string) (stdout, stderr string, err error) {
	var o, e bytes.Buffer
	out.Out, out.Err = &o, &e
	err = d.DoWith(context.Background(), out, name, options, args...)
	return o.String(), e.String(), err
}

func TestAnActionOfOnesOwnRunsWithoutACommandLine(t *testing.T) {
	type options struct {
		Times int `default:"2"`
	}
	d := acting(t, daemonocle.NewAction("full-status", "Tell all.", func(ctx context.Context, c *daemonocle.Call, o options) error {
		s, err := c.Daemon.Status(ctx, daemonocle.StatusOptions{})
		for range o.Times {
			fmt.Fprintln(c.Out, s.State, strings.Join(c.Args, " "))
		}
		return err
	}))
	for _, call := range []struct {
		options any
		want    string
	}{
		{nil, "dead a b\ndead a b\n"},
		{options{Times: 1}, "dead a b\n"},
	} {
		stdout, stderr, err := captured(d, daemonocle.Output{}, "full-status", call.options, "a", "b")
		if stdout != call.want || stderr != "" || err != nil {
			t.Errorf("prints %q and %q, %v; want %q", stdout, stderr, err, call.want)
		}
	}
	_, stderr, err := captured(d, daemonocle.Output{}, "full-status", 7)
	if !errors.Is(err, daemonocle.ErrUsage) || !strings.HasPrefix(stderr, "ERROR: The options of full-status are a daemonocle_test.options, not a int\n") {
		t.Errorf("options of another type: %v, %q", err, stderr)
	}
}

func TestAnErrorOfAnActionIsPrintedOnce(t *testing.T) {
	sentinel := errors.New("no luck")
	d := acting(t,
		daemonocle.NewAction("fail", "", func(context.Context, *daemonocle.Call, struct{}) error { return sentinel }),
		daemonocle.NewAction("told", "", func(_ context.Context, c *daemonocle.Call, _ struct{}) error {
			return fmt.Errorf("told: %w", c.Explain(sentinel))
		}),
		daemonocle.NewAction("wrapped", "", func(ctx context.Context, c *daemonocle.Call, _ struct{}) error {
			_, err := c.Daemon.Start(ctx, daemonocle.StartOptions{})
			return fmt.Errorf("deploy: %w", err)
		}),
		daemonocle.NewAction("start", "", func(ctx context.Context, c *daemonocle.Call, o daemonocle.StartOptions) error {
			return c.Builtin(ctx, o)
		}),
		daemonocle.NewAction("mine", "", func(ctx context.Context, c *daemonocle.Call, _ struct{}) error {
			return c.Builtin(ctx, nil)
		}),
	)
	for name, want := range map[string]string{
		"fail":    "ERROR: no luck\n",
		"told":    "ERROR: no luck\n",
		"wrapped": "ERROR: deploy: daemonocle: start acting: no worker is defined for daemon\n",
		"start":   "ERROR: No worker is defined for daemon\n",
		"mine":    "ERROR: There is no built-in action \"mine\"\n",
	} {
		_, stderr, err := captured(d, daemonocle.Output{}, name, nil)
		if stderr != want {
			t.Errorf("%s prints %q, want %q", name, stderr, want)
		}
		if err == nil || !daemonocle.Shown(err) || daemonocle.ExitCode(err) != 1 {
			t.Errorf("%s: %v is not shown, or its exit code is not 1", name, err)
		}
	}
	if _, _, err := captured(d, daemonocle.Output{}, "fail", nil); !errors.Is(err, sentinel) {
		t.Errorf("%v does not wrap the action's error", err)
	}
	if _, _, err := captured(d, daemonocle.Output{}, "wrapped", nil); !errors.Is(err, daemonocle.ErrNoWorker) {
		t.Errorf("%v does not wrap the cause", err)
	}
	if daemonocle.Shown(sentinel) || daemonocle.Shown(nil) {
		t.Error("an error that was not printed counts as shown")
	}
}

func TestAnActionThatPanicsIsAnError(t *testing.T) {
	d := acting(t, daemonocle.NewAction("crash", "", func(_ context.Context, c *daemonocle.Call, _ struct{}) error {
		fmt.Fprint(c.Out, "not lost")
		panic("banana")
	}))
	stdout, stderr, err := captured(d, daemonocle.Output{}, "crash", nil)
	if stdout != "not lost" || !strings.HasPrefix(stderr, "ERROR: Action crash panicked: banana\n") || !strings.Contains(stderr, "action_test.go:") {
		t.Errorf("prints %q and %q", stdout, stderr)
	}
	if daemonocle.ExitCode(err) != 1 {
		t.Errorf("exit code %d, want 1", daemonocle.ExitCode(err))
	}
}

func TestAFailureBeforeTheOriginalIsAnOutcomeToo(t *testing.T) {
	d := acting(t, daemonocle.NewAction("start", "", func(context.Context, *daemonocle.Call, struct{}) error {
		return errors.New("no disk")
	}))
	stdout, _, _ := captured(d, daemonocle.Output{JSON: true}, "start", nil)
	if want := `{"code": 1, "error": "no disk", "name": "acting", "outcome": "failed", "reason": null}` + "\n"; stdout != want {
		t.Errorf("prints %q, want %q", stdout, want)
	}
}

func TestExplainPrintsWhatAnActionWouldPrint(t *testing.T) {
	var out bytes.Buffer
	o := daemonocle.Output{Err: &out}
	err := o.Explain(&daemonocle.Error{Op: "start", Name: "acting", Code: 3, Reason: "because", Stderr: []string{"one", "two"}, Hint: "Try.", Err: errors.New("no luck")})
	if want := "ERROR: no luck\nreason: because\nstderr: one\nstderr: two\nhint: Try.\n"; out.String() != want {
		t.Errorf("prints %q, want %q", out.String(), want)
	}
	if o.Explain(err); strings.Count(out.String(), "ERROR") != 1 {
		t.Errorf("prints it twice: %q", out.String())
	}
	if daemonocle.ExitCode(err) != 3 || o.Explain(nil) != nil {
		t.Errorf("exit code %d", daemonocle.ExitCode(err))
	}
}

func TestColorsHaveNames(t *testing.T) {
	for _, c := range []daemonocle.Color{daemonocle.ColorAuto, daemonocle.ColorAlways, daemonocle.ColorNever} {
		var back daemonocle.Color
		if err := back.UnmarshalText([]byte(c.String())); err != nil || back != c {
			t.Errorf("%v is read as %v, %v", c, back, err)
		}
	}
	var c daemonocle.Color
	if err := c.UnmarshalText([]byte("blue")); err == nil {
		t.Error("blue is taken")
	}
	if got := daemonocle.Color(9).String(); got != "Color(9)" {
		t.Errorf("a colour that is none is %q", got)
	}
}

// A worker that takes no arguments gets none, in whatever way they come: they are named, and
// nothing is tried.
func TestArgumentsThatNobodyTakesAreRefused(t *testing.T) {
	tried := false
	config := func(name string) daemonocle.Config {
		return daemonocle.Config{Name: name, PIDFile: filepath.Join(t.TempDir(), name+".pid"), NoArgs: true,
			Worker: func(context.Context) error { return nil },
			Hooks: daemonocle.Hooks{
				Check: func(context.Context) error { tried = true; return errors.New("tried") },
				Start: func(context.Context, daemonocle.StartInfo) error { tried = true; return errors.New("tried") },
			}}
	}
	d, err := daemonocle.New(config("argless"))
	if err != nil {
		t.Fatal(err)
	}
	one, err := daemonocle.NewGroup(config("argless-one{n}"), 1)
	if err != nil {
		t.Fatal(err)
	}
	many, err := daemonocle.NewGroup(config("argless-many{n}"), 3)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	out := daemonocle.Output{Out: &stderr, Err: &stderr}
	args := []string{"my.conf", "a b"}
	ctx := t.Context()
	start := daemonocle.StartOptions{Args: args}
	restart := daemonocle.RestartOptions{Start: start}
	type does interface {
		DoWith(ctx context.Context, out daemonocle.Output, name string, options any, args ...string) error
		Invoke(ctx context.Context, out daemonocle.Output, name string, options map[string][]string, args ...string) error
		Specs() []daemonocle.ActionSpec
	}
	ways := map[string]func() error{
		"daemon start":   func() error { _, err := d.Start(ctx, start); return err },
		"daemon restart": func() error { _, err := d.Restart(ctx, restart); return err },
		"one start":      func() error { _, err := one.Start(ctx, start); return err },
		"one restart":    func() error { _, err := one.Restart(ctx, restart); return err },
		"many start":     func() error { _, err := many.Start(ctx, start); return err },
		"many restart":   func() error { _, err := many.Restart(ctx, restart); return err },
	}
	for name, p := range map[string]does{"daemon": d, "one": one, "many": many} {
		for _, action := range []string{"start", "restart", "stop", "status", "reload"} {
			ways[name+" DoWith "+action] = func() error { return p.DoWith(ctx, out, action, nil, args...) }
			ways[name+" Invoke "+action] = func() error { return p.Invoke(ctx, out, action, nil, args...) }
		}
		ways[name+" options of start"] = func() error { return p.DoWith(ctx, out, "start", start) }
		ways[name+" options of restart"] = func() error { return p.DoWith(ctx, out, "restart", restart) }
		for _, s := range p.Specs() {
			if s.Args {
				t.Errorf("%s: %s takes arguments", name, s.Name)
			}
		}
	}
	for way, call := range ways {
		err := call()
		if !errors.Is(err, daemonocle.ErrUsage) || daemonocle.ExitCode(err) != 2 || !strings.HasSuffix(err.Error(), `unexpected arguments "my.conf", "a b"`) {
			t.Errorf("%s: exit code %d, %v", way, daemonocle.ExitCode(err), err)
		}
	}
	if tried {
		t.Error("something was tried")
	}
}
