package daemonocle_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

// TestErrorsAreOfThePublicType: whatever way an error of ours comes to the program, it finds an
// *Error in it, and nothing of the type that the rooms have.
func TestErrorsAreOfThePublicType(t *testing.T) {
	testkit.Parallel(t)
	dir := t.TempDir()
	worker := func(context.Context) error { return nil }
	broken := errors.New("banana")
	refuses := daemonocle.Hooks{Start: func(context.Context, daemonocle.StartInfo) error { return broken },
		Check: func(context.Context) error { return broken }}
	make := func(c daemonocle.Config) *daemonocle.Daemon {
		d, err := daemonocle.New(c)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	group := func(c daemonocle.Config) *daemonocle.Group {
		g, err := daemonocle.NewGroup(c, 2)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	down := make(daemonocle.Config{Name: "down", PIDFile: filepath.Join(dir, "down.pid"), StdoutFile: filepath.Join(dir, "none", "down.log")})
	without := make(daemonocle.Config{Name: "without"})
	checked := make(daemonocle.Config{Name: "checked", Worker: worker, Hooks: refuses})
	hooked := make(daemonocle.Config{Name: "hooked", Worker: worker, Hooks: daemonocle.Hooks{Start: refuses.Start}})
	downs := group(daemonocle.Config{Name: "downs{n}", PIDFile: filepath.Join(dir, "downs{n}.pid")})
	checks := group(daemonocle.Config{Name: "checks{n}", PIDFile: filepath.Join(dir, "checks{n}.pid"), Worker: worker, Hooks: refuses})
	ctx := t.Context()
	quiet := daemonocle.Output{Out: io.Discard, Err: io.Discard}

	got := map[string]error{}
	_, got["start without worker"] = down.Start(ctx, daemonocle.StartOptions{})
	_, got["start with a bad timeout"] = checked.Start(ctx, daemonocle.StartOptions{Timeout: -1})
	_, got["start with a bad check"] = checked.Start(ctx, daemonocle.StartOptions{})
	_, got["start with a bad hook"] = hooked.Start(ctx, daemonocle.StartOptions{})
	_, got["stop"] = down.Stop(ctx, daemonocle.StopOptions{})
	_, got["restart"] = without.Restart(ctx, daemonocle.RestartOptions{})
	_, got["status"] = without.Status(ctx, daemonocle.StatusOptions{})
	_, got["status of a field"] = down.Status(ctx, daemonocle.StatusOptions{Fields: []string{"banana"}})
	_, got["request a reload"] = down.RequestReload(ctx, daemonocle.ReloadOptions{})
	_, got["signal"] = down.Signal(ctx, syscall.SIGHUP)
	got["wait"] = down.Wait(ctx)
	got["logs"] = without.Logs(ctx, io.Discard, daemonocle.LogsOptions{})
	got["reopen"] = down.ReopenLogs()
	got["reload"] = down.Reload(ctx)
	got["run without worker"] = down.Run(ctx)
	got["run with a bad check"] = checked.Run(ctx)
	got["do"] = down.DoWith(ctx, quiet, "banana", nil)
	got["do stop of none"] = without.DoWith(ctx, quiet, "stop", nil)
	got["invoke"] = down.Invoke(ctx, quiet, "stop", map[string][]string{"banana": {""}})
	got["explained"] = daemonocle.Output{Out: io.Discard, Err: new(bytes.Buffer)}.Explain(down.Wait(ctx))
	_, got["start of a group without worker"] = downs.Start(ctx, daemonocle.StartOptions{})
	_, got["start of a group with a bad check"] = checks.Start(ctx, daemonocle.StartOptions{})
	_, got["start of a group in the foreground"] = checks.Start(ctx, daemonocle.StartOptions{Debug: true})
	_, got["stop of a group"] = downs.Stop(ctx, daemonocle.StopOptions{})
	_, got["restart of a group"] = downs.Restart(ctx, daemonocle.RestartOptions{})
	_, got["status of a group"] = downs.Status(ctx, daemonocle.StatusOptions{Fields: []string{"banana"}})
	_, got["request a reload of a group"] = downs.RequestReload(ctx, daemonocle.ReloadOptions{})
	got["logs of a group"] = downs.Logs(ctx, io.Discard, daemonocle.LogsOptions{})
	got["do of a group"] = downs.DoWith(ctx, quiet, "restart", nil)
	_, errs := daemonocle.StatusAll(ctx, daemonocle.StatusOptions{}, down, without)
	got["status of all"] = errs[1]
	if errs[0] != nil {
		t.Error(errs[0])
	}

	for name, err := range got {
		if _, is := errors.AsType[*daemonocle.Error](err); !is {
			t.Errorf("%s: %T has no *Error in it: %v", name, err, err)
		}
		if fault.Has[*fault.Fault](err) {
			t.Errorf("%s: it has a *fault.Fault in it: %v", name, err)
		}
	}
}
