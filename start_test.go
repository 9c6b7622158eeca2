//go:build linux

package daemonocle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	"github.com/daemonocle/daemonocle/internal/testkit"
	_ "github.com/daemonocle/daemonocle/internal/testkit/early" // TESTKIT_EARLY
	"github.com/daemonocle/daemonocle/internal/timing"
)

func init() {
	helpers["gated"] = gated
	helpers["pair"] = pair
	helpers["inatest"] = inATest
}

// gated is prog with a gate at each phase of a daemon's life, at which a test
// can hold it up: D_GATE_LAUNCHER and D_GATE_MAIN in main, before and after the
// launch, D_GATE_PRIVILEGED, D_GATE_WORKER, D_GATE_READY, D_GATE_SHUTDOWN.
//
// With "api" for an action it calls Start and prints the answer.
func gated() {
	if daemonocle.Launched() {
		if os.Getenv("D_MAIN_CLOSES") != "" {
			closeWire()
		}
		pass(os.Getenv("D_GATE_MAIN"))
		if code := os.Getenv("D_MAIN_EXIT"); code != "" {
			n, _ := strconv.Atoi(code)
			os.Exit(n)
		}
	} else {
		pass(os.Getenv("D_GATE_LAUNCHER"))
	}
	c := progConfig()
	c.Worker = gatedWorker(c.Worker)
	if path := os.Getenv("D_GATE_PRIVILEGED"); path != "" {
		c.Hooks.Privileged = func(context.Context) error { pass(path); return nil }
	}
	if path := os.Getenv("D_GATE_SHUTDOWN"); path != "" {
		c.Hooks.Shutdown = func(daemonocle.Shutdown) { pass(path) }
	}
	if spec := os.Getenv("D_START_HOOK"); spec != "" {
		c.Hooks.Start = func(_ context.Context, info daemonocle.StartInfo) error { return startHook(spec, info) }
	}
	d, err := daemonocle.New(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "api" {
		callStart(d, os.Args[2:])
		return
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

// gatedWorker is the worker that D_WORKER names behind a gate; without a name
// one that is ready, says so on stderr and in D_READY_LOG, and has a gate behind
// that.
func gatedWorker(named func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		pass(os.Getenv("D_GATE_WORKER"))
		if os.Getenv("D_WORKER") != "" {
			return named(ctx)
		}
		if err := daemonocle.Ready(ctx); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(os.Stderr, "ready"); err != nil {
			return err
		}
		if path := os.Getenv("D_READY_LOG"); path != "" {
			appendLine(path, strconv.Itoa(os.Getpid()))
		}
		pass(os.Getenv("D_GATE_READY"))
		<-ctx.Done()
		return nil
	}
}

func startHook(spec string, info daemonocle.StartInfo) error {
	what, arg, _ := strings.Cut(spec, ":")
	switch what {
	case "error":
		return errors.New(arg)
	case "panic":
		panic(arg)
	case "log":
		appendLine(arg, fmt.Sprintf("debug=%v", info.Debug))
	}
	return nil
}

// pass waits at a gate, if there is one, until the test has opened it.
func pass(path string) {
	if path == "" {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if dir := os.Getenv("D_HERE"); dir != "" { // who is at a gate that many pass
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(os.Getpid())), nil, 0o666); err != nil {
			panic(err)
		}
	}
	io.Copy(io.Discard, f)
}

// answer is what Start returned, for the test to read.
type answer struct {
	Started daemonocle.Started
	Text    string   // of the error
	Is      []string // the errors that it is
	PID     int
	Code    int
	Reason  string
	Stderr  []string
	Hint    string
}

func answerOf(s daemonocle.Started, err error) answer {
	a := answer{Started: s}
	if err == nil {
		return a
	}
	a.Text = err.Error()
	for name, is := range map[string]error{
		"already running": daemonocle.ErrAlreadyRunning,
		"died":            daemonocle.ErrDied,
		"still starting":  daemonocle.ErrStillStarting,
		"cancelled":       daemonocle.ErrStartCancelled,
		"no worker":       daemonocle.ErrNoWorker,
		"context":         context.Canceled,
		"deadline":        context.DeadlineExceeded,
	} {
		if errors.Is(err, is) {
			a.Is = append(a.Is, name)
		}
	}
	slices.Sort(a.Is)
	var e *daemonocle.Error
	if errors.As(err, &e) {
		a.PID, a.Code, a.Reason, a.Stderr, a.Hint = e.PID, e.Code, e.Reason, e.Stderr, e.Hint
	}
	return a
}

// callStart is the launcher of programs that use the methods. D_CANCEL is
// "before", or a gate after which the context is cancelled; D_DEADLINE bounds it.
func callStart(d *daemonocle.Daemon, args []string) {
	ctx, cancel := context.WithCancel(context.Background())
	switch path := os.Getenv("D_CANCEL"); {
	case path == "before":
		cancel()
	case path != "" && !daemonocle.Launched():
		go func() { pass(path); cancel() }()
	}
	if limit := progDuration("D_DEADLINE"); limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	s, err := d.Start(ctx, daemonocle.StartOptions{Debug: os.Getenv("D_DEBUG") != "", Args: args})
	if err := json.NewEncoder(os.Stdout).Encode(answerOf(s, err)); err != nil {
		panic(err)
	}
}

// subject is a program under test, with a directory for all of its files.
type subject struct {
	t      *testing.T
	helper string
	dir    string
	env    []string
}

// newSubject gives one whose start hangs as long as nothing else ends it: no
// test may pass because a time limit of the library was hit by accident.
func newSubject(t *testing.T, helper string, env ...string) *subject {
	t.Helper()
	testkit.Parallel(t)
	s := &subject{t: t, helper: helper, dir: testkit.TempDir(t)}
	s.set("D_DIR="+s.dir, "D_PIDFILE="+s.pidFile(),
		"D_START_WINDOW=1h", "D_START_TIMEOUT=1h", "D_STOP_TIMEOUT=1h")
	s.set(env...)
	t.Cleanup(func() { testkit.Sweep(t, "D_DIR="+s.dir) })
	return s
}

func (s *subject) set(env ...string) { s.env = append(s.env, env...) }

func (s *subject) path(name string) string { return filepath.Join(s.dir, name) }

// pidFile is in a directory that the start has to make.
func (s *subject) pidFile() string { return s.path("run/foo.pid") }

// ungated takes all gates away for what is run from now on.
func (s *subject) ungated() {
	s.env = slices.DeleteFunc(s.env, func(kv string) bool {
		return strings.HasPrefix(kv, "D_GATE_") || strings.HasPrefix(kv, "TESTKIT_EARLY=")
	})
}

// processes are all living processes that come from this subject, by what their
// environment said when they were started.
func (s *subject) processes() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		s.t.Fatal(err)
	}
	mark := []byte("\x00D_DIR=" + s.dir + "\x00")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && bytes.Contains(append([]byte{0}, env...), mark) && !testkit.Gone(pid) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// only waits until one process is left beside the given ones, and returns it.
func (s *subject) only(but ...int) (pid int) {
	s.t.Helper()
	testkit.WaitFor(s.t, "the daemon to be the only process", func() bool {
		rest := slices.DeleteFunc(s.processes(), func(pid int) bool { return slices.Contains(but, pid) })
		if len(rest) == 1 {
			pid = rest[0]
		}
		return len(rest) == 1
	})
	return pid
}

// nothingLeft: no process, no PID file, no directory for one.
func (s *subject) nothingLeft() {
	s.t.Helper()
	s.noProcess()
	if _, err := os.Lstat(filepath.Dir(s.pidFile())); !errors.Is(err, os.ErrNotExist) {
		s.t.Errorf("the directory of the PID file is left (%v)", err)
	}
}

func (s *subject) noProcess() {
	s.t.Helper()
	if pids := s.processes(); len(pids) > 0 {
		s.t.Errorf("processes %v are left", pids)
	}
}

func (s *subject) noPIDFile() {
	s.t.Helper()
	if _, err := os.Lstat(s.pidFile()); !errors.Is(err, os.ErrNotExist) {
		s.t.Errorf("the PID file is left (%v)", err)
	}
}

// daemon is the PID of the running daemon, as its file has it.
func (s *subject) daemon() int {
	s.t.Helper()
	b, err := os.ReadFile(s.pidFile())
	if err != nil {
		s.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSuffix(string(b), "\n"))
	if err != nil || testkit.Gone(pid) {
		s.t.Fatalf("the PID file says %q, which is no living process", b)
	}
	return pid
}

func (s *subject) command(args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := testkit.Helper(s.t, s.helper, args...)
	cmd.Env = append(cmd.Env, s.env...)
	return cmd
}

// printed is how a launcher ended.
type printed struct {
	out, err string
	code     int
}

var startedFine = printed{out: "Starting foo ... OK\n"}

func alreadyRunning(pid int) printed {
	return printed{err: fmt.Sprintf("WARNING: foo already running with PID %d\n", pid)}
}

// launched is a program that runs.
type launched struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err bytes.Buffer
	done     chan error
}

func (s *subject) begin(args ...string) *launched {
	s.t.Helper()
	return s.launch(s.command(args...))
}

func (s *subject) launch(cmd *exec.Cmd) *launched {
	s.t.Helper()
	l := &launched{t: s.t, cmd: cmd, done: make(chan error, 1)}
	if cmd.Stdout == nil {
		cmd.Stdout = &l.out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &l.err
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { l.done <- cmd.Wait() }()
	return l
}

func (l *launched) pid() int { return l.cmd.Process.Pid }

// signal sends the signal when the launcher waits for something. One that has just made a
// process has no handlers yet, and Ctrl-C is the end of it, as it may be.
func (l *launched) signal(sig syscall.Signal) {
	l.t.Helper()
	l.waits()
	if err := l.cmd.Process.Signal(sig); err != nil {
		l.t.Fatal(err)
	}
}

// waits returns when the launcher has done all it can before it hears something.
func (l *launched) waits() {
	l.t.Helper()
	testkit.WaitFor(l.t, "the launcher to wait", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", l.pid()))
		return !slices.ContainsFunc(threads, func(stat string) bool {
			b, _ := os.ReadFile(stat)
			i := bytes.LastIndexByte(b, ')') // the end of the name
			return i > 0 && i+2 < len(b) && (b[i+2] == 'R' || b[i+2] == 'D')
		})
	})
}

// wait returns when the program has ended and nobody holds its output.
func (l *launched) wait() printed {
	l.t.Helper()
	return l.waitFor(testkit.Patience)
}

func (l *launched) waitFor(limit time.Duration) printed {
	l.t.Helper()
	select {
	case <-l.done:
	case <-time.After(limit):
		l.t.Fatalf("waited %v for %q to end and let go of its output", limit, l.cmd.Args)
	}
	return printed{l.out.String(), l.err.String(), l.cmd.ProcessState.ExitCode()}
}

// stillRuns fails if it ends within a moment.
func (l *launched) stillRuns() {
	l.t.Helper()
	select {
	case <-l.done:
		l.t.Fatalf("it ended too early: stdout %q, stderr %q", l.out.String(), l.err.String())
	case <-time.After(testkit.Settle):
	}
}

func (l *launched) want(want printed) {
	l.t.Helper()
	if got := l.wait(); got != want {
		l.t.Errorf("got %+v, want %+v", got, want)
	}
}

func (l *launched) answer() (a answer) {
	l.t.Helper()
	p := l.wait()
	if err := json.Unmarshal([]byte(p.out), &a); err != nil {
		l.t.Fatalf("%v in %+v", err, p)
	}
	return a
}

func (s *subject) start() (pid int) {
	s.t.Helper()
	s.begin("start").want(startedFine)
	return s.daemon()
}

func (s *subject) stop() {
	s.t.Helper()
	s.begin("stop").want(printed{out: "Stopping foo ... OK\n"})
	s.noProcess()
	s.noPIDFile()
}

// running fails unless status and the PID file agree that this process runs.
func (s *subject) running(pid int) {
	s.t.Helper()
	if got := s.daemon(); got != pid {
		s.t.Errorf("the PID file names %d, want %d", got, pid)
	}
	got := s.begin("status").wait()
	if want := fmt.Sprintf("foo -- pid: %d, ", pid); !strings.HasPrefix(got.out, want) || got.code != 0 {
		s.t.Errorf("got status %+v, want %q", got, want)
	}
}

// gate is a FIFO at which a process waits.
type gate struct {
	t    *testing.T
	path string
	w    *os.File
}

// gate makes one and names it in the environment.
func (s *subject) gate(variable string) *gate {
	s.t.Helper()
	name, prefix, _ := strings.Cut(variable, "=")
	g := &gate{t: s.t, path: s.path(name)}
	if err := syscall.Mkfifo(g.path, 0o666); err != nil {
		s.t.Fatal(err)
	}
	s.set(name + "=" + prefix + g.path)
	s.t.Cleanup(func() {
		if g.w != nil {
			g.w.Close()
		}
	})
	return g
}

// reached returns when a process waits there.
func (g *gate) reached() {
	g.t.Helper()
	testkit.WaitFor(g.t, "a process at "+filepath.Base(g.path), func() bool {
		w, err := os.OpenFile(g.path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil && !errors.Is(err, syscall.ENXIO) {
			g.t.Fatal(err)
		}
		g.w = w
		return err == nil
	})
}

// open lets the process that waits there through, and those that come later but
// before it is through.
func (g *gate) open() {
	g.w.Close()
	g.w = nil
}

// lines of a file, which need not be there; nor need the thread that it is about.
func lines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestReadyIsReportedAtOnce(t *testing.T) {
	s := newSubject(t, "gated") // the window is an hour
	worker := s.gate("D_GATE_WORKER")
	l := s.begin("start")
	worker.reached()
	l.stillRuns()
	worker.open()
	l.want(startedFine)
	s.running(s.daemon())
	s.stop()
}

func TestStartReturnsWhatItKnows(t *testing.T) {
	s := newSubject(t, "gated")
	a := s.begin("api").answer()
	if pid := s.daemon(); a.Started.PID != pid || !a.Started.Ready || a.Started.Took <= 0 || a.Started.Skipped || a.Text != "" {
		t.Errorf("got %+v, want PID %d and ready", a, pid)
	}
}

func TestLivingThroughTheWindowIsStarted(t *testing.T) {
	window := 3 * testkit.Settle
	s := newSubject(t, "gated", "D_WORKER=alive", "D_START_WINDOW="+window.String())
	a := s.begin("api").answer()
	if a.Text != "" || a.Started.Ready || a.Started.PID != s.daemon() {
		t.Errorf("got %+v, want PID %d, alive but not ready", a, s.daemon())
	}
	if a.Started.Took < window {
		t.Errorf("it took %v, less than the window of %v", a.Started.Took, window)
	}
}

func TestRequireReadyDoesNotTakeLivingForReady(t *testing.T) {
	s := newSubject(t, "gated", "D_REQUIRE_READY=1", "D_START_WINDOW=1ns")
	worker := s.gate("D_GATE_WORKER")
	l := s.begin("api")
	worker.reached()
	l.stillRuns()
	worker.open()
	if a := l.answer(); !a.Started.Ready || a.Text != "" {
		t.Errorf("got %+v, want ready", a)
	}
}

// Long enough that even a busy machine has launched the daemon by then.
const startTimeout = time.Second

// briefly is less than it takes until the launcher can know of a process.
const briefly = time.Millisecond

func TestStartTimeoutSaysStillStarting(t *testing.T) {
	for _, timeout := range []time.Duration{startTimeout, briefly} {
		s := newSubject(t, "gated", "D_REQUIRE_READY=1", "D_START_TIMEOUT="+timeout.String())
		worker, ready := s.gate("D_GATE_WORKER"), s.gate("D_GATE_READY")
		began := time.Now()
		got := s.begin("start").wait()
		soon := time.Since(began) < timing.StageReports // else the launcher could not wait any longer
		holder, _ := locks(t, s.pidFile())              // what start speaks of, others must find
		worker.reached()
		pid := s.daemon()
		if holder != pid && soon {
			t.Errorf("after %v: process %d held the PID file, want %d", timeout, holder, pid)
		}
		want := fmt.Sprintf("ERROR: Timed out while waiting for process (PID %d) to become ready\n", pid)
		if got.out != "Starting foo ... FAILED\n" || !strings.HasPrefix(got.err, want+"hint: ") || got.code != 75 {
			t.Errorf("after %v: got %+v, want 75 and %q", timeout, got, want)
		}
		worker.open()
		ready.reached() // so it could write to its stderr, too
		s.running(pid)
	}
}

// On a busy machine the time of a start can be over before the new process has reached Start.
func TestLateStartWaitsUntilTheDaemonIsFound(t *testing.T) {
	s := newSubject(t, "gated", "D_REQUIRE_READY=1", "D_START_TIMEOUT="+briefly.String())
	main, ready := s.gate("D_GATE_MAIN"), s.gate("D_GATE_READY")
	began := time.Now()
	l := s.begin("start")
	main.reached()
	if time.Since(began)+2*testkit.Settle < timing.StageReports {
		l.stillRuns()
		l.stillRuns()
	}
	main.open()
	got := l.wait()
	soon := time.Since(began) < timing.StageReports
	holder, _ := locks(t, s.pidFile())
	ready.reached()
	pid := s.daemon()
	if got.code != 75 || soon && holder != pid {
		t.Errorf("got %+v, with process %d at the PID file; want 75, and %d", got, holder, pid)
	}
	s.running(pid)
}

func TestDeadlineLeavesTheDaemonAlone(t *testing.T) {
	for _, timeout := range []time.Duration{startTimeout, briefly} {
		s := newSubject(t, "gated", "D_REQUIRE_READY=1", "D_DEADLINE="+timeout.String())
		worker, ready := s.gate("D_GATE_WORKER"), s.gate("D_GATE_READY")
		a := s.begin("api").answer()
		worker.reached()
		pid := s.daemon()
		if !slices.Equal(a.Is, []string{"still starting"}) || a.PID != pid || a.Code != 75 {
			t.Errorf("after %v: got %+v, want still starting with PID %d", timeout, a, pid)
		}
		worker.open()
		ready.reached()
		s.running(pid)
	}
}

func TestDeathIsReportedWithItsReason(t *testing.T) {
	testkit.Parallel(t)
	immediately := "ERROR: Child exited immediately with exit code "
	for _, tt := range []struct {
		worker string
		err    []string // how lines of stderr begin, in this order
		code   int
	}{
		{"exit:42", []string{immediately + "42"}, 42},
		{"exit:-15", []string{immediately + "143"}, 143},
		{"os.Exit:7", []string{immediately + "7"}, 7},
		{"return", []string{immediately + "0"}, 1},
		{"message:goodbye world", []string{immediately + "1", "reason: goodbye world"}, 1},
		{"error:banana", []string{immediately + "1", "reason: banana"}, 1},
		{"panic:banana", []string{immediately + "2", "reason: panic: banana", "stderr: "}, 2},
		{"gopanic:banana", []string{immediately + "2", "reason: panic: banana", "stderr: panic: banana", "stderr: goroutine "}, 2},
		{"stderr:last words", []string{immediately + "3", "stderr: last words"}, 3},
		{"kill:9", []string{immediately + "-9"}, 137},
	} {
		t.Run(tt.worker, func(t *testing.T) {
			s := newSubject(t, "gated", "D_WORKER="+tt.worker)
			got := s.begin("start").wait()
			if got.out != "Starting foo ... FAILED\n" || got.code != tt.code {
				t.Errorf("got %+v, want exit code %d", got, tt.code)
			}
			rest := strings.Split(got.err, "\n")
			for _, begin := range tt.err {
				i := slices.IndexFunc(rest, func(line string) bool { return strings.HasPrefix(line, begin) })
				if i < 0 {
					t.Fatalf("no line %q in its place in %q", begin, got.err)
				}
				rest = rest[i+1:]
			}
			// A worker that said nothing is not given words.
			if len(tt.err) == 1 && got.err != tt.err[0]+"\n" {
				t.Errorf("got %q, want nothing but %q", got.err, tt.err[0])
			}
			s.noPIDFile()
			s.begin("status").want(printed{out: "foo -- not running\n", code: 1})
		})
	}
}

func TestDeathIsATypedError(t *testing.T) {
	testkit.Parallel(t)
	for worker, want := range map[string]answer{
		"exit:42":      {Code: 42, Text: "daemonocle: start foo: child exited immediately with exit code 42"},
		"kill:9":       {Code: 137, Text: "daemonocle: start foo: child exited immediately with exit code -9"},
		"return":       {Code: 1, Text: "daemonocle: start foo: child exited immediately with exit code 0"},
		"error:banana": {Code: 1, Reason: "banana", Text: "daemonocle: start foo: child exited immediately with exit code 1: banana"},
		"stderr:a\nb":  {Code: 3, Stderr: []string{"a", "b"}, Text: "daemonocle: start foo: child exited immediately with exit code 3"},
	} {
		t.Run(worker, func(t *testing.T) {
			s := newSubject(t, "gated", "D_WORKER="+worker)
			got := s.begin("api").answer()
			if got.PID <= 0 || got.Started.PID != 0 || got.Started.Ready {
				t.Errorf("got PID %d in the error, %+v", got.PID, got.Started)
			}
			if !slices.Equal(got.Is, []string{"died"}) || got.Code != want.Code || got.Text != want.Text ||
				got.Reason != want.Reason || !slices.Equal(got.Stderr, want.Stderr) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// A window that nothing can live through: what dies, dies behind it.
func TestDeathAfterTheWindowIsNoticedWhileReadyIsAwaited(t *testing.T) {
	s := newSubject(t, "gated", "D_REQUIRE_READY=1", "D_START_WINDOW=1ns", "D_WORKER=exit:3")
	worker := s.gate("D_GATE_WORKER")
	l := s.begin("start")
	worker.reached()
	l.stillRuns()
	worker.open()
	l.want(printed{
		out:  "Starting foo ... FAILED\n",
		err:  "ERROR: Child exited with exit code 3 before it was ready\n",
		code: 3,
	})
}

func TestLastLinesAreOfThisLaunchOnly(t *testing.T) {
	testkit.Parallel(t)
	// More than the library reads of a log, so that an offset would show.
	old := strings.Repeat("of an earlier launch\n", 10_000)
	for _, log := range []string{"", "err.log"} {
		t.Run("log="+log, func(t *testing.T) {
			s := newSubject(t, "gated", "D_WORKER=stderr:of this one")
			if log != "" {
				s.set("D_STDERR=" + s.path(log))
				if err := os.WriteFile(s.path(log), []byte(old), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				s.begin("start").want(printed{
					out:  "Starting foo ... FAILED\n",
					err:  "ERROR: Child exited immediately with exit code 3\nstderr: of this one\n",
					code: 3,
				})
			}
			if log != "" {
				b, err := os.ReadFile(s.path(log))
				if want := old + strings.Repeat("of this one\n", 2); err != nil || string(b) != want {
					t.Errorf("the log is not what was in it and twice the new line: %d bytes, want %d (%v)", len(b), len(want), err)
				}
			}
		})
	}
}

func TestNoMoreThanTenLastLines(t *testing.T) {
	var all []string
	for i := range 15 {
		all = append(all, "line "+strconv.Itoa(i))
	}
	s := newSubject(t, "gated", "D_WORKER=stderr:"+strings.Join(all, "\n"))
	if got, want := s.begin("api").answer().Stderr, all[len(all)-10:]; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMainThatEndsBeforeTheClaim(t *testing.T) {
	testkit.Parallel(t)
	for exit, want := range map[string]printed{
		"0": {"Starting foo ... FAILED\n", "ERROR: Child exited immediately with exit code 0\nreason: the program ended before it reached Start of foo\n", 1},
		"5": {"Starting foo ... FAILED\n", "ERROR: Child exited immediately with exit code 5\n", 5},
	} {
		t.Run(exit, func(t *testing.T) {
			s := newSubject(t, "gated", "D_MAIN_EXIT="+exit)
			s.begin("start").want(want)
			s.nothingLeft()
		})
	}
}

// A program may close all that it has not opened itself.
func TestMainThatHangsWithoutItsWire(t *testing.T) {
	s := newSubject(t, "gated", "D_MAIN_CLOSES=1", "D_MAIN_EXIT=3", "D_START_TIMEOUT="+startTimeout.String())
	main := s.gate("D_GATE_MAIN")
	got := s.begin("start").wait()
	main.reached()
	var pid int
	_, err := fmt.Sscanf(got.err, "ERROR: Timed out while waiting for process (PID %d) to become ready", &pid)
	if got.out != "Starting foo ... FAILED\n" || err != nil || got.code != 75 {
		t.Fatalf("got %+v (%v), want 75 and the process", got, err)
	}
	main.open()
	testkit.WaitGone(t, pid)
	s.nothingLeft()
}

func TestAlreadyRunning(t *testing.T) {
	s := newSubject(t, "gated")
	pid := s.start()
	s.begin("start").want(alreadyRunning(pid))
	a := s.begin("api").answer()
	if !slices.Equal(a.Is, []string{"already running"}) || a.PID != pid || a.Code != 1 || a.Started.PID != 0 {
		t.Errorf("got %+v, want already running with PID %d", a, pid)
	}
	s.running(pid)
}

// The daemon decides who is first, not the launcher: here the launcher has
// looked before the other daemon was there.
func TestAlreadyRunningIsSeenByTheDaemonToo(t *testing.T) {
	first := newSubject(t, "gated")
	second := newSubject(t, "gated", "D_PIDFILE="+first.pidFile())
	main := second.gate("D_GATE_MAIN")
	l := second.begin("start")
	main.reached()
	pid := first.start()
	main.open()
	l.want(alreadyRunning(pid))
	first.running(pid)
	second.noProcess()
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	testkit.Parallel(t)
	for _, how := range []string{"context", "SIGINT", "SIGTERM"} {
		for _, where := range []string{"main", "worker that cooperates", "worker that hangs"} {
			t.Run(how+"/"+where, func(t *testing.T) {
				s := newSubject(t, "gated")
				var at *gate
				switch where {
				case "main":
					at = s.gate("D_GATE_MAIN")
				case "worker that cooperates":
					at = s.gate("D_GATE_WORKER")
					s.set("D_WORKER=alive")
				case "worker that hangs":
					at = s.gate("D_GATE_WORKER")
					s.set("D_STOP_TIMEOUT=" + testkit.Settle.String())
				}
				action := "start"
				var cancel *gate
				if how == "context" {
					action = "api"
					cancel = s.gate("D_CANCEL")
				}
				l := s.begin(action)
				at.reached()
				switch how {
				case "context":
					cancel.reached()
					cancel.open()
				case "SIGINT":
					l.signal(syscall.SIGINT)
				case "SIGTERM":
					l.signal(syscall.SIGTERM)
				}
				if where == "worker that cooperates" {
					at.open()
				}
				if how == "context" {
					a := l.answer()
					if !slices.Equal(a.Is, []string{"cancelled", "context"}) || a.Code != 130 || a.Started.PID != 0 {
						t.Errorf("got %+v, want cancelled", a)
					}
				} else {
					l.want(printed{"Starting foo ... FAILED\n", "ERROR: Start was cancelled\n", 130})
				}
				s.nothingLeft()
			})
		}
	}
}

// The launcher does not know yet which process it has to end.
func TestCancelBeforeTheDaemonIsKnown(t *testing.T) {
	s := newSubject(t, "gated")
	stage := s.gate("TESTKIT_EARLY=stage:")
	s.gate("D_GATE_MAIN") // is never opened
	l := s.begin("start")
	stage.reached()
	l.signal(syscall.SIGINT)
	l.stillRuns()
	stage.open()
	l.want(printed{"Starting foo ... FAILED\n", "ERROR: Start was cancelled\n", 130})
	s.nothingLeft()
}

// Nothing limits this wait but the caller, who has already gone.
func TestStartWithACancelledContext(t *testing.T) {
	s := newSubject(t, "gated", "D_CANCEL=before")
	s.gate("D_GATE_MAIN") // is never opened
	if a := s.begin("api").answer(); !slices.Equal(a.Is, []string{"cancelled", "context"}) {
		t.Errorf("got %+v, want cancelled", a)
	}
	s.nothingLeft()
}

func TestCancelDuringSetUp(t *testing.T) {
	s := newSubject(t, "gated")
	privileged := s.gate("D_GATE_PRIVILEGED")
	cancel := s.gate("D_CANCEL")
	l := s.begin("api")
	privileged.reached()
	cancel.reached()
	cancel.open()
	l.stillRuns() // the hook is not asked to stop
	privileged.open()
	if a := l.answer(); !slices.Equal(a.Is, []string{"cancelled", "context"}) {
		t.Errorf("got %+v, want cancelled", a)
	}
	s.nothingLeft()
}

// Both have happened when the launcher looks; and so, when it was stopped early,
// has all that led there.
func TestReadyWinsOverCancel(t *testing.T) {
	testkit.Parallel(t)
	for name, variable := range map[string]string{
		"heard nothing":             "TESTKIT_EARLY=stage:",
		"heard all but that":        "D_GATE_WORKER",
		"heard of the process only": "D_GATE_MAIN",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSubject(t, "gated")
			at, ready := s.gate(variable), s.gate("D_GATE_READY")
			l := s.begin("start")
			at.reached()
			l.waits() // it has to listen to SIGINT before it is stopped
			testkit.Freeze(t, l.pid())
			at.open()
			ready.reached()
			l.signal(syscall.SIGINT)
			l.signal(syscall.SIGCONT)
			l.want(startedFine)
			ready.open()
			s.running(s.daemon())
			s.stop()
		})
	}
}

// What has been said to the launcher counts, whether it can still pass that on or not.
func TestLauncherKilledBeforeItSaysOK(t *testing.T) {
	s := newSubject(t, "gated")
	at, ready := s.gate("D_GATE_WORKER"), s.gate("D_GATE_READY")
	l := s.begin("start")
	at.reached()
	testkit.Freeze(t, l.pid())
	at.open()
	ready.reached()
	l.signal(syscall.SIGKILL)
	l.wait()
	pid := s.only()
	s.running(pid)
	s.begin("start").want(alreadyRunning(pid))
	ready.open()
	s.stop()
	s.worksAgain()
}

func TestStartHook(t *testing.T) {
	testkit.Parallel(t)
	for spec, text := range map[string]string{
		"error:no licence": "ERROR: no licence\n",
		"panic:banana":     "ERROR: Start hook panicked: banana\n",
	} {
		t.Run(spec, func(t *testing.T) {
			s := newSubject(t, "gated", "D_START_HOOK="+spec)
			s.begin("start").want(printed{"Starting foo ... FAILED\n", text, 1})
			s.nothingLeft()
		})
	}
	t.Run("once, in the launcher, if it does not run", func(t *testing.T) {
		s := newSubject(t, "gated")
		s.set("D_START_HOOK=log:" + s.path("hook"))
		pid := s.start()
		s.begin("start").want(alreadyRunning(pid))
		if got, want := lines(t, s.path("hook")), []string{"debug=false"}; !slices.Equal(got, want) {
			t.Errorf("the hook was told %q, want %q", got, want)
		}
	})
	for _, variable := range []string{"D_FOREGROUND", "D_DEBUG"} {
		t.Run("is told of "+variable, func(t *testing.T) {
			s := newSubject(t, "gated", "D_WORKER=return", variable+"=1")
			s.set("D_START_HOOK=log:" + s.path("hook"))
			s.begin("api").wait()
			if got, want := lines(t, s.path("hook")), []string{"debug=true"}; !slices.Equal(got, want) {
				t.Errorf("the hook was told %q, want %q", got, want)
			}
		})
	}
}

// pair is a program that starts two daemons, one after the other, and writes
// down what came of it in every process that gets that far.
func pair() {
	dir := os.Getenv("D_DIR")
	for _, name := range []string{"a", "b"} {
		was := daemonocle.Launched()
		c := progConfig()
		c.Name, c.PIDFile = name, filepath.Join(dir, name+".pid")
		c.Worker = progWorker("ready")
		d, err := daemonocle.New(c)
		if err != nil {
			panic(err)
		}
		s, err := d.Start(context.Background(), daemonocle.StartOptions{})
		appendLine(filepath.Join(dir, "log"), fmt.Sprintf("%s launched=%v skipped=%v err=%v", name, was, s.Skipped, err))
	}
}

func TestTwoDaemonsInOneProgram(t *testing.T) {
	s := newSubject(t, "pair")
	s.begin().want(printed{})
	if got, want := lines(t, s.path("log")), []string{
		"a launched=false skipped=false err=<nil>",
		"a launched=true skipped=true err=<nil>", // in what becomes b
		"b launched=false skipped=false err=<nil>",
	}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if pids := s.processes(); len(pids) != 2 {
		t.Errorf("got processes %v, want two daemons", pids)
	}
}

// inATest is what a test binary of a user is: tests that start daemons. Each
// process notes that it was here.
func inATest() {
	dir := os.Getenv("D_DIR")
	appendLine(filepath.Join(dir, "mains"), strconv.Itoa(os.Getpid()))
	starts := func(name string) testing.InternalTest {
		return testing.InternalTest{Name: "Test" + name, F: func(t *testing.T) {
			d, err := daemonocle.New(daemonocle.Config{
				Name: name, PIDFile: filepath.Join(dir, name+".pid"), Worker: progWorker("ready"), StartTimeout: time.Hour, StopTimeout: time.Hour,
			})
			if err != nil {
				t.Fatal(err)
			}
			s, err := d.Start(context.Background(), daemonocle.StartOptions{})
			if err != nil || !s.Ready && !s.Skipped {
				t.Fatal(s, err)
			}
			if _, err := d.Stop(context.Background(), daemonocle.StopOptions{}); err != nil {
				t.Fatal(err)
			}
		}}
	}
	testing.Main(func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{starts("a"), starts("b"), starts("c")}, nil, nil)
}

// One launch for each daemon, and none by what was launched.
func TestStartInsideTests(t *testing.T) {
	s := newSubject(t, "inatest")
	if got := s.begin().wait(); got.code != 0 || !strings.Contains(got.out, "PASS") {
		t.Errorf("got %+v", got)
	}
	if got, want := len(lines(t, s.path("mains"))), 1+len("abc"); got != want {
		t.Errorf("main ran %d times, want %d", got, want)
	}
	s.noProcess()
}

// As in out=$(prog start 2>&1): the caller reads until nobody has the pipes.
func TestStartLetsGoOfTheCallersPipes(t *testing.T) {
	testkit.Parallel(t)
	for _, worker := range []string{"ready", "sleeper"} {
		t.Run(worker, func(t *testing.T) {
			s := newSubject(t, "gated", "D_WORKER="+worker)
			cmd := s.command("start")
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			s.launch(cmd).want(startedFine)
			stdin.Close()
			s.running(s.daemon())
		})
	}
}

// The launcher may die of it; the daemon is not concerned.
func TestStartWithAClosedPipeForOutput(t *testing.T) {
	s := newSubject(t, "gated")
	worker := s.gate("D_GATE_WORKER")
	cmd := s.command("start")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	l := s.launch(cmd)
	w.Close()
	worker.reached()
	worker.open()
	l.wait()
	pid := s.only()
	testkit.WaitFor(t, "the PID file to name it", func() bool { return s.daemon() == pid })
	s.running(pid)
}

// newConfig is for daemons that are made in the test's own process and never
// started.
func newConfig(name, pidFile string, worker func(context.Context) error) error {
	_, err := daemonocle.New(daemonocle.Config{Name: name, PIDFile: pidFile, Worker: worker})
	return err
}

func TestNewRefusesDaemonsThatCannotBeToldApart(t *testing.T) {
	work := func(context.Context) error { return nil }
	other := func(context.Context) error { return errors.New("other") }
	dir := testkit.TempDir(t) // makes the names new in each run
	file := filepath.Join(dir, "a.pid")
	for _, step := range []struct {
		what, name, pidFile string
		worker              func(context.Context) error
		fine                bool
	}{
		{"the first", "a", file, work, true},
		{"the same again", "a", file, work, true},
		{"the same without a worker, as for status", "a", file, nil, true},
		{"the same name with another worker", "a", file, other, false},
		{"another name for the PID file", "b", file, work, false},
		{"the same file by another path", "b", filepath.Join(dir, "x", "..", "a.pid"), work, false},
		{"the same name with another PID file", "a", filepath.Join(dir, "other.pid"), other, true},
		{"without a PID file", "a" + filepath.Base(dir), "", work, true},
		{"another without a PID file", "b" + filepath.Base(dir), "", work, true},
		{"the same name without a PID file", "b" + filepath.Base(dir), "", other, false},
	} {
		err := newConfig(step.name, step.pidFile, step.worker)
		var c *daemonocle.ConfigError
		if (err == nil) != step.fine || err != nil && !errors.As(err, &c) {
			t.Errorf("%s: got %v, fine is %v", step.what, err, step.fine)
		}
	}
}
