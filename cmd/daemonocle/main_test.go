//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { testkit.Main(m, map[string]func(){"daemonocle": main}) }

// The scripts say what the command does, a theme a file. Beyond the words of
// testscript they have:
//
//	exits CODE program [args...]   like exec, and the exit code must be CODE
//	pid VARIABLE NAME              the PID of the daemon of that name
//	gone PID, alive PID            that process has ended, or lives
//	needs root                     skip for others, and count that
//	port VARIABLE                  a TCP port that nobody has now
//	eventually TEXT FILE           wait until the file has that text, or any if it is empty
func TestScripts(t *testing.T) {
	testkit.Parallel(t)
	bin := testkit.TempDir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "daemonocle")); err != nil {
		t.Fatal(err)
	}
	helper := testkit.HelperEnv(t, "daemonocle")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		WorkdirRoot:         testkit.TempDir(t),
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, helper...)
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("TERM", "dumb")
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("XDG_RUNTIME_DIR", filepath.Join(env.WorkDir, "run"))
			files, err := daemonocle.XDG("x")
			if err != nil {
				return err
			}
			env.Setenv("MACHINE", filepath.Base(filepath.Dir(files.PIDFile)))
			nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // as the system call has it: 20 is none
			if err != nil {
				return err
			}
			env.Setenv("NICED", strconv.Itoa(20-nice+3))
			env.Values["t"] = env.T().(testing.TB)
			env.Defer(func() { stopAll(env) })
			return os.Mkdir(filepath.Join(env.WorkDir, "run"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "pid": pid, "gone": gone, "alive": alive, "needs": needs, "port": port, "eventually": eventually,
		},
	})
}

// stopAll leaves no daemon of a script behind.
func stopAll(env *testscript.Env) {
	files, _ := filepath.Glob(filepath.Join(env.WorkDir, "state", "daemonocle", "@*", "*", "*.pid"))
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		cmd := exec.Command(filepath.Join(strings.Split(env.Getenv("PATH"), string(os.PathListSeparator))[0], "daemonocle"),
			"stop", "--timeout=0", "--force", "--quiet", name)
		cmd.Dir, cmd.Env = env.WorkDir, env.Vars
		cmd.CombinedOutput() // whatever it says, testkit counts what is left
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func pid(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pid VARIABLE NAME")
	}
	ts.Check(ts.Exec("daemonocle", "status", "--json", args[1]))
	var status struct{ PID int }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &status))
	ts.Setenv(args[0], strconv.Itoa(status.PID))
}

func numberOf(ts *testscript.TestScript, args []string) int {
	if len(args) != 1 {
		ts.Fatalf("want one number")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	return n
}

func gone(ts *testscript.TestScript, _ bool, args []string) {
	testkit.WaitGone(ts.Value("t").(testing.TB), numberOf(ts, args))
}

func alive(ts *testscript.TestScript, _ bool, args []string) {
	if testkit.Gone(numberOf(ts, args)) {
		ts.Fatalf("process %s has ended", args[0])
	}
}

func needs(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 1 && args[0] == "root" {
		testkit.RequireRoot(ts.Value("t").(testing.TB))
		return
	}
	ts.Fatalf("usage: needs root")
}

func port(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], testkit.FreePort(ts.Value("t").(testing.TB)))
}

func eventually(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: eventually TEXT FILE")
	}
	testkit.WaitFor(ts.Value("t").(testing.TB), args[0]+" in "+args[1], func() bool {
		b, _ := os.ReadFile(ts.MkAbs(args[1]))
		return len(b) > 0 && strings.Contains(string(b), args[0])
	})
}
