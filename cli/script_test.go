package cli_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts say what the command line does, a theme a file. Beyond the words
// of testscript they have:
//
//	exits CODE program [args...]   like exec, and the exit code must be CODE
//
// foo and myapp are the programs of main_test.go.
func TestScripts(t *testing.T) {
	bin := binDir(t)
	helper := testkit.HelperEnv(t, "program")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, helper...)
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("TERM", "dumb")
			env.Defer(func() { stopAll(t, env) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
		},
	})
}

// binDir has the programs under their names.
func binDir(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := testkit.TempDir(t)
	for name := range programs {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// stopAll leaves no daemon of a script behind.
func stopAll(t *testing.T, env *testscript.Env) {
	files, _ := filepath.Glob(filepath.Join(env.WorkDir, "*.pid"))
	if len(files) == 0 {
		return
	}
	cmd := exec.Command(filepath.Join(strings.Split(env.Getenv("PATH"), string(os.PathListSeparator))[0], "foo"),
		"stop", "--timeout=0", "--force", "--quiet")
	cmd.Dir, cmd.Env = env.WorkDir, env.Vars
	cmd.CombinedOutput() // whatever it says, testkit counts what is left
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
