//go:build linux

package daemonocle_test

import (
	"bytes"
	"context"
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
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func init() { helpers["force"] = force }

// force is prog for what the core's command line has no words for: a stop that
// kills after the time that its argument says.
func force() {
	d, err := daemonocle.New(progConfig())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	limit, err := time.ParseDuration(os.Args[1])
	if err != nil {
		panic(err)
	}
	o := daemonocle.StopOptions{Timeout: limit, Force: true}
	os.Exit(daemonocle.ExitCode(d.DoWith(context.Background(), daemonocle.Output{}, "stop", o)))
}

// TestScript holds the command line to the scripts in testdata/script, which
// are its specification. What they say besides testscript's own commands:
//
//	prog ARG...          run the program of main_test.go, which must exit with 0
//	exits CODE prog ...  the same with another exit code; instead of prog, force
//	                     is a stop with Force
//	nobody exits ...     as a user who owns nothing, if root runs the tests
//	tty exits ...        with a terminal as standard streams, which show in out
//	out LINE..., err LINE...
//	                     the last program wrote exactly these lines (none: nothing);
//	                     \e is the escape character
//	begin prog ...       run it in the background, one at a time
//	shown LINE...        the one in the background has written these lines
//	ends CODE            it ends with this exit code
//	pid NAME FILE        wait until FILE has a number, and call it NAME
//	alive PID, gone PID  that process lives; it ends, or has ended
//	signal NAME PID      send a signal; PID can also be "background"
//	needs root           skip for others, and count that
//
// A program counts as ended when nobody has its standard output open any more:
// each start in a script shows that the daemon has let go of it.
func TestScript(t *testing.T) {
	testkit.Parallel(t)
	testscript.Run(t, testscript.Params{
		Dir:         filepath.Join("testdata", "script"),
		WorkdirRoot: testkit.TempDir(t), // others may look into it
		Setup: func(env *testscript.Env) error {
			env.Values["script"] = &script{t: env.T().(testing.TB)}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"prog":   command(func(s *script, args []string) { s.run(append([]string{"exits", "0", "prog"}, args...)) }),
			"exits":  command(func(s *script, args []string) { s.run(append([]string{"exits"}, args...)) }),
			"nobody": command(func(s *script, args []string) { s.run(append([]string{"nobody"}, args...)) }),
			"tty":    command(func(s *script, args []string) { s.run(append([]string{"tty"}, args...)) }),
			"out":    command(func(s *script, args []string) { s.wrote("stdout", args) }),
			"err":    command(func(s *script, args []string) { s.wrote("stderr", args) }),
			"begin":  command((*script).begin),
			"shown":  command((*script).shown),
			"ends":   command((*script).ends),
			"pid":    command((*script).pid),
			"alive":  command((*script).alive),
			"gone":   command((*script).gone),
			"signal": command((*script).signal),
			"needs":  command((*script).needs),
		},
	})
}

// script is one script while it runs.
type script struct {
	*testscript.TestScript
	t testing.TB

	background *exec.Cmd
}

func command(do func(*script, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command has no opposite")
		}
		s := ts.Value("script").(*script)
		s.TestScript = ts
		do(s, args)
	}
}

// take gives the first n arguments and the rest.
func (s *script) take(n int, args []string) ([]string, []string) {
	if len(args) < n {
		s.Fatalf("there must be at least %d arguments", n)
	}
	return args[:n], args[n:]
}

// program is the test binary as the helper that args names, with the script's
// environment and directory.
func (s *script) program(args []string) *exec.Cmd {
	name, rest := s.take(1, args)
	cmd := testkit.Helper(s.t, name[0], rest...)
	cmd.Args[0] = name[0]
	cmd.Dir = s.MkAbs(".")
	s.Check(s.Exec("env", "-0"))
	own := testkit.HelperEnv(s.t, name[0])
	theirs := strings.Split(strings.TrimSuffix(s.ReadFile("stdout"), "\x00"), "\x00")
	cmd.Env = append(theirs, own...)
	return cmd
}

func (s *script) run(args []string) {
	as, onTerminal := 0, false
	for ; len(args) > 0 && args[0] != "exits"; args = args[1:] {
		switch args[0] {
		case "nobody":
			if os.Geteuid() == 0 {
				as, _ = testkit.Unprivileged(s.t)
			}
		case "tty":
			onTerminal = true
		default:
			s.Fatalf("%s: not among nobody, tty, exits", args[0])
		}
	}
	code, args := s.take(2, args)
	cmd := s.program(args)
	if as != 0 {
		// Where go test puts the binary others may not look. A copy by this process
		// could be busy: a fork elsewhere in it inherits what is open for writing.
		s.Check(s.Exec("cp", cmd.Path, s.MkAbs("prog")))
		s.Check(os.Chmod(s.MkAbs("prog"), 0o755))
		cmd.Path = s.MkAbs("prog")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(as), Gid: uint32(as)}}
	}
	if onTerminal {
		io.WriteString(s.Stdout(), s.onTerminal(cmd, code[1]))
		return
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	s.exited(cmd, cmd.Run(), code[1])
	io.WriteString(s.Stdout(), stdout.String())
	io.WriteString(s.Stderr(), stderr.String())
}

// exited compares the exit code.
func (s *script) exited(cmd *exec.Cmd, err error, code string) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatalf("%v", err)
	}
	if got, want := cmd.ProcessState.String(), "exit status "+code; got != want {
		s.Fatalf("%v: %s, want %s; it wrote\n%v%v", cmd.Args, got, want, cmd.Stdout, cmd.Stderr)
	}
}

// onTerminal runs the program on a terminal of its own, of 80 columns.
func (s *script) onTerminal(cmd *exec.Cmd, code string) string {
	const end = "the end"
	pty := testkit.Pty(s.t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = pty.Slave, pty.Slave, pty.Slave
	s.exited(cmd, cmd.Run(), code)
	fmt.Fprint(pty.Slave, end)
	shown, _, _ := strings.Cut(pty.Expect(s.t, end), end)
	var seen strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(shown, "\r\n", "\n")) {
		// A busy machine may be slow enough for the line to show the waiting.
		writings := strings.Split(line, "\r\x1b[K")
		seen.WriteString(writings[len(writings)-1])
	}
	return seen.String()
}

// scriptLines are the arguments as a program would write them.
func scriptLines(args []string) string {
	var b strings.Builder
	for _, line := range args {
		b.WriteString(strings.ReplaceAll(line, `\e`, "\x1b") + "\n")
	}
	return b.String()
}

func (s *script) wrote(stream string, args []string) {
	if got, want := s.ReadFile(stream), scriptLines(args); got != want {
		s.Fatalf("%s: got\n%q, want\n%q", stream, got, want)
	}
}

func (s *script) begin(args []string) {
	cmd := s.program(args)
	for name, stream := range map[string]*io.Writer{"background.out": &cmd.Stdout, "background.err": &cmd.Stderr} {
		f, err := os.Create(s.MkAbs(name))
		s.Check(err)
		defer f.Close()
		*stream = f
	}
	s.Check(cmd.Start())
	s.background = cmd
}

func (s *script) shown(args []string) {
	testkit.WaitFor(s.t, fmt.Sprintf("the lines %q", args), func() bool {
		return strings.Contains(s.ReadFile("background.out"), scriptLines(args))
	})
}

func (s *script) ends(args []string) {
	code, _ := s.take(1, args)
	s.exited(s.background, s.background.Wait(), code[0])
	io.WriteString(s.Stdout(), s.ReadFile("background.out"))
	io.WriteString(s.Stderr(), s.ReadFile("background.err"))
}

func (s *script) pid(args []string) {
	both, _ := s.take(2, args)
	testkit.WaitFor(s.t, "a number in "+both[1], func() bool {
		content, err := os.ReadFile(s.MkAbs(both[1]))
		number, whole := strings.CutSuffix(string(content), "\n")
		s.Setenv(both[0], number)
		_, notNumber := strconv.Atoi(number)
		return err == nil && whole && notNumber == nil
	})
}

func (s *script) process(args []string) int {
	if len(args) == 1 && args[0] == "background" {
		return s.background.Process.Pid
	}
	number, _ := s.take(1, args)
	pid, err := strconv.Atoi(number[0])
	s.Check(err)
	return pid
}

func (s *script) alive(args []string) {
	if testkit.Gone(s.process(args)) {
		s.Fatalf("process %s is gone", args[0])
	}
}

func (s *script) gone(args []string) { testkit.WaitGone(s.t, s.process(args)) }

func (s *script) signal(args []string) {
	name, rest := s.take(1, args)
	sig := unix.SignalNum("SIG" + name[0])
	if sig == 0 {
		s.Fatalf("there is no signal %s", name[0])
	}
	s.Check(syscall.Kill(s.process(rest), sig))
}

func (s *script) needs(args []string) {
	if !slices.Equal(args, []string{"root"}) {
		s.Fatalf("only root can be needed")
	}
	testkit.RequireRoot(s.t)
}
