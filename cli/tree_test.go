package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// recorder is a daemon of which nothing is done but noted down.
type recorder struct {
	*daemonocle.Daemon
	calls []string
	outs  []daemonocle.Output
	ctxs  []context.Context
	err   error
}

func (r *recorder) Invoke(ctx context.Context, out daemonocle.Output, action string, options map[string][]string, args ...string) error {
	call := action
	var names []string
	for name := range options {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		call += fmt.Sprintf(" %s=%s", name, strings.Join(options[name], "|"))
	}
	r.calls = append(r.calls, strings.Join(append([]string{call}, args...), " "))
	r.outs = append(r.outs, out)
	r.ctxs = append(r.ctxs, ctx)
	return r.err
}

func (r *recorder) last(t *testing.T) string {
	t.Helper()
	if len(r.calls) == 0 {
		t.Fatal("no action was called")
	}
	return r.calls[len(r.calls)-1]
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	c := fooConfig()
	c.PIDFile = filepath.Join(t.TempDir(), "foo.pid")
	d, err := daemonocle.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &recorder{Daemon: d}
}

// execute runs a tree and returns what it prints on stdout and stderr.
func execute(root *cobra.Command, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errs)
	if args == nil {
		args = []string{}
	}
	root.SetArgs(args)
	err = root.Execute()
	return out.String(), errs.String(), err
}

func mustExecute(t *testing.T, root *cobra.Command, args ...string) (stdout string) {
	t.Helper()
	stdout, stderr, err := execute(root, args...)
	if err != nil || stderr != "" {
		t.Fatalf("%v: %v, stderr %q", args, err, stderr)
	}
	return stdout
}

func TestWhatIsPrintedGoesToTheWritersOfTheCommand(t *testing.T) {
	c := fooConfig()
	c.PIDFile = filepath.Join(t.TempDir(), "foo.pid")
	d, err := daemonocle.New(c)
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := execute(cli.Command(d), "status")
	if got, want := stdout, "foo -- not running\n"; got != want || stderr != "" {
		t.Errorf("status prints %q and %q, want %q", got, stderr, want)
	}
	if got := daemonocle.ExitCode(err); got != 1 {
		t.Errorf("exit code %d, want 1", got)
	}
	_, stderr, err = execute(cli.Command(d), "stop")
	if got, want := stderr, "WARNING: foo is not running\n"; got != want || err != nil {
		t.Errorf("stop prints %q and returns %v, want %q", got, err, want)
	}
}

func TestOneTreeCanBeExecutedAgain(t *testing.T) {
	for _, first := range []struct {
		name string
		args []string
		fail bool
	}{
		{"with options", []string{"service", "stop", "--timeout=3", "--force", "--json", "--color=always"}, false},
		{"with a mistake", []string{"service", "stop", "--force", "--timeout=x"}, true},
		{"for help", []string{"service", "stop", "--force", "--help"}, false},
		{"for the group's help", []string{"service", "--help"}, false},
		{"with the program's error", []string{"service", "stop", "--force", "--config=broken"}, true},
		{"with an argument too many", []string{"service", "stop", "--force", "x"}, true},
	} {
		t.Run(first.name, func(t *testing.T) {
			r := newRecorder(t)
			root := myapp(r)
			if _, _, err := execute(root, first.args...); (err != nil) != first.fail {
				t.Fatalf("%v: %v", first.args, err)
			}
			config := root.PersistentFlags().Lookup("config")
			if err := config.Value.Set("none"); err != nil { // the program's own is the program's affair
				t.Fatal(err)
			}
			service := []string{"service", "stop"}
			stop, _, _ := root.Find(service)
			stop.PreRun = func(cmd *cobra.Command, _ []string) {
				if cmd.Flags().Changed("force") || cmd.Flags().Lookup("force").Value.String() != "false" {
					t.Error("--force looks as if it was given")
				}
			}
			mustExecute(t, root, service...)
			if got, want := r.last(t), "stop"; got != want {
				t.Errorf("called %q, want %q", got, want)
			}
			if out := r.outs[len(r.outs)-1]; out.JSON || out.Color != daemonocle.ColorAuto {
				t.Errorf("the output is %+v, want that of no options", out)
			}
			mustExecute(t, root, "service", "start", "x", "--wait=3")
			if got, want := r.last(t), "start wait=3 x"; got != want {
				t.Errorf("called %q, want %q", got, want)
			}
		})
	}
}

func TestASecondExecutionHasItsOwnContext(t *testing.T) {
	r := newRecorder(t)
	root := cli.Command(r)
	type key struct{}
	for _, want := range []string{"one", "two"} {
		root.SetArgs([]string{"start"})
		if err := root.ExecuteContext(context.WithValue(context.Background(), key{}, want)); err != nil {
			t.Fatal(err)
		}
		if got := r.ctxs[len(r.ctxs)-1].Value(key{}); got != want {
			t.Errorf("the context is that of execution %v, want %q", got, want)
		}
	}
}

func TestAProgramThatTraversesItsChildrenIsServed(t *testing.T) {
	r := newRecorder(t)
	root := myapp(r)
	root.TraverseChildren = true
	mustExecute(t, root, "--config=x", "service", "--config", "y", "stop", "--timeout", "3", "--force")
	if got, want := r.last(t), "stop force=true timeout=3"; got != want {
		t.Errorf("called %q, want %q", got, want)
	}
}

// orders are ways in which a program can come to its flags and our commands.
var orders = []struct {
	name  string
	build func(t *testing.T, p cli.Program, flags func(*pflag.FlagSet)) *cobra.Command
}{
	{"flags, then Command", func(t *testing.T, p cli.Program, flags func(*pflag.FlagSet)) *cobra.Command {
		root := &cobra.Command{Use: "myapp"}
		flags(root.PersistentFlags())
		c := cli.Command(p)
		c.Use = "service"
		root.AddCommand(c)
		return root
	}},
	{"Command, then flags", func(t *testing.T, p cli.Program, flags func(*pflag.FlagSet)) *cobra.Command {
		root := &cobra.Command{Use: "myapp"}
		c := cli.Command(p)
		c.Use = "service"
		root.AddCommand(c)
		flags(root.PersistentFlags())
		return root
	}},
	{"AddTo, then flags, then the tree", func(t *testing.T, p cli.Program, flags func(*pflag.FlagSet)) *cobra.Command {
		root := &cobra.Command{Use: "myapp"}
		c := &cobra.Command{Use: "service"}
		if err := cli.AddTo(c, p); err != nil {
			t.Fatal(err)
		}
		flags(root.PersistentFlags())
		root.AddCommand(c)
		return root
	}},
	{"flags in between, after a look at the usage", func(t *testing.T, p cli.Program, flags func(*pflag.FlagSet)) *cobra.Command {
		root := &cobra.Command{Use: "myapp"}
		c := &cobra.Command{Use: "service"}
		root.AddCommand(c)
		flags(c.PersistentFlags())
		if err := cli.AddTo(c, p); err != nil {
			t.Fatal(err)
		}
		start, _, err := root.Find([]string{"service", "start"})
		if err != nil {
			t.Fatal(err)
		}
		start.UsageString()
		return root
	}},
}

func TestAFlagOfTheProgramIsNeverHidden(t *testing.T) {
	for _, order := range orders {
		t.Run(order.name, func(t *testing.T) {
			r := newRecorder(t)
			var debug, wait string
			flags := func(set *pflag.FlagSet) {
				set.StringVar(&debug, "debug", "", "what to log") // ours takes no value
				set.StringVar(&wait, "wait", "", "not ours")
			}
			root := order.build(t, r, flags)
			mustExecute(t, root, "service", "start", "--debug", "net", "--wait=w", "--daemon-debug", "--daemon-wait", "4", "x")
			if debug != "net" || wait != "w" {
				t.Errorf("the program's --debug and --wait are %q and %q", debug, wait)
			}
			if got, want := r.last(t), "start debug=true wait=4 x"; got != want {
				t.Errorf("called %q, want %q", got, want)
			}
			help := mustExecute(t, root, "service", "start", "--help")
			ours, theirs, _ := strings.Cut(help, "Global Flags:")
			if strings.Count(help, "--daemon-debug") != 1 || strings.Contains(ours, "--debug") || !strings.Contains(theirs, "--debug string") {
				t.Errorf("help does not say so:\n%s", help)
			}
			stdout, _, _ := execute(order.build(t, r, flags), "__complete", "service", "start", "--d")
			if !strings.Contains(stdout, "--daemon-debug\tDo NOT") || !strings.Contains(stdout, "--debug\twhat to log") {
				t.Errorf("completion does not say so:\n%s", stdout)
			}
		})
	}
}

func TestAShortNameOfTheProgramIsNoPanic(t *testing.T) {
	for _, order := range orders {
		t.Run(order.name, func(t *testing.T) {
			r := newRecorder(t)
			var user, host string
			root := order.build(t, r, func(set *pflag.FlagSet) {
				set.StringVarP(&user, "user", "u", "", "that of fetch is a URL")
				set.StringVarP(&host, "hostname", "h", "", "that of help")
				set.Bool("help", false, "program's own")
			})
			mustExecute(t, root, "service", "fetch", "-u", "me", "-h", "there", "--url=a", "-t", "tag")
			if user != "me" || host != "there" {
				t.Errorf("the program's -u and -h are %q and %q", user, host)
			}
			if got, want := r.last(t), "fetch tag=tag url=a"; got != want {
				t.Errorf("called %q, want %q", got, want)
			}
			mustExecute(t, root, "service", "stop", "-h", "there")
			if stdout := mustExecute(t, root, "service", "--help", "-u", "me"); !strings.Contains(stdout, "myapp service [command]") {
				t.Errorf("help is %q", stdout)
			}
		})
	}
}

func TestFlagsOfTheProgramThatMeanTheSameAreObeyed(t *testing.T) {
	for _, order := range orders {
		t.Run(order.name, func(t *testing.T) {
			r := newRecorder(t)
			root := order.build(t, r, func(set *pflag.FlagSet) {
				set.Bool("json", false, "print JSON")
				set.BoolP("quiet", "q", false, "print less")
				set.String("color", "auto", "use colours")
			})
			mustExecute(t, root, "service", "stop", "--json", "-q", "--color=always")
			out := r.outs[len(r.outs)-1]
			if !out.JSON || !out.Quiet || out.Color != daemonocle.ColorAlways {
				t.Errorf("the output is %+v", out)
			}
			if help := mustExecute(t, root, "service", "stop", "--help"); strings.Count(help, "--json") != 1 {
				t.Errorf("help has --json more or less than once:\n%s", help)
			}
		})
	}
	r := newRecorder(t)
	for args, want := range map[string]daemonocle.Color{
		"--no-color": daemonocle.ColorNever, "": daemonocle.ColorAuto,
	} {
		root := cli.Command(r)
		root.PersistentFlags().Bool("no-color", false, "")
		mustExecute(t, root, strings.Fields("stop "+args)...)
		if got := r.outs[len(r.outs)-1].Color; got != want {
			t.Errorf("with %q the colour is %v, want %v", args, got, want)
		}
	}
}

func TestNormalisedNamesHideNothing(t *testing.T) {
	normal := func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	}
	r := newRecorder(t)
	root := &cobra.Command{Use: "myapp"}
	root.SetGlobalNormalizationFunc(normal)
	root.PersistentFlags().Bool("debug", false, "")
	if err := cli.AddTo(root, r); err != nil {
		t.Fatal(err)
	}
	mustExecute(t, root, "start", "--debug", "--daemon_debug")
	if got, want := r.last(t), "start debug=true"; got != want {
		t.Errorf("called %q, want %q", got, want)
	}
	// Where it cannot be seen it is an error, not a flag that does something else.
	service := cli.Command(r)
	service.Use = "service"
	root.AddCommand(service)
	_, stderr, err := execute(root, "service", "start", "--debug")
	if err == nil || !strings.Contains(stderr, `ERROR: Option --debug of "myapp service start" hides a flag of the program`) {
		t.Errorf("got %v, stderr %q", err, stderr)
	}
}

func TestTheProgramMayChangeOurCommands(t *testing.T) {
	r := newRecorder(t)
	root := &cobra.Command{Use: "myapp"}
	c := cli.Command(r)
	root.AddCommand(c)
	stop, _, err := root.Find([]string{"foo", "stop"})
	if err != nil {
		t.Fatal(err)
	}
	why := stop.Flags().String("why", "", "for the log")
	stop.Aliases = []string{"halt"}
	root.PersistentFlags().Bool("debug", false, "") // makes ours find new names
	mustExecute(t, root, "foo", "halt", "--why=lunch", "--force")
	if *why != "lunch" || r.last(t) != "stop force=true" {
		t.Errorf("why is %q, called %q", *why, r.last(t))
	}
}

func TestTheProgramSpeaksForItself(t *testing.T) {
	r := newRecorder(t)
	root := myapp(r)

	// Its own errors are printed as for its own commands, ours once and by us.
	_, stderr, err := execute(root, "service", "stop", "--config=broken")
	if err == nil || !strings.HasPrefix(stderr, "Error: the configuration is broken\n") {
		t.Errorf("a PersistentPreRun that fails: %v, stderr %q", err, stderr)
	}
	root.PersistentFlags().Set("config", "none")
	for capital, want := range map[bool]string{true: "ERROR: No luck\n", false: "ERROR: no luck\n"} {
		r.err = &daemonocle.Error{Op: "stop", Name: "foo", Code: 7, Err: errors.New("no luck"), Capital: capital}
		if _, stderr, err = execute(root, "service", "stop"); stderr != want {
			t.Errorf("stderr %q, want %q", stderr, want)
		}
	}
	if got := daemonocle.ExitCode(err); got != 7 || !daemonocle.Shown(err) {
		t.Errorf("exit code %d, shown: %v", got, daemonocle.Shown(err))
	}
	r.err = nil

	// What it has to say about mistakes is said.
	own := errors.New("read the manual")
	root.SetFlagErrorFunc(func(*cobra.Command, error) error { return own })
	_, stderr, err = execute(root, "service", "stop", "--banana")
	if !errors.Is(err, own) || !errors.Is(err, daemonocle.ErrUsage) || !strings.HasPrefix(stderr, "ERROR: read the manual\n") {
		t.Errorf("a FlagErrorFunc: %v, stderr %q", err, stderr)
	}
	if got := daemonocle.ExitCode(err); got != 2 {
		t.Errorf("exit code %d, want 2", got)
	}
}

func TestWeSetNothingOnTheProgram(t *testing.T) {
	r := newRecorder(t)
	root := myapp(r)
	for _, args := range [][]string{{"service", "stop"}, {"service", "strat"}, {"service", "stop", "--banana"}, {"hello"}} {
		execute(root, args...)
	}
	if root.SilenceErrors || root.SilenceUsage {
		t.Error("the program is silenced")
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.PersistentPreRun != nil || c.PersistentPreRunE != nil || c.PersistentPostRun != nil || c.PersistentPostRunE != nil {
			t.Errorf("%s has a persistent hook", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	service, _, _ := root.Find([]string{"service"})
	walk(service)
	if _, stderr, err := execute(root, "hello", "--banana"); err == nil || !strings.HasPrefix(stderr, "Error: unknown flag: --banana\n") {
		t.Errorf("the program's own error: %v, stderr %q", err, stderr)
	}
}

func TestAddToUsesGroupsIfThereAreAny(t *testing.T) {
	r := newRecorder(t)
	plain := &cobra.Command{Use: "plain"}
	if err := cli.AddTo(plain, r); err != nil {
		t.Fatal(err)
	}
	if help := mustExecute(t, plain, "--help"); strings.Contains(help, "Daemon Commands:") || !strings.Contains(help, "  start  ") {
		t.Errorf("without groups help is\n%s", help)
	}

	grouped := &cobra.Command{Use: "grouped"}
	grouped.AddGroup(&cobra.Group{ID: "own", Title: "Own Commands:"})
	if err := cli.AddTo(grouped, r); err != nil {
		t.Fatal(err)
	}
	help := mustExecute(t, grouped, "--help")
	_, after, found := strings.Cut(help, "Daemon Commands:\n")
	if !found || !strings.HasPrefix(after, "  bar ") {
		t.Errorf("with groups help is\n%s", help)
	}

	titled := &cobra.Command{Use: "titled"}
	titled.AddGroup(&cobra.Group{ID: "daemon", Title: "In The Background:"})
	if err := cli.AddTo(titled, r); err != nil {
		t.Fatal(err)
	}
	if help := mustExecute(t, titled, "--help"); !strings.Contains(help, "In The Background:\n  bar ") || strings.Contains(help, "Daemon Commands") {
		t.Errorf("with a title of its own help is\n%s", help)
	}
}

func TestAddToRefusesACommandThatIsThere(t *testing.T) {
	r := newRecorder(t)
	root := &cobra.Command{Use: "myapp"}
	root.AddCommand(&cobra.Command{Use: "info", Aliases: []string{"status"}}, &cobra.Command{Use: "stop NAME"})
	err := cli.AddTo(root, r)
	if err == nil || !strings.Contains(err.Error(), `"status"`) || !strings.Contains(err.Error(), `"stop"`) {
		t.Errorf("got %v", err)
	}
	if n := len(root.Commands()); n != 2 {
		t.Errorf("the tree has %d commands, want the 2 that it had", n)
	}
}

// TestAddToLeavesLogsToTheProgram: which may have such a command for more than the daemon.
func TestAddToLeavesLogsToTheProgram(t *testing.T) {
	for _, own := range []bool{false, true} {
		root, logs := &cobra.Command{Use: "myapp"}, &cobra.Command{Use: "logs", Run: func(*cobra.Command, []string) {}}
		if own {
			root.AddCommand(logs)
		}
		if err := cli.AddTo(root, newRecorder(t)); err != nil {
			t.Fatal(err)
		}
		found, _, err := root.Find([]string{"logs"})
		if err != nil || found == root || (found == logs) != own {
			t.Errorf("own %t: found %v, %v", own, found.Name(), err)
		}
	}
}

func TestAnActionKeepsItsOptionNames(t *testing.T) {
	c := fooConfig()
	c.PIDFile = filepath.Join(t.TempDir(), "foo.pid")
	c.Actions = []daemonocle.Action{
		daemonocle.NewAction("paint", "", func(_ context.Context, _ *daemonocle.Call, o struct {
			Color string `short:"h" help:"Not ours, a \u0060real\u0060 one."`
			Quiet bool
		}) error {
			return nil
		}),
	}
	d, err := daemonocle.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Daemon: d}
	root := cli.Command(r)
	mustExecute(t, root, "paint", "--color=blue", "--quiet")
	if got, want := r.last(t), "paint color=blue quiet=true"; got != want {
		t.Errorf("called %q, want %q", got, want)
	}
	mustExecute(t, root, "paint", "-h", "blue")
	if got, want := r.last(t), "paint color=blue"; got != want {
		t.Errorf("called %q, want %q", got, want)
	}
	if help := mustExecute(t, root, "paint", "--help"); !strings.Contains(help, "-h, --color TEXT") {
		t.Errorf("help is\n%s", help)
	}
}

func TestAReplacedActionHasTheOptionsOfTheOriginal(t *testing.T) {
	c := fooConfig()
	c.PIDFile = filepath.Join(t.TempDir(), "foo.pid")
	c.Actions = []daemonocle.Action{
		daemonocle.NewAction("status", "More than the original.", func(ctx context.Context, c *daemonocle.Call, o struct {
			daemonocle.StatusOptions
			Verbose bool
		}) error {
			fmt.Fprintln(c.Err, "verbose:", o.Verbose)
			return c.Builtin(ctx, o.StatusOptions)
		}),
	}
	d, err := daemonocle.New(c)
	if err != nil {
		t.Fatal(err)
	}
	root := cli.Command(d)
	stdout, stderr, err := execute(root, "status", "--json", "--verbose", "--fields=pid")
	if got, want := stdout, `{"name": "foo", "status": "dead"}`+"\n"; got != want {
		t.Errorf("prints %q, want %q", got, want)
	}
	if got, want := stderr, "verbose: true\n"; got != want || daemonocle.ExitCode(err) != 1 {
		t.Errorf("stderr %q, want %q; exit code %d", got, want, daemonocle.ExitCode(err))
	}
	if stdout, _, _ := execute(root, "__complete", "status", "--fields", "pi"); !strings.HasPrefix(stdout, "pid\n") {
		t.Errorf("completion is %q", stdout)
	}
	// An error of the original is printed once.
	_, stderr, err = execute(root, "status", "--fields=shoe_size")
	if strings.Count(stderr, "ERROR:") != 1 || daemonocle.ExitCode(err) != 2 {
		t.Errorf("stderr %q, exit code %d", stderr, daemonocle.ExitCode(err))
	}
}
