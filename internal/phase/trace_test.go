//go:build linux

package phase_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func TestMain(m *testing.M) {
	phase.Trace = testkit.Recorder()
	testkit.Main(m, map[string]func(){"daemon": daemon})
}

// daemon is a program with one daemon, whose settings the environment has:
//
//	T_FIRST    set: RequireReady
//	T_START    Config.StartTimeout
//	T_SILENT   set: the worker is never ready
//	T_FAIL     generation of which the worker fails
//	T_REFUSE   generation of which the set-up fails
//	T_WAIT     generation of which the worker waits, when it is to end, for somebody who opens the
//	           FIFO T_FIFO for writing
//	T_BECOME   the worker is another program: false, never ready, or one that goes on
//	T_KEPT     set: Foreground
func daemon() {
	set := func(name string) bool { return os.Getenv(name) != "" }
	is := func(name string, generation int) bool { return os.Getenv(name) == strconv.Itoa(generation) }
	timeout, err := time.ParseDuration(os.Getenv("T_START"))
	if err != nil {
		timeout = testkit.Patience
	}
	c := daemonocle.Config{
		Name: "traced", PIDFile: os.Getenv("T_PIDFILE"), RequireReady: set("T_FIRST"), Foreground: set("T_KEPT"), StartTimeout: timeout, StopTimeout: 2 * testkit.Patience,
		Worker: func(ctx context.Context) error {
			if is("T_FAIL", daemonocle.Generation(ctx)) {
				return errors.New("it fails")
			}
			if !set("T_SILENT") {
				daemonocle.Ready(ctx)
			}
			<-ctx.Done()
			if is("T_WAIT", daemonocle.Generation(ctx)) {
				os.ReadFile(os.Getenv("T_FIFO"))
			}
			return nil
		},
		Hooks: daemonocle.Hooks{Privileged: func(ctx context.Context) error {
			if is("T_REFUSE", daemonocle.Generation(ctx)) {
				return errors.New("it refuses")
			}
			return nil
		}},
	}
	if set("T_BECOME") {
		program := daemonocle.Program{Name: "sleep", Args: []string{"1000"}}
		switch os.Getenv("T_BECOME") {
		case "false":
			program = daemonocle.Program{Name: "false"}
		case "never ready":
			program.Ready = daemonocle.ReadyNotify()
		}
		c.Worker = program.Worker()
	}
	d, err := daemonocle.New(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

// traced is a daemon whose steps are recorded.
type traced struct {
	t        *testing.T
	dir, log string
	env      []string
}

func newTraced(t *testing.T, settings ...string) *traced {
	testkit.Parallel(t)
	dir := testkit.TempDir(t)
	s := &traced{t: t, dir: dir, log: filepath.Join(dir, "trace")}
	s.env = append(settings, "TESTKIT_TRACE="+s.log, "T_PIDFILE="+filepath.Join(dir, "pid"), "T_FIFO="+filepath.Join(dir, "fifo"), "XDG_RUNTIME_DIR="+dir, "XDG_STATE_HOME="+dir)
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { testkit.Sweep(t, "T_PIDFILE="+filepath.Join(dir, "pid")) })
	return s
}

// pid is the number in the PID file, 0 if there is none.
func (s *traced) pid() int {
	b, _ := os.ReadFile(filepath.Join(s.dir, "pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

func (s *traced) trace() string {
	b, _ := os.ReadFile(s.log)
	return string(b)
}

// begin calls an action, which may take its time.
func (s *traced) begin(action string) *exec.Cmd {
	s.t.Helper()
	cmd := testkit.Helper(s.t, "daemon", action)
	cmd.Env = append(cmd.Env, s.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd
}

func (s *traced) end(cmd *exec.Cmd, code int) {
	s.t.Helper()
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("%q: exit code %d, want %d\n%s", cmd.Args[1:], got, code, s.trace())
	}
}

func (s *traced) do(action string, code int) {
	s.t.Helper()
	s.end(s.begin(action), code)
}

// sees waits until a step has been taken so often: "Life Working, End".
func (s *traced) sees(step string, times int) {
	s.t.Helper()
	testkit.WaitFor(s.t, step, func() bool { return s.count(step) >= times })
}

func (s *traced) count(step string) (n int) {
	list, _ := phase.ReadTrace(s.trace())
	return phase.Count(list, step)
}

// over waits until a process has ended that may not be a child.
func (s *traced) over(pid int) {
	s.t.Helper()
	testkit.WaitGone(s.t, pid)
}

func (s *traced) signal(pid int, sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		s.t.Fatal(err)
	}
}

// letGo lets the worker go that waits.
func (s *traced) letGo() {
	s.t.Helper()
	testkit.WaitFor(s.t, "the worker to wait", func() bool {
		f, err := os.OpenFile(filepath.Join(s.dir, "fifo"), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return false
		}
		return f.Close() == nil
	})
}

var traceFile = flag.String("recorded", "", "look through what tests with TESTKIT_TRACE=FILE have recorded: FILE, or several with commas")

// TestTrace looks through a trace of other tests: go test . with TESTKIT_TRACE makes one.
func TestTrace(t *testing.T) {
	if *traceFile == "" {
		t.Skip("there is no -recorded")
	}
	var recordings []phase.Courses
	for file := range strings.SplitSeq(*traceFile, ",") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, errs := phase.ReadTrace(string(text))
		t.Logf("%s: %d of whom there is something in it", file, len(list))
		for _, err := range errs {
			t.Errorf("%s: %v", file, err)
		}
		t.Logf("%s: the walk leaves out: %v", file, phase.LeftOut(list))
		recordings = append(recordings, list)
	}
	if phase.Update() {
		phase.WriteSeen(t, recordings)
	}
	for _, wrong := range phase.Unseen(t, recordings) {
		t.Error(wrong)
	}
}

// TestTraces: what real processes do, the walk does as well, each for itself and all of them
// together.
func TestTraces(t *testing.T) {
	const first = "T_FIRST=1"
	kept := func(s *traced) *exec.Cmd {
		s.env = append(s.env, "T_KEPT=1")
		cmd := s.begin("start")
		s.sees("Verdict Decided, SaysReady", 1)
		return cmd
	}
	twoReloads := func(s *traced) {
		cmd := kept(s)
		s.do("reload", 0)
		s.sees("Keeper Tending, Follows", 1)
		s.do("reload", 0)
		s.sees("Keeper Tending, Follows", 2)
		s.signal(cmd.Process.Pid, syscall.SIGINT)
		s.end(cmd, 0)
	}
	for _, tt := range []struct {
		name     string
		settings []string
		play     func(s *traced)
		steps    []string // that must have been taken, or it was another scenario
		killed   bool     // by somebody
		kind     phase.Kind
		false    []string // without these steps, and what the same one does after that, it is impossible
	}{
		{name: "start and stop", settings: []string{first}, play: func(s *traced) {
			s.do("start", 0)
			s.do("stop", 0)
		}, steps: []string{"Launch Running, IsReady", "Follow Held, Outlived", "Life Working, End"}, false: []string{"Verdict Open, SaysReady", "Life Working, End"}},
		{name: "start fails in the set-up", settings: []string{first, "T_REFUSE=1"}, play: func(s *traced) {
			s.do("start", 1)
		}, steps: []string{"Launch Found, Fails"}},
		{name: "start fails in the worker", settings: []string{first, "T_FAIL=1"}, play: func(s *traced) {
			s.do("start", 1)
		}, steps: []string{"Launch Running, HangsUp", "Launch Mute, Exits"}},
		{name: "start is cancelled", settings: []string{first, "T_SILENT=1"}, play: func(s *traced) {
			cmd := s.begin("start")
			s.sees("Launch Found, Runs", 1)
			s.signal(cmd.Process.Pid, syscall.SIGINT)
			s.end(cmd, 130)
		}, steps: []string{"Launch Running, CallOff", "Verdict Open, Cancels"}},
		{name: "start is late", settings: []string{first, "T_SILENT=1", "T_START=1s"}, play: func(s *traced) {
			s.do("start", 75)
			s.sees("Life ComingUp, Begin", 1) // on a busy machine it may be as late as that
			s.do("stop", 0)
		}},
		{name: "stop during a start", settings: []string{first, "T_SILENT=1"}, play: func(s *traced) {
			cmd := s.begin("start")
			s.sees("Launch Found, Runs", 1)
			s.do("stop", 0)
			s.end(cmd, 1)
		}, steps: []string{"Launch Running, HangsUp", "Follow Held, Outlived"}},
		{name: "launcher is killed", settings: []string{first, "T_SILENT=1"}, play: func(s *traced) {
			cmd := s.begin("start")
			s.sees("Launch Found, Runs", 1)
			s.signal(cmd.Process.Pid, syscall.SIGKILL)
			s.end(cmd, -1)
			s.sees("Verdict Open, Decides", 1)
			s.do("stop", 0)
		}, killed: true},
		{name: "reload, ready first", settings: []string{first}, play: func(s *traced) {
			s.do("start", 0)
			s.do("reload", 0)
			s.do("stop", 0)
		}, steps: []string{"TakeOver TakingOver, Done", "Follow Held, Outlived", "Request Requested, SaysDone"},
			false: []string{"Life Working, Hand", "Life Handing, Handed", "TakeOver Asking, Granted", "TakeOver Took, Releases", "Successor SettingUpFirst, Runs", "Life Working, End"}},
		{name: "reload, after", play: func(s *traced) {
			s.do("start", 0)
			s.do("reload", 0)
			s.do("stop", 0)
		}, steps: []string{"TakeOver TakingOver, Done"}, false: []string{"Life Working, Leave", "Life Parting, WorkerEnded", "Life Parting, Depart", "Life ComingUp, Begin"}},
		{name: "reload fails, ready first", settings: []string{first, "T_FAIL=2"}, play: func(s *traced) {
			s.do("start", 0)
			s.do("reload", 1)
			s.do("stop", 0)
		}, steps: []string{"TakeOver Asking, Ends"}},
		{name: "reload fails, after", settings: []string{"T_REFUSE=2"}, play: func(s *traced) {
			s.do("start", 0)
			s.do("reload", 1)
			s.do("stop", 0)
		}, steps: []string{"Successor SettingUp, Fails"}},
		{name: "stop during a reload, ready first", settings: []string{first, "T_WAIT=1"}, play: func(s *traced) {
			s.do("start", 0)
			s.do("reload", 0) // the old one finishes its work
			cmd := s.begin("stop")
			s.sees("Life Working, End", 1)
			s.letGo()
			s.end(cmd, 0)
		}, steps: []string{"Life Handing, Handed"}},
		{name: "stop during a reload, after", settings: []string{"T_WAIT=1"}, play: func(s *traced) {
			s.do("start", 0)
			pid := s.pid()
			reload := s.begin("reload")
			s.sees("Life Working, Leave", 1)
			stop := s.begin("stop")
			s.sees("Life Parting, End", 1)
			s.letGo()
			s.end(stop, 0)
			s.end(reload, 0) // FAILED, but as somebody wanted it
			s.over(pid)
		}, steps: []string{"Life Recalled, WorkerEnded", "TakeOver Promised, Cancelled"}},
		{name: "old one is killed", settings: []string{"T_WAIT=1"}, play: func(s *traced) {
			s.do("start", 0)
			pid := s.pid()
			reload := s.begin("reload")
			s.sees("TakeOver Waiting, Leaves", 1)
			s.signal(pid, syscall.SIGKILL)
			s.end(reload, 0)
			s.do("stop", 0)
		}, steps: []string{"TakeOver TakingOver, Done"}, killed: true},
		{name: "Ctrl-C to a keeper", settings: []string{first}, play: func(s *traced) {
			cmd := kept(s)
			s.signal(cmd.Process.Pid, syscall.SIGINT)
			s.end(cmd, 0)
		}, steps: []string{"Keeper Tending, Asked", "Keeper Clearing, Cleared"}, kind: phase.Kept, false: []string{"Life Working, End", "Life Stopping, WorkerEnded"}},
		{name: "keeper and reload, ready first", settings: []string{first}, play: func(s *traced) {
			cmd := kept(s)
			s.do("reload", 0)
			s.sees("Keeper Tending, Follows", 1)
			s.signal(cmd.Process.Pid, syscall.SIGINT)
			s.end(cmd, 0)
		}, steps: []string{"Life Handing, Handed"}, kind: phase.Kept},
		{name: "keeper and reload, after", play: func(s *traced) {
			cmd := kept(s)
			s.do("reload", 0)
			s.sees("Keeper Tending, Follows", 1)
			s.signal(cmd.Process.Pid, syscall.SIGINT)
			s.end(cmd, 0)
		}, steps: []string{"Life Parting, Depart"}, kind: phase.Kept},
		{name: "keeper and two reloads, ready first", settings: []string{first}, play: twoReloads, kind: phase.Kept, false: []string{"Keeper Tending, Follows", "TakeOver TakingOver, Done"}},
		{name: "keeper and two reloads, after", play: twoReloads, kind: phase.Kept, false: []string{"Keeper Tending, Follows", "TakeOver TakingOver, Done"}},
		{name: "Ctrl-C to a keeper during a reload", settings: []string{"T_WAIT=1"}, play: func(s *traced) {
			cmd := kept(s)
			reload := s.begin("reload")
			s.sees("Life Working, Leave", 1)
			s.signal(cmd.Process.Pid, syscall.SIGINT)
			s.sees("Life Parting, End", 1)
			s.letGo()
			s.end(cmd, 0)
			s.end(reload, 0) // FAILED, but as somebody wanted it
		}, steps: []string{"Life Recalled, WorkerEnded"}, kind: phase.Kept},
		{name: "restart", settings: []string{first}, play: func(s *traced) {
			s.do("start", 0)
			s.do("restart", 0)
			s.do("stop", 0)
		}, steps: []string{"Launch Claimed, Arrives", "Launch AtGate, Opens"}, kind: phase.Restarted,
			false: []string{"Launch AtGate, Opens", "Follow Held, Outlived"}},
		{name: "restart fails after the gate", settings: []string{first}, play: func(s *traced) {
			s.do("start", 0)
			s.env = append(s.env, "T_REFUSE=1")
			s.do("restart", 1)
		}, steps: []string{"Launch AtGate, Opens", "Launch Found, Fails"}, kind: phase.Restarted},
		{name: "program", settings: []string{"T_BECOME=1"}, play: func(s *traced) {
			s.do("start", 0)
			s.do("stop", 0)
		}, steps: []string{"Launch Becoming, HangsUp"}, kind: phase.Foreign, false: []string{"Life ComingUp, Begin"}},
		{name: "start of a program is cancelled", settings: []string{"T_BECOME=never ready"}, play: func(s *traced) {
			cmd := s.begin("start")
			s.sees("Launch Becoming, HangsUp", 1)
			s.signal(cmd.Process.Pid, syscall.SIGINT)
			s.end(cmd, 130)
		}, steps: []string{"Launch Replaced, CallOff", "Launch RecallReplaced, Exits"}, kind: phase.Foreign},
		{name: "a program ends at once", settings: []string{"T_BECOME=false"}, play: func(s *traced) {
			s.do("start", 1)
		}, kind: phase.Foreign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTraced(t, tt.settings...)
			tt.play(s)
			if t.Failed() {
				t.FailNow()
			}
			list, errs := phase.ReadTrace(s.trace())
			if left := phase.LeftOut(list); len(left) > 0 {
				errs = append(errs, fmt.Errorf("the walk leaves out %v", left))
			}
			for _, step := range tt.steps {
				if phase.Count(list, step) == 0 {
					errs = append(errs, fmt.Errorf("nobody has taken the step %s", step))
				}
			}
			kind := tt.kind
			if kind == 0 {
				kind = phase.Detached
			}
			possible := func(list phase.Courses) error {
				return phase.Possible(list, kind, slices.Contains(tt.settings, first), tt.killed)
			}
			if err := errors.Join(append(errs, possible(list))...); err != nil {
				t.Fatalf("%v\n%s", err, s.trace())
			}
			for _, step := range tt.false {
				if list, errs := phase.ReadTrace(phase.Without(s.trace(), step, true)); len(errs) == 0 && possible(list) == nil {
					t.Errorf("a trace without the step %s counts as possible", step)
				}
				if list, errs := phase.ReadTrace(phase.Without(s.trace(), step, false)); len(errs) > 0 || possible(list) == nil {
					t.Errorf("a trace that, for who takes the step %s, ends there, counts as possible, or as broken: %v", step, errs)
				}
			}
		})
	}
}
