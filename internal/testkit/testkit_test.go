package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// envScene makes the test binary a suite inside the suite: all tests but
// TestScene skip, and this one plays the scene that is named.
const envScene = "TESTKIT_TEST_SCENE"

// As the library does with its launch token, before any main.
func init() {
	if os.Getenv(launchPrefix+"EARLY") != "" {
		os.Unsetenv(launchPrefix + "EARLY")
	}
}

func TestMain(m *testing.M) {
	h := maps.Clone(helpers)
	if os.Getenv(envScene) == "unused" {
		h["useless"] = func() {}
	}
	Main(m, h)
}

var helpers = map[string]func(){
	"echo": func() { fmt.Println(os.Args[1:]); os.Exit(7) },
	"cat":  func() { _, _ = io.Copy(os.Stdout, os.Stdin) },
	"hang": hang,
}

// hang says its PID and stays, whatever happens to its parent.
func hang() {
	fmt.Println(os.Getpid())
	for {
		time.Sleep(time.Hour) // a select{} would be a deadlock, and found
	}
}

// outer skips a test of the suite in an inner suite.
func outer(t *testing.T) {
	if os.Getenv(envScene) != "" {
		t.Skip("this is the inner suite")
	}
}

// scenes are added to by the system's file.
var scenes = map[string]func(t *testing.T){
	"fine":   useAll,
	"unused": useAll,
	"skip":   func(t *testing.T) { Skip(t, "moon", "it is day") },
	"failed": func(t *testing.T) { t.Fatal("as it should") },
}

func useAll(t *testing.T) {
	for name := range helpers {
		Helper(t, name)
	}
}

func TestScene(t *testing.T) {
	f := scenes[os.Getenv(envScene)]
	if f == nil {
		t.Skip("this is the outer suite")
	}
	f(t)
}

// inner returns the command that runs this test binary as a suite.
func inner(t *testing.T, scene string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := Helper(t, probe, args...) // for its clean-up; it becomes a suite instead
	cmd.Env = append(without(cmd.Env, envHelper), envScene+"="+scene)
	return cmd
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return 0
}

func TestRuns(t *testing.T) {
	outer(t)
	for _, tt := range []struct {
		name, scene string
		args        []string
		env         string
		code        int
		says        string // of testkit's lines
	}{
		{name: "fine", scene: "fine"},
		{name: "unused helper", scene: "unused", code: 1, says: `testkit: no test uses the helper "useless"`},
		{name: "unused, short", scene: "unused", args: []string{"-test.short"}},
		{name: "unused, filtered", scene: "unused", args: []string{"-test.run=."}},
		{name: "unused, skipping", scene: "unused", args: []string{"-test.skip=TestRuns"}},
		{name: "failed", scene: "failed", code: 1},
		{name: "skip", scene: "skip", says: "testkit: skipped 1 test: moon 1"},
		{name: "skip twice", scene: "skip", args: []string{"-test.count=2"}, says: "testkit: skipped 2 tests: moon 2"},
		{name: "must not skip", scene: "skip", env: envMust + "=sun,moon", code: 1},
		{name: "launched", scene: "fine", env: launchPrefix + "X=5", code: exitRecursed, says: "testkit: " + launchPrefix + "X is set"},
		{name: "launched, no descriptor", scene: "fine", env: launchPrefix + "X="},
		{name: "unknown helper", env: envHelper + "=nonsense", code: exitNoHelper, says: `testkit: no helper is called "nonsense"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := inner(t, tt.scene, tt.args...)
			cmd.Env = append(cmd.Env, tt.env)
			out, err := cmd.CombinedOutput()
			if code := exitCode(t, err); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			var says []string
			for line := range strings.Lines(string(out)) {
				if strings.HasPrefix(line, "testkit: ") {
					says = append(says, line)
				}
			}
			if got := strings.Join(says, ""); !strings.HasPrefix(got, tt.says) || tt.says == "" && got != "" {
				t.Errorf("says %q, want %q", got, tt.says)
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}

func TestHelper(t *testing.T) {
	outer(t)
	out, err := Helper(t, "echo", "-test.run=x", "b c").Output()
	if code := exitCode(t, err); code != 7 || string(out) != "[-test.run=x b c]\n" {
		t.Errorf("got %q, exit code %d", out, code)
	}

	cmd := Helper(t, "cat")
	cmd.Stdin = strings.NewReader("abc")
	if out, err := cmd.Output(); err != nil || string(out) != "abc" {
		t.Errorf("a helper that returns: got %q, %v", out, err)
	}

	// In an environment made from nothing, and by way of this process's own.
	cmd = exec.Command(cmd.Path)
	cmd.Env = HelperEnv(t, "echo")
	if _, err := cmd.Output(); exitCode(t, err) != 7 {
		t.Errorf("with HelperEnv only: got %v", err)
	}
	Setenv(t, "echo")
	if _, err := exec.Command(cmd.Path).Output(); exitCode(t, err) != 7 {
		t.Errorf("with Setenv: got %v", err)
	}
}

func TestUnknownHelper(t *testing.T) {
	outer(t)
	if msg := failure(t, func(t testing.TB) { Helper(t, "nonsense") }); msg != `testkit: no helper is called "nonsense"` {
		t.Errorf("got %q", msg)
	}
}

// A test that ends without ending its helper.
func TestHelperEndsWithTest(t *testing.T) {
	outer(t)
	pid := 0
	t.Run("forgetful", func(t *testing.T) {
		cmd, p := start(t, Helper(t, "hang"))
		if pid = p; pid != cmd.Process.Pid || Gone(pid) {
			t.Errorf("it says it is %d, and is %d; gone: %v", pid, cmd.Process.Pid, Gone(pid))
		}
	})
	if !Gone(pid) { // the zombie that nobody waits for
		t.Error("it lives")
	}
}

// start starts a command that says a PID, and returns this.
func start(t *testing.T, cmd *exec.Cmd) (*exec.Cmd, int) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatalf("%v says no PID: %v", cmd, err)
	}
	return cmd, pid
}

// failing is a test that may fail.
type failing struct {
	testing.TB
	msg string
}

func (f *failing) Helper() {}
func (f *failing) Fatal(args ...any) {
	f.msg = fmt.Sprint(args...)
	runtime.Goexit()
}
func (f *failing) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

// failure returns what f fails with, or "".
func failure(t *testing.T, f func(t testing.TB)) string {
	tb := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(tb)
	}()
	<-done
	return tb.msg
}

func impatient(t *testing.T) {
	old := Patience
	Patience = 10 * time.Millisecond
	t.Cleanup(func() { Patience = old })
}

func TestWaitFor(t *testing.T) {
	outer(t)
	n := 0
	WaitFor(t, "the third time", func() bool { n++; return n == 3 })
	if n != 3 {
		t.Errorf("asked %d times", n)
	}
	impatient(t)
	msg := failure(t, func(t testing.TB) { WaitFor(t, "the end", func() bool { return false }) })
	if msg != "waited 10ms for the end" {
		t.Errorf("got %q", msg)
	}
	msg = failure(t, func(t testing.TB) { WaitGone(t, os.Getpid()) })
	if want := fmt.Sprintf("waited 10ms for process %d to end", os.Getpid()); msg != want {
		t.Errorf("got %q, want %q", msg, want)
	}
}

func TestScaled(t *testing.T) {
	outer(t)
	for v, want := range map[string]time.Duration{"": 10, "2": 20, "0.5": 5, "x": 10, "-1": 10, "0": 10, "NaN": 10, "Inf": 10} {
		t.Setenv(envPatience, v)
		if got := scaled(10); got != want {
			t.Errorf("%q: got %d, want %d", v, got, want)
		}
	}
}

func TestGone(t *testing.T) {
	outer(t)
	if Gone(os.Getpid()) {
		t.Error("this process is gone")
	}
	cmd, pid := start(t, Helper(t, "hang"))
	if Gone(pid) {
		t.Error("gone, while it hangs")
	}
	cmd.Process.Kill()
	cmd.Wait()
	WaitGone(t, pid)
	if !Gone(pid) || !Gone(0) || !Gone(-1) {
		t.Error("not gone")
	}
}

func TestTempDir(t *testing.T) {
	outer(t)
	dir := ""
	t.Run("use", func(t *testing.T) {
		dir = TempDir(t)
		fi, err := os.Stat(dir)
		if err != nil || fi.Mode() != os.ModeDir|0o755 {
			t.Errorf("got %v, %v", fi.Mode(), err)
		}
		if real, err := filepath.EvalSymlinks(dir); err != nil || real != dir || len(dir) > 50 {
			t.Errorf("got %s, really %s, %v", dir, real, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("after the test: got %v", err)
	}

	// Under a directory that is closed to others, somewhere else.
	closed := filepath.Join(t.TempDir(), "closed")
	if err := errors.Join(os.Mkdir(closed, 0o700), os.Mkdir(closed+"/tmp", 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", closed+"/tmp")
	if dir := TempDir(t); strings.HasPrefix(dir, closed) {
		t.Errorf("got %s", dir)
	}
}

func TestRequire(t *testing.T) {
	outer(t)
	var skipped []bool
	for _, f := range []func(testing.TB){RequireRoot, RequireOrdinary} {
		t.Run("", func(t *testing.T) {
			defer func() { skipped = append(skipped, t.Skipped()) }()
			f(t)
		})
	}
	if root := os.Geteuid() == 0; !slices.Equal(skipped, []bool{!root, root}) {
		t.Errorf("root: %v, skipped: %v", root, skipped)
	}
	if Skips()["root"]+Skips()["ordinary"] == 0 {
		t.Errorf("counted: %v", Skips())
	}
}

func TestSkipLine(t *testing.T) {
	outer(t)
	got := skipLine(map[string]int{"root": 3, "pidns": 1})
	if want := "testkit: skipped 4 tests: pidns 1, root 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCarries(t *testing.T) {
	outer(t)
	for env, want := range map[string]bool{
		"TESTKIT_SUITE=a": true, "TESTKIT_SUITE=b,a": true, "TESTKIT_SUITE=a,b": true,
		"TESTKIT_SUITE=ab": false, "TESTKIT_SUITE=": false, "XTESTKIT_SUITE=a": false, "TESTKIT_SUITE": false,
	} {
		if got := carries([]string{"A=1", env}, "a"); got != want {
			t.Errorf("%s: got %v", env, got)
		}
	}
}

// What is typed comes back, and is read; a closed terminal is no reason to wait.
func TestPty(t *testing.T) {
	outer(t)
	p := Pty(t)
	if _, err := p.Slave.WriteString("login: "); err != nil {
		t.Fatal(err)
	}
	p.Expect(t, "login: ")
	p.Type(t, "me\n")
	line := make([]byte, 10)
	n, err := p.Slave.Read(line)
	if err != nil || !bytes.Equal(line[:n], []byte("me\n")) {
		t.Errorf("read %q, %v", line[:n], err)
	}
	if got := p.Expect(t, "me\r\n"); got != "login: me\r\n" || got != p.Output() {
		t.Errorf("the terminal shows %q", got)
	}
	p.Slave.Close()
	msg := failure(t, func(t testing.TB) { p.Expect(t, "welcome") })
	if want := `the terminal was closed without "welcome"; it shows "login: me\r\n"`; msg != want {
		t.Errorf("got %q, want %q", msg, want)
	}

	p = Pty(t)
	impatient(t)
	msg = failure(t, func(t testing.TB) { p.Expect(t, "x") })
	if want := `waited 10ms for "x" on the terminal; it shows ""`; msg != want {
		t.Errorf("got %q, want %q", msg, want)
	}
}

// A test says once whether it runs beside others, its rigs as often as they like.
func TestHowATestRuns(t *testing.T) {
	t.Run("alone", func(t *testing.T) {
		Alone(t)
		done := false
		t.Run("with a rig", func(t *testing.T) {
			Parallel(t)
			t.Setenv(envPatience, "") // panics in a test that runs beside others
			done = true
		})
		if !done {
			t.Error("its subtest is not alone")
		}
	})
	t.Run("beside others", func(t *testing.T) {
		Parallel(t)
		Parallel(t)
		var done atomic.Bool
		t.Run("with a rig", func(t *testing.T) {
			Parallel(t)
			done.Store(true)
		})
		t.Run("without", func(t *testing.T) {
			if _, _, beside := ways(t); os.Getenv(envSystemd) != "1" && !beside {
				t.Error("it could be alone, in a test that is not")
			}
		})
		if os.Getenv(envSystemd) != "1" && done.Load() {
			t.Error("its subtest is not beside others")
		}
	})
	// The name is free again.
	if said, _, _ := ways(t); said {
		t.Error("a subtest has spoken for the test around it")
	}
}
