package cli_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/spf13/cobra"
)

// A word that names no action is named, with exit code 2, in whatever tree and whatever
// else is asked for.
func TestUnknownActionIsNamed(t *testing.T) {
	plain := func(use string) *cobra.Command { return &cobra.Command{Use: use} }
	trees := map[string]struct {
		under []string
		make  func(r *recorder) *cobra.Command
	}{
		"a program of its own": {nil, func(r *recorder) *cobra.Command { return cli.Command(r) }},
		"Command below a program": {[]string{"service"}, func(r *recorder) *cobra.Command {
			return myapp(r)
		}},
		"AddTo a root": {nil, func(r *recorder) *cobra.Command {
			root := plain("myapp")
			must(t, cli.AddTo(root, r))
			return root
		}},
		"AddTo a root that does something": {nil, func(r *recorder) *cobra.Command {
			root := plain("myapp")
			root.Run = func(*cobra.Command, []string) { r.calls = append(r.calls, "ran") }
			must(t, cli.AddTo(root, r))
			return root
		}},
		"AddTo below a root": {[]string{"service"}, func(r *recorder) *cobra.Command {
			root, service := plain("myapp"), plain("service")
			must(t, cli.AddTo(service, r))
			root.AddCommand(service)
			return root
		}},
		"AddTo with flags of the program": {[]string{"service"}, func(r *recorder) *cobra.Command {
			root, service := plain("myapp"), plain("service")
			root.AddCommand(service)
			must(t, cli.AddTo(service, r))
			root.PersistentFlags().StringP("host", "H", "", "")
			service.Flags().Bool("mine", false, "")
			return root
		}},
		"AddTo where the program takes no arguments": {[]string{"service"}, func(r *recorder) *cobra.Command {
			root, service := plain("myapp"), plain("service")
			service.Args = cobra.NoArgs
			root.AddCommand(service)
			must(t, cli.AddTo(service, r))
			return root
		}},
	}
	for name, tree := range trees {
		t.Run(name, func(t *testing.T) {
			r := newRecorder(t)
			root := tree.make(r)
			path := strings.Join(append([]string{root.Name()}, tree.under...), " ")
			calls := [][]string{{"strat"}, {"strat", "--help"}, {"--help", "strat"}, {"strat", "--timeout", "4"}, {"strat", "start"}}
			if len(tree.under) == 0 {
				calls = append(calls, []string{"help", "strat"})
			}
			for range 2 { // a tree may be executed again
				for _, words := range calls {
					args := append(append([]string{}, tree.under...), words...)
					stdout, stderr, err := execute(root, args...)
					want := `ERROR: Unknown action "strat" for "` + path + "\"\nhint: Did you mean start?\n"
					if stdout != "" || stderr != want || daemonocle.ExitCode(err) != 2 || !errors.Is(err, daemonocle.ErrUsage) || !daemonocle.Shown(err) {
						t.Errorf("%q: %v, stdout %q, stderr %q, want %q", args, err, stdout, stderr, want)
					}
				}
				for _, words := range [][]string{{"--help"}, {"start", "--help"}} {
					args := append(append([]string{}, tree.under...), words...)
					if stdout, stderr, err := execute(root, args...); !strings.Contains(stdout, "Usage:") || stderr != "" || err != nil {
						t.Errorf("%q: %v, stdout %q, stderr %q", args, err, stdout, stderr)
					}
				}
				if len(tree.under) == 0 {
					if stdout := mustExecute(t, root, "help", "start"); !strings.Contains(stdout, "start [ARG]...") {
						t.Errorf("help start: %q", stdout)
					}
				} else if stdout := mustExecute(t, root, append(append([]string{"help"}, tree.under...), "start")...); !strings.Contains(stdout, "start [ARG]...") {
					t.Errorf("help start: %q", stdout)
				}
				mustExecute(t, root, append(append([]string{}, tree.under...), "stop")...)
				if got := r.last(t); got != "stop" {
					t.Errorf("stop: called was %q", got)
				}
			}
		})
	}
}

// A command of the program that does something with words behind it, or shows its help
// without any, does so with our actions beside.
func TestTheProgramsOwnWords(t *testing.T) {
	r := newRecorder(t)
	var got []string
	root, service, shy := &cobra.Command{Use: "myapp"}, &cobra.Command{Use: "service"}, &cobra.Command{Use: "shy"}
	service.Run = func(_ *cobra.Command, args []string) { got = args }
	root.AddCommand(service, shy)
	must(t, cli.AddTo(service, r))
	must(t, cli.AddTo(shy, r))
	mustExecute(t, root, "service", "what", "ever")
	if strings.Join(got, " ") != "what ever" {
		t.Errorf("the program got %q", got)
	}
	if stdout := mustExecute(t, root, "service", "what", "--help"); !strings.Contains(stdout, "Usage:") {
		t.Errorf("its help: %q", stdout)
	}
	before := mustExecute(t, root, "shy")
	execute(root, "shy", "strat")
	after := mustExecute(t, root, "shy")
	if before != after || strings.Contains(before, "myapp shy [flags]") {
		t.Errorf("help was %q, and is %q", before, after)
	}
	// Its own mistakes are reported by cobra, also after ours.
	if _, stderr, err := execute(root, "shy", "--bogus"); err == nil || !strings.Contains(stderr, "Error: unknown flag: --bogus") {
		t.Errorf("an unknown flag of the program: %v, %q", err, stderr)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
