//go:build linux

package daemonocle_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func TestRestartMakesAnotherProcess(t *testing.T) {
	r := newRig(t)
	old := r.start()
	r.expect(r.do("restart"), result{out: "Stopping foo ... OK\nStarting foo ... OK\n"})
	r.gone(old)
	pid := holder(t, r.pidFile)
	if pid == 0 || pid == old {
		t.Errorf("process %d holds the PID file, the old one was %d", pid, old)
	}
	r.alive(pid)
}

func TestRestartWithoutADaemonStartsOne(t *testing.T) {
	r := newRig(t)
	r.expect(r.do("restart"), result{out: "Starting foo ... OK\n", err: "WARNING: foo is not running\n"})
	r.alive(holder(t, r.pidFile))
}

func TestRestartStartsNothingIfStopFails(t *testing.T) {
	r := newRig(t, "D_WORKER=deaf", "D_STOP_TIMEOUT=20ms")
	old := r.start()
	got := r.do("restart")
	if got.out != "Stopping foo ... FAILED\n" || got.code != 1 {
		t.Errorf("got %v", got)
	}
	r.alive(old)
	if pid := holder(t, r.pidFile); pid != old {
		t.Errorf("process %d holds the PID file, not %d", pid, old)
	}
}

func TestRestartLooksForAWorkerBeforeItStops(t *testing.T) {
	r := newRig(t)
	old := r.start()
	r.env = append(r.env, "D_WORKER=none")
	r.expect(r.do("restart"), result{err: "ERROR: No worker is defined for daemon\n", code: 1})
	r.alive(old)

	got, err := r.daemon().Restart(t.Context(), daemonocle.RestartOptions{})
	if !errors.Is(err, daemonocle.ErrNoWorker) || got.Stopped.PID != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	r.alive(old)
}

// The exit code is that of the start: the new process is the one that matters.
func TestRestartExitsAsStartDoes(t *testing.T) {
	r := newRig(t)
	old := r.start()
	r.env = append(r.env, "D_WORKER=os.Exit:42")
	r.expect(r.do("restart"), result{
		out:  "Stopping foo ... OK\nStarting foo ... FAILED\n",
		err:  "ERROR: Child exited immediately with exit code 42\n",
		code: 42,
	})
	r.gone(old)
	r.clean()
}

func TestRestartRefusesANegativeTimeout(t *testing.T) {
	r := newRig(t)
	old := r.start()
	d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: r.pidFile, Worker: progWorker("alive")})
	if err != nil {
		t.Fatal(err)
	}
	o := daemonocle.RestartOptions{Stop: daemonocle.StopOptions{Timeout: -time.Second}}
	if got, err := d.Restart(t.Context(), o); err == nil || got.Started.PID != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	r.alive(old)
}

func init() { helpers["stumbler"] = stumbler }

// stumbler is prog with a main that fails in the new process if the file D_STUMBLE is
// there, and with a start hook if D_HOOKED is set.
func stumbler() {
	if daemonocle.Launched() && onDisk(os.Getenv("D_STUMBLE")) {
		fmt.Fprintln(os.Stderr, "the configuration is broken")
		os.Exit(42)
	}
	c := progConfig()
	if os.Getenv("D_HOOKED") != "" {
		c.Hooks.Start = func(context.Context, daemonocle.StartInfo) error { return nil }
	}
	d, err := daemonocle.New(c)
	if err != nil {
		panic(err)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

// What the new process cannot even begin is found out before the old one is stopped.
func TestRestartKeepsTheOldOneIfTheNewCannotReachItsWorker(t *testing.T) {
	for _, hooked := range []string{"", "1"} {
		t.Run("start hook="+hooked, func(t *testing.T) {
			s := describe(t, "stumbler", "D_HOOKED="+hooked)
			s.with("D_STUMBLE=" + filepath.Join(s.side, "stumble"))
			old := s.start()
			hint := fmt.Sprintf("hint: The running daemon (PID %d) goes on as before.\n", old)

			if err := os.WriteFile(s.setting("D_STUMBLE"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			broken := ending{
				"Starting foo ... FAILED\n",
				"ERROR: Child exited immediately with exit code 42\nstderr: the configuration is broken\n" + hint, 42,
			}
			if r := s.do("restart"); r != broken {
				t.Errorf("got %+v, want %+v", r, broken)
			}
			s.alone(old)

			if err := os.Remove(s.setting("D_STUMBLE")); err != nil {
				t.Fatal(err)
			}
			was := s.setting("D_STDOUT")
			s.with("D_STDOUT=" + s.side)
			r := s.do("restart")
			if want := "ERROR: Unable to open log file " + s.side + " (is a directory)\n" + hint; r.out != "Starting foo ... FAILED\n" || r.err != want || r.code != 1 {
				t.Errorf("got %+v, want %q", r, want)
			}
			s.with("D_STDOUT=" + was)
			s.alone(old)

			if r := s.do("restart"); r != (ending{"Stopping foo ... OK\nStarting foo ... OK\n", "", 0}) {
				t.Errorf("got %+v", r)
			}
			s.alone(s.awaitReload(old))
		})
	}
}

// A launcher that is killed while the new process waits leaves the old one alone.
func TestRestartThatIsKilledBeforeTheStop(t *testing.T) {
	s := describe(t, "life", "L_STUBBORN=1", "L_QUIET=1", "D_START_WINDOW=10ms")
	old := s.start()
	r := s.begin(s.command("restart"))
	testkit.WaitFor(t, "the stop", func() bool { return strings.Contains(slurp(s.out), "cause: ") })
	r.signal(syscall.SIGKILL)
	r.wait()
	s.alone(old)
}

// Ctrl-C while the old one is stopped ends the waiting, and not only the new process.
func TestRestartInterruptedWhileItStops(t *testing.T) {
	s := describe(t, "life", "L_STUBBORN=1", "D_STOP_TIMEOUT=1h")
	old := s.start()
	r := s.begin(s.command("restart"))
	waitText(t, s.out, "cause: ")
	r.signal(syscall.SIGINT)
	if got := r.wait(); got.code != 1 || got.out != "Stopping foo ... FAILED\n" {
		t.Errorf("got %+v", got)
	}
	s.alone(old)
}
