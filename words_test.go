//go:build linux

package daemonocle_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() { helpers["words"] = wordsProgram }

// wordsProgram is a daemon, or with W_GROUP a group of two, of which the part that the file
// W_FAIL names, a hook or the worker, fails with what follows the name: an error of that
// text, or a panic.
func wordsProgram() {
	fails := func(part string) error {
		name, text, _ := strings.Cut(slurp(os.Getenv("W_FAIL")), " ")
		switch {
		case name != part:
			return nil
		case text == "panic":
			panic("coconut")
		}
		return errors.New(text)
	}
	c := progConfig()
	c.Worker = func(ctx context.Context) error {
		if err := fails("worker"); err != nil {
			return err
		}
		if err := daemonocle.Ready(ctx); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	c.Hooks.Check = func(context.Context) error { return fails("check") }
	c.Hooks.Start = func(context.Context, daemonocle.StartInfo) error { return fails("start") }
	c.Hooks.Privileged = func(context.Context) error { return fails("privileged") }
	if os.Getenv("W_REREAD") != "" {
		c.Hooks.Reload = func(context.Context) error { return fails("reload") }
	}
	c.Actions = []daemonocle.Action{daemonocle.NewAction("deploy", "Deploy.", func(context.Context, *daemonocle.Call, struct{}) error {
		return fails("deploy")
	})}
	var d interface {
		Do(context.Context, ...string) error
	}
	var err error
	if os.Getenv("W_GROUP") != "" {
		c.Name += "{n}"
		d, err = daemonocle.NewGroup(c, 2)
	} else {
		d, err = daemonocle.New(c)
	}
	if err != nil {
		os.Exit(daemonocle.ExitCode(daemonocle.Output{}.Explain(err)))
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

var anyPID = regexp.MustCompile(`PID \d+`)

// told are the lines of stderr that name an error, a warning or a reason.
func told(r ending) string {
	var lines []string
	for line := range strings.Lines(r.err) {
		if strings.HasPrefix(line, "ERROR: ") || strings.HasPrefix(line, "WARNING: ") || strings.HasPrefix(line, "reason: ") {
			lines = append(lines, anyPID.ReplaceAllString(line, "PID N"))
		}
	}
	return strings.Join(lines, "")
}

// TestNamesAndWordsOfOthersArePrintedAsTheyAre starts, restarts and reloads daemons whose
// names and errors begin with a small letter or none of ASCII: only what begins with our
// own words begins with a capital.
func TestNamesAndWordsOfOthersArePrintedAsTheyAre(t *testing.T) {
	testkit.Parallel(t)
	for _, name := range []string{"myapp", "Ünï", "ünï"} {
		t.Run(name, func(t *testing.T) {
			for _, part := range []string{"check", "start", "privileged", "worker"} {
				t.Run(part, func(t *testing.T) {
					for _, text := range []string{"banana", "ünknown peel", "panic"} {
						s := newWords(t, name)
						s.fail(part + " " + text)
						want := "ERROR: " + text + "\n"
						if text == "panic" {
							want = "ERROR: " + strings.ToUpper(part[:1]) + part[1:] + " hook panicked: coconut\n"
						}
						if part == "worker" {
							want = "ERROR: Child exited immediately with exit code 1\nreason: " + text + "\n"
							if text == "panic" {
								want = "ERROR: Child exited immediately with exit code 2\nreason: panic: coconut\n"
							}
						}
						s.says(want, "start")
						switch {
						case part == "worker" && text == "panic":
							want = "ERROR: Dying due to unhandled panic: coconut\n"
						case part == "worker":
							want = "ERROR: " + text + "\n"
						}
						s.says(want, "start", "D_FOREGROUND=1")
					}
				})
			}
			t.Run("while it runs", func(t *testing.T) {
				s := newWords(t, name)
				s.says("ERROR: "+name+" is not running\n", "reload")
				s.says("WARNING: "+name+" is not running\n", "stop")
				s.fail("")
				s.says("", "start")
				s.says("WARNING: "+name+" already running with PID N\n", "start")
				s.says("WARNING: "+name+" already running with PID N\n", "start", "D_FOREGROUND=1")
				for _, action := range []string{"restart", "reload"} {
					for _, part := range []string{"check", "privileged"} {
						if part == "privileged" && action == "restart" {
							continue // it is called in the process that has taken the old one's place
						}
						s.fail(part + " banana")
						s.says("ERROR: banana\n", action)
						s.fail(part + " panic")
						s.says("ERROR: "+strings.ToUpper(part[:1])+part[1:]+" hook panicked: coconut\n", action)
					}
				}
				s.fail("start banana")
				s.says("ERROR: banana\n", "restart")
			})
			t.Run("reload hook", func(t *testing.T) {
				s := newWords(t, name, "W_REREAD=1")
				s.fail("")
				s.says("", "start")
				s.fail("reload banana")
				s.says("ERROR: banana\n", "reload")
				s.fail("reload panic")
				s.says("ERROR: Reload hook panicked: coconut\n", "reload")
			})
			t.Run("action", func(t *testing.T) {
				s := newWords(t, name)
				s.fail("deploy banana")
				s.says("ERROR: banana\n", "deploy")
				s.fail("deploy panic")
				s.says("ERROR: Action deploy panicked: coconut\n", "deploy")
				s.says("ERROR: Invalid action \"peel\"\n", "peel")
			})
			t.Run("group", func(t *testing.T) {
				s := newWords(t, name, "W_GROUP=1", "D_PIDFILE="+filepath.Join(testkit.TempDir(t), "{n}.pid"))
				s.says(fmt.Sprintf("ERROR: %[1]s0 is not running\nERROR: %[1]s1 is not running\n", name), "reload")
				for _, part := range []string{"check", "start", "privileged"} {
					s.fail(part + " banana")
					s.says("ERROR: banana\nERROR: banana\n", "start")
				}
				s.fail("")
				s.says("", "start")
				s.says(fmt.Sprintf("WARNING: %[1]s0 already running with PID N\nWARNING: %[1]s1 already running with PID N\n", name), "start")
				s.fail("check banana")
				s.says("ERROR: banana\nERROR: banana\n", "reload")
				s.says("ERROR: banana\n", "restart")
				s.fail("start banana")
				s.says("ERROR: banana\nERROR: banana\n", "restart")
			})
		})
	}
}

type words struct{ *described }

func newWords(t *testing.T, name string, settings ...string) words {
	t.Helper()
	s := describe(t, "words", slices.Concat([]string{"D_NAME=" + name}, settings)...)
	s.env = append(s.env, "W_FAIL="+filepath.Join(s.side, "fail"))
	return words{s}
}

// fail says what is to fail from now on.
func (w words) fail(what string) {
	w.t.Helper()
	must(w.t, os.WriteFile(w.setting("W_FAIL"), []byte(what), 0o644))
}

func (w words) says(want, action string, settings ...string) {
	w.t.Helper()
	cmd := w.command(action)
	cmd.Env = append(cmd.Env, settings...)
	if r := w.begin(cmd).wait(); told(r) != want {
		w.t.Errorf("%s: got %+v, want %q", action, r, want)
	}
}
