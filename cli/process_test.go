package cli_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// foo runs in a directory of its own, in which its PID file will be.
type fooIn struct {
	t   *testing.T
	dir string
	bin string
}

func newFoo(t *testing.T) *fooIn {
	t.Helper()
	f := &fooIn{t, testkit.TempDir(t), binDir(t)}
	t.Cleanup(func() { f.command("stop", "--timeout=0", "--force").Run() })
	return f
}

func (f *fooIn) command(args ...string) *exec.Cmd {
	cmd := testkit.Helper(f.t, "program")
	cmd.Path = filepath.Join(f.bin, "foo")
	cmd.Args = append([]string{"foo"}, args...)
	cmd.Dir = f.dir
	cmd.Env = append(cmd.Env, "TERM=xterm", "NO_COLOR=", "CLICOLOR=", "CLICOLOR_FORCE=", "FORCE_COLOR=")
	return cmd
}

func (f *fooIn) run(args ...string) (stdout string) {
	f.t.Helper()
	out, err := f.command(args...).CombinedOutput()
	if err != nil {
		f.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

func (f *fooIn) pid() string {
	f.t.Helper()
	return strings.TrimSpace(f.run("pid"))
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

func TestATerminalShowsColours(t *testing.T) {
	f := newFoo(t)
	for _, step := range []struct {
		args []string
		env  string
		want string
	}{
		{[]string{"start"}, "", "\x1b[32mOK\x1b[0m"},
		{[]string{"start"}, "", "\x1b[33mWARNING: foo already running"},
		{[]string{"stop"}, "NO_COLOR=1", "Stopping foo ... OK"},
		{[]string{"stop", "--color=never"}, "", "WARNING: foo is not running"},
		{[]string{"stop", "--color=always"}, "NO_COLOR=1", "\x1b[33mWARNING: foo is not running"},
		{[]string{"banana"}, "", "\x1b[31mERROR: "},
	} {
		pty := testkit.Pty(t)
		cmd := f.command(step.args...)
		if step.env != "" {
			cmd.Env = append(cmd.Env, step.env)
		}
		pty.Attach(cmd)
		if err := cmd.Run(); err != nil && exitCode(t, err) != 2 {
			t.Errorf("%v: %v", step.args, err)
		}
		out := pty.Expect(t, step.want)
		if plain := !strings.Contains(step.want, "\x1b"); plain && strings.Contains(out, "\x1b[3") {
			t.Errorf("%v %s is coloured: %q", step.args, step.env, out)
		}
	}
}

func TestEachStreamDecidesAboutColours(t *testing.T) {
	f := newFoo(t)
	pty := testkit.Pty(t)
	cmd := f.command("stop")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = pty.Slave, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got, want := stderr.String(), "WARNING: foo is not running\n"; got != want {
		t.Errorf("stderr is %q, want %q: it is no terminal", got, want)
	}
}

// closedPipe is what "| head -0" leaves of a pipe.
func closedPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

func TestAReaderWhoGoesAwayEndsNoAction(t *testing.T) {
	f := newFoo(t)
	silent := func(args ...string) int {
		t.Helper()
		cmd := f.command(args...)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = closedPipe(t), &stderr
		code := exitCode(t, cmd.Run())
		if stderr.Len() > 0 {
			t.Errorf("%v complains: %s", args, &stderr)
		}
		return code
	}
	for _, flag := range [][]string{nil, {"--json"}} {
		if code := silent(append([]string{"start"}, flag...)...); code != 0 {
			t.Errorf("start ends with %d", code)
		}
		before := f.pid()
		if code := silent(append([]string{"restart"}, flag...)...); code != 0 {
			t.Errorf("restart ends with %d", code)
		}
		if after := f.pid(); after == "0" || after == before {
			t.Errorf("after restart the PID is %s, before it was %s", after, before)
		}
		// The answer is what status is for.
		if code, want := silent(append([]string{"status"}, flag...)...), 128+13; code != want {
			t.Errorf("status ends with %d, want %d", code, want)
		}
		if code := silent(append([]string{"stop"}, flag...)...); code != 0 {
			t.Errorf("stop ends with %d", code)
		}
		if pid := f.pid(); pid != "0" {
			t.Errorf("after stop process %s is running", pid)
		}
	}
}

func TestAnAnswerThatCannotBePrintedIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		testkit.Skip(t, "devfull", err.Error())
	}
	defer full.Close()
	f := newFoo(t)
	cmd := f.command("status")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = full, &stderr
	if code := exitCode(t, cmd.Run()); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if got, want := stderr.String(), "ERROR: Print the answer: write /dev/stdout: no space left on device\n"; got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

// Who reads no answer, as head -0, is not told that it could not be printed.
func TestAReaderOfAStatusWhoHasGoneAway(t *testing.T) {
	f := newFoo(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := f.command("status")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	if code := exitCode(t, cmd.Run()); code != 141 {
		t.Errorf("exit code %d, want 141", code)
	}
	if stderr.Len() > 0 {
		t.Errorf("stderr %q, want nothing", stderr.String())
	}
}

// What is caught in the launcher must not be handed on: the daemon's children
// expect to die of a closed pipe, as everybody does.
func TestTheDaemonInheritsNoSignalDisposition(t *testing.T) {
	f := newFoo(t)
	f.run("start")
	status, err := os.ReadFile("/proc/" + f.pid() + "/status")
	if err != nil {
		testkit.Skip(t, "proc", err.Error())
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "SigIgn:"); ok && strings.Trim(value, "0\t\n") != "" {
			t.Errorf("the daemon ignores signals: %s", line)
		}
	}
	f.run("stop")
}

func TestAForegroundStartEndsWithItsTerminal(t *testing.T) {
	f := newFoo(t)
	pty := testkit.Pty(t)
	cmd := f.command("start", "--debug", "one")
	pty.Attach(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pty.Expect(t, "args: one")
	pty.Type(t, "\x03")
	if code := exitCode(t, cmd.Wait()); code != 0 {
		t.Errorf("exit code %d, want 0; the terminal shows %q", code, pty.Output())
	}
	pty.Expect(t, "Received signal SIGINT (2). Forwarding to child...")
}
