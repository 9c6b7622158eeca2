//go:build linux

package daemonocle_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() { helpers["nested"] = nested }

// nested is a program with two daemons, of which the first starts the second
// once its launcher is gone.
func nested() {
	dir := os.Getenv("N_DIR")
	config := func(name string, worker func(context.Context) error) *daemonocle.Daemon {
		d, err := daemonocle.New(daemonocle.Config{Name: name, PIDFile: filepath.Join(dir, name), Worker: worker})
		if err != nil {
			panic(err)
		}
		return d
	}
	inner := config("inner", progWorker("ready"))
	outer := config("outer", func(ctx context.Context) error {
		launcher := os.Getppid()
		if err := daemonocle.Ready(ctx); err != nil {
			return err
		}
		for os.Getppid() == launcher {
			time.Sleep(time.Millisecond)
		}
		_, err := inner.Start(ctx, daemonocle.StartOptions{})
		appendLine(filepath.Join(dir, "started"), fmt.Sprint(err))
		<-ctx.Done()
		return nil
	})
	ctx := context.Background()
	if os.Args[1] == "stop" {
		inner.Do(ctx, "stop")
		os.Exit(daemonocle.ExitCode(outer.Do(ctx, "stop")))
	}
	err := outer.Do(ctx, "start")
	if daemonocle.Launched() {
		inner.Start(ctx, daemonocle.StartOptions{})
	}
	os.Exit(daemonocle.ExitCode(err))
}

// Its parent is PID 1, but that has not started it.
func TestDaemonThatStartsAnotherIsNotUnderAServiceManager(t *testing.T) {
	dir := testkit.TempDir(t)
	run := func(action string) {
		cmd := testkit.Helper(t, "nested", action)
		cmd.Env = append(cmd.Env, "N_DIR="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", action, err, out)
		}
	}
	run("start")
	t.Cleanup(func() { run("stop") })
	testkit.WaitFor(t, "the inner daemon", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "started"))
		return string(b) == "<nil>\n"
	})
	outer, err1 := os.ReadFile(filepath.Join(dir, "outer"))
	inner, err2 := os.ReadFile(filepath.Join(dir, "inner"))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if string(outer) == string(inner) {
		t.Errorf("both are process %s", outer)
	}
}
