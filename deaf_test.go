//go:build linux

package daemonocle_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() { helpers["deaf"], helpers["deaf-program"] = deaf, deafProgram }

// deafProgram is a launcher that ends before it hears Ctrl-C, when the daemon has its PID
// file and the time to become a program.
func deafProgram() {
	c := progConfig()
	c.Worker = daemonocle.Exec("sh", "-c", "echo runs; exec sleep 1000")
	d, err := daemonocle.New(c)
	if err != nil {
		panic(err)
	}
	if daemonocle.Launched() {
		d.Start(context.Background(), daemonocle.StartOptions{})
	}
	daemonocle.LaunchDeaf(d, func() {
		for !onDisk(c.PIDFile) {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(testkit.Settle) // it must not become the program now
	})
}

// A program cannot tell what the end of its launcher means.
func TestLauncherThatEndsBeforeItListensStartsNoProgram(t *testing.T) {
	s := describe(t, "deaf-program", "D_START_WINDOW=1h")
	if r := s.do("start"); r != (ending{"", "", 0}) {
		t.Fatalf("got %+v", r)
	}
	testkit.WaitFor(t, "nothing to be left", func() bool { return len(s.processes()) == 0 })
	if got := slurp(s.out); got != "" || onDisk(s.pid) {
		t.Errorf("it wrote %q, PID file: %v", got, onDisk(s.pid))
	}
}

// deaf is a launcher that ends before it hears Ctrl-C, but not before its
// daemon works.
func deaf() {
	c := progConfig()
	working := os.Getenv("D_STDOUT")
	c.Worker = func(ctx context.Context) error {
		appendLine(working, "working")
		<-ctx.Done()
		return nil
	}
	d, err := daemonocle.New(c)
	if err != nil {
		panic(err)
	}
	if daemonocle.Launched() {
		d.Start(context.Background(), daemonocle.StartOptions{})
	}
	daemonocle.LaunchDeaf(d, func() {
		for {
			if info, err := os.Stat(working); err == nil && info.Size() > 0 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// The handlers are installed while the daemon is on its way: a Ctrl-C before
// that ends the launcher, and must end the start as well.
func TestLauncherThatEndsBeforeItListensCancelsTheStart(t *testing.T) {
	dir := testkit.TempDir(t)
	hook, pid := dir+"/hook", dir+"/run/foo.pid"
	cmd := testkit.Helper(t, "deaf")
	cmd.Env = append(cmd.Env, "D_PIDFILE="+pid, "D_STDOUT="+dir+"/out", "D_HOOK_LOG="+hook, "D_START_WINDOW=1h")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	testkit.WaitFor(t, "the shutdown hook", func() bool {
		b, _ := os.ReadFile(hook)
		return string(b) == "Start was cancelled|0\n"
	})
	testkit.WaitFor(t, "the PID file's directory to be gone", func() bool {
		_, err := os.Stat(dir + "/run")
		return os.IsNotExist(err)
	})
}
