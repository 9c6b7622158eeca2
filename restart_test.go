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
	r.env = append(r.env, "D_WORKER=os.Exit:42", "D_START_WINDOW=1h")
	r.expect(r.do("restart"), result{
		out:  "Stopping foo ... OK\nStarting foo ... FAILED\n",
		err:  "ERROR: Child exited immediately with exit code 42\nhint: The daemon is down: the old process had been stopped.\n",
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

// stumbler is prog, or a group of it with D_WORKERS, whose main fails in the new process if
// the file D_STUMBLE is there, and its hooks if D_REFUSE and D_TRIP are; it has a start hook
// if D_HOOKED is set. D_CHECKS gets a line for each call of the check hook.
func stumbler() {
	if daemonocle.Launched() && onDisk(os.Getenv("D_STUMBLE")) {
		fmt.Fprintln(os.Stderr, "the configuration is broken")
		os.Exit(42)
	}
	c := progConfig()
	if os.Getenv("D_HOOKED") != "" {
		c.Hooks.Start = func(context.Context, daemonocle.StartInfo) error {
			if onDisk(os.Getenv("D_TRIP")) {
				return errors.New("/etc/key: banana")
			}
			return nil
		}
	}
	c.Hooks.Check = func(context.Context) error {
		if path := os.Getenv("D_CHECKS"); path != "" {
			appendLine(path, "asked")
		}
		if onDisk(os.Getenv("D_REFUSE")) {
			return errors.New("conf:1: no such word")
		}
		return nil
	}
	if p := os.Getenv("D_PROGRAM"); p != "" {
		c.Worker = daemonocle.Exec(p, "1000")
	}
	var do interface {
		Do(context.Context, ...string) error
	}
	var err error
	if n := os.Getenv("D_WORKERS"); n != "" {
		c.Name, c.PIDFile = c.Name+"{n}", c.PIDFile+"{n}"
		do, err = daemonocle.NewGroup(c, number("D_WORKERS"))
	} else {
		do, err = daemonocle.New(c)
	}
	if err != nil {
		panic(err)
	}
	os.Exit(daemonocle.ExitCode(do.Do(context.Background(), os.Args[1:]...)))
}

// What Hooks.Check refuses leaves what runs as it is, whatever is asked for, in whatever
// shape; each action asks once.
func TestCheckIsAskedBeforeAnythingHappens(t *testing.T) {
	testkit.Parallel(t)
	const why = "conf:1: no such word"
	for name, settings := range map[string][]string{
		"detached": nil, "start hook": {"D_HOOKED=1"}, "ready first": {"D_REQUIRE_READY=1"}, "program": {"D_PROGRAM=sleep"},
	} {
		t.Run(name, func(t *testing.T) {
			s := describe(t, "stumbler", append(settings, "D_START_WINDOW=50ms")...)
			if name == "ready first" {
				s.with("D_WORKER=ready")
			}
			s.with("D_REFUSE="+filepath.Join(s.side, "refuse"), "D_CHECKS="+filepath.Join(s.side, "checks"))
			refuse := func(on bool) {
				t.Helper()
				if on {
					must(t, os.WriteFile(s.setting("D_REFUSE"), nil, 0o644))
				} else {
					must(t, os.Remove(s.setting("D_REFUSE")))
				}
			}
			checks := func(want string) {
				t.Helper()
				if got := slurp(s.setting("D_CHECKS")); got != want {
					t.Errorf("the check hook was called so: %q, want %q", got, want)
				}
				os.Remove(s.setting("D_CHECKS"))
			}
			refuse(true)
			if r := s.do("start"); r != (ending{"Starting foo ... FAILED\n", "ERROR: " + why + "\n", 1}) {
				t.Errorf("start: got %+v", r)
			}
			checks("asked\n")
			refuse(false)
			old := s.start()
			checks("asked\n")
			refuse(true)
			if r := s.do("start"); r.code != 0 {
				t.Errorf("start of one that runs: got %+v", r)
			}
			checks("")
			hint := fmt.Sprintf("hint: The running daemon (PID %d) goes on as before.\n", old)
			if r := s.do("restart"); r != (ending{"Starting foo ... FAILED\n", "ERROR: " + why + "\n" + hint, 1}) {
				t.Errorf("restart: got %+v", r)
			}
			checks("asked\n")
			s.alone(old)
			if name != "program" {
				hint = fmt.Sprintf("hint: The daemon (PID %d) goes on as before.\n", old)
				if r := s.do("reload"); r != (ending{"Reloading foo ... FAILED\n", "ERROR: " + why + "\n" + hint, 1}) {
					t.Errorf("reload: got %+v", r)
				}
				checks("asked\n")
				s.alone(old)
			}
			refuse(false)
			if r := s.do("restart"); r != (ending{"Stopping foo ... OK\nStarting foo ... OK\n", "", 0}) {
				t.Errorf("restart: got %+v", r)
			}
			checks("asked\n")
			next := s.awaitReload(old)
			if name != "program" {
				if r := s.do("reload"); r.code != 0 {
					t.Errorf("reload: got %+v", r)
				}
				checks("asked\n")
				s.awaitReload(next)
			}
		})
	}
}

// As for one daemon, with one question for all.
func TestCheckOfAGroup(t *testing.T) {
	s := describe(t, "stumbler", "D_WORKERS=3", "D_START_WINDOW=50ms")
	s.with("D_REFUSE="+filepath.Join(s.side, "refuse"), "D_CHECKS="+filepath.Join(s.side, "checks"))
	t.Cleanup(func() { s.do("stop") })
	lines := func(doing, how string) (text string) {
		for n := range 3 {
			text += fmt.Sprintf("%s foo%d ... %s\n", doing, n, how)
		}
		return text
	}
	if r := s.do("start"); r != (ending{lines("Starting", "OK"), "", 0}) {
		t.Fatalf("start: got %+v", r)
	}
	before := s.processes()
	must(t, os.WriteFile(s.setting("D_REFUSE"), nil, 0o644))
	if r := s.do("restart"); r != (ending{"", "ERROR: conf:1: no such word\nhint: Nothing was stopped.\n", 1}) {
		t.Errorf("restart: got %+v", r)
	}
	if now := s.processes(); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("got the processes %v, want %v", now, before)
	}
	must(t, os.Remove(s.setting("D_REFUSE")))
	if r := s.do("restart"); r != (ending{lines("Stopping", "OK") + lines("Starting", "OK"), "", 0}) {
		t.Errorf("restart: got %+v", r)
	}
	if got, want := slurp(s.setting("D_CHECKS")), strings.Repeat("asked\n", 3); got != want {
		t.Errorf("the check hook was called so: %q, want %q", got, want)
	}
}

// The start hook has what the old process held, so that it runs when that is gone: what it
// costs if it fails is said.
func TestRestartSaysThatTheDaemonIsDown(t *testing.T) {
	s := describe(t, "stumbler", "D_HOOKED=1")
	s.with("D_TRIP=" + filepath.Join(s.side, "trip"))
	old := s.start()
	must(t, os.WriteFile(s.setting("D_TRIP"), nil, 0o644))
	want := ending{"Stopping foo ... OK\nStarting foo ... FAILED\n",
		"ERROR: /etc/key: banana\nhint: The daemon is down: the old process had been stopped. A reload would have kept it.\n", 1}
	if r := s.do("restart"); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	testkit.WaitGone(t, old)
	if r := s.do("status"); r.code != 1 {
		t.Errorf("status: got %+v", r)
	}
}

// What the new process cannot even begin is found out before the old one is stopped.
func TestRestartKeepsTheOldOneIfTheNewCannotReachItsWorker(t *testing.T) {
	testkit.Parallel(t)
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
	want := ending{"Stopping foo ... FAILED\n", fmt.Sprintf("ERROR: Restart was cancelled: process %d was told to stop, and will not be started again\n", old), 130}
	if got := r.wait(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.alone(old)
}
