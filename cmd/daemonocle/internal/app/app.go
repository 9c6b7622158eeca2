// Package app is the command daemonocle: its command line and what it remembers.
package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/spf13/cobra"
)

// Main runs the command line, that is os.Args, and returns the exit code.
func Main() int {
	// Without room for descriptors there is no daemon, and all others of this command need them as well.
	if _, err := daemonocle.New(daemonocle.Config{Name: "daemonocle"}); err != nil {
		return daemonocle.ExitCode(daemonocle.Output{}.Explain(err))
	}
	return execute(Tree())
}

func execute(root *cobra.Command) int {
	err := root.Execute()
	if err == nil {
		return 0
	}
	var ours *daemonocle.Error
	usage := !daemonocle.Shown(err) && !errors.As(err, &ours) // cobra's own, such as of a command that is not there
	err = outputOf(root).Explain(err)
	if usage {
		return exitUsage
	}
	return daemonocle.ExitCode(err)
}

const exitUsage = 2

const long = `Run any command as a daemon: start returns when it is up, or says why it is not.

What start was told about a daemon is remembered under its name, so that the other
commands need nothing but that.`

// Tree makes the commands.
func Tree() *cobra.Command {
	root := &cobra.Command{Use: "daemonocle", Short: "Run any command as a daemon", Long: long,
		SilenceErrors: true, SilenceUsage: true, SuggestionsMinimumDistance: 2}
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := `See "daemonocle --help".`
		// A slip of the finger is rarely in the first letter.
		far := func(s string) bool { return args[0] == "" || s[0] != args[0][0] }
		if s := slices.DeleteFunc(cmd.SuggestionsFor(args[0]), far); len(s) > 0 {
			hint = "Did you mean " + strings.Join(s, ", or ") + "?"
		}
		return misuse("do", fmt.Sprintf("there is no command %q", args[0]), hint)
	}
	root.RunE = func(cmd *cobra.Command, args []string) error {
		fmt.Fprint(cmd.ErrOrStderr(), long+"\n\n"+cmd.UsageString())
		return daemonocle.MarkShown(misuse("do", "no command was given", ""))
	}
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		if cmd == root { // it does nothing by itself
			run := root.RunE
			root.RunE = nil
			defer func() { root.RunE = run }()
		}
		return new(cobra.Command).UsageFunc()(cmd)
	})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		err = cli.FlagError(err)
		if cmd != root { // which says it itself
			return err
		}
		return misuse("do", err.Error(), `See "daemonocle --help".`)
	})
	c := &commands{}
	if err := cli.AddTo(root, c); err != nil {
		panic(err) // the tree is empty: there can be no clash
	}
	c.finish(root)
	root.AddCommand(runCommand())
	if daemonocle.Launched() {
		root.CompletionOptions.DisableDefaultCmd = true
		return root
	}
	root.AddCommand(reloadCommand(), logsCommand(), listCommand(), showCommand(), forgetCommand())
	return root
}

// commands are start, stop, restart and status, which package cli makes: for the
// daemon that is named when they are called.
type commands struct {
	start *cobra.Command
	given definitionFlags
}

func (*commands) Name() string { return "daemonocle" }
func (*commands) Help() string { return "" }

// Specs are those of any daemon, each with its name as an argument; in a process that
// was launched, only those that launch.
func (*commands) Specs() []daemonocle.ActionSpec {
	d, err := daemonocle.New(daemonocle.Config{Name: "daemonocle"})
	if err != nil {
		panic(err) // it has nothing that could be wrong
	}
	specs := slices.DeleteFunc(d.Specs(), func(s daemonocle.ActionSpec) bool {
		return s.Name == "reload" || // the command has its own
			daemonocle.Launched() && s.Name != "start" && s.Name != "restart"
	})
	for i := range specs {
		s := &specs[i]
		s.Args = true
		s.Help = map[string]string{
			"start":   "Start a program as a daemon, or a daemon again.\n\n" + startLong,
			"stop":    "Stop daemons.",
			"restart": "Stop daemons, then start them again.",
			"status":  "Get the status of daemons.",
		}[s.Name]
		s.Options = withoutTimeoutHint(s.Options)
	}
	return specs
}

const startLong = `With a program behind "--", the daemon is started and remembered under the name,
by default the program's. Without one, daemons that are remembered are started
again. The program must stay in the foreground, and the directory is the one in
which start is called.`

// withoutTimeoutHint words the one option that speaks of definitions in code.
func withoutTimeoutHint(options []daemonocle.Option) []daemonocle.Option {
	for i := range options {
		if options[i].Name == "timeout" {
			options[i].Help = "Number of seconds to wait for the daemon to stop. Overrides --stop-timeout of start."
		}
	}
	return options
}

// finish completes the commands that package cli has made.
func (c *commands) finish(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		cmd.Use = cmd.Name() + " NAME..."
		cmd.ValidArgsFunction = completeNames
		if cmd.Name() == "start" {
			c.start = cmd
			cmd.Use = "start [flags] -- PROGRAM [ARG]...\n  " + root.Name() + " start NAME... [flags]"
			c.given.add(cmd, true)
		}
	}
}

func (c *commands) Invoke(ctx context.Context, out daemonocle.Output, action string, options map[string][]string, args ...string) error {
	if action == "start" {
		def, names, err := c.what(args)
		if err != nil {
			return err
		}
		if def != nil {
			return start(ctx, out, def, c.given.replace, options)
		}
		args = names
	}
	if len(args) == 0 {
		return misuse(action, "no daemon is named", `Name one; "daemonocle list" shows those that there are.`)
	}
	if action == "status" && out.JSON && len(args) > 1 {
		options = withName(options)
	}
	starts := (action == "start" || action == "restart") && !daemonocle.Launched()
	if starts {
		if err := openAll(out, args, action); err != nil { // before the first of them is touched
			return err
		}
	}
	return forEach(args, func(name string) error {
		if starts && !inForeground(options) {
			unlock, err := lockName(action, name)
			if err != nil {
				return out.Explain(err)
			}
			defer unlock()
		}
		d, err := open(name, action) // by now it may be another one, or none
		if err != nil {
			return out.Explain(err)
		}
		return d.Invoke(ctx, out, action, options)
	})
}

// openAll says of each daemon why it is left alone, if that is so of one.
func openAll(out daemonocle.Output, names []string, action string) error {
	wrong, errs := "", make([]error, len(names))
	var first error
	for i, name := range names {
		_, errs[i] = open(name, action)
		if errors.Is(errs[i], daemonocle.ErrUsage) {
			return out.Explain(errs[i])
		}
		if errs[i] != nil && first == nil {
			wrong, first = name, errs[i]
		}
	}
	if first == nil {
		return nil
	}
	for i, name := range names {
		if errs[i] == nil {
			alone := failure(action, name, fmt.Errorf("%s was left alone, because of %s", name, wrong), "")
			alone.Capital = false
			errs[i] = alone
		}
		if shown := out.Explain(errs[i]); name == wrong {
			first = shown
		}
	}
	return first
}

// withName asks for the name as well, or nobody could tell one daemon's object from the next.
func withName(options map[string][]string) map[string][]string {
	fields := options["fields"]
	for _, list := range fields {
		for field := range strings.SplitSeq(list, ",") {
			if strings.TrimSpace(field) == "name" {
				return options
			}
		}
	}
	if len(fields) == 0 {
		return options // it is among the usual ones
	}
	options = maps.Clone(options)
	options["fields"] = append(slices.Clone(fields), "name")
	return options
}

// what says what start is to start: a new daemon, or those of these names.
func (c *commands) what(args []string) (*definition, []string, error) {
	dash := c.start.ArgsLenAtDash()
	name := c.given.name
	if dash < 0 {
		if name != "" && len(args) > 0 {
			return nil, nil, misuse("start", fmt.Sprintf("unexpected argument %q", args[0]), `The program comes after "--".`)
		}
		if name != "" {
			args = append(args, name)
		}
		if option := c.given.changed(c.start); option != "" {
			return nil, nil, misuse("start", "option --"+option+" is for a new daemon, and there is no program",
				`Give the program again, behind "--": what is remembered is then replaced.`)
		}
		return nil, args, nil
	}
	if dash == 1 && name == "" { // start NAME -- PROGRAM
		name, args = args[0], args[1:]
	} else if dash > 0 {
		return nil, nil, misuse("start", fmt.Sprintf("unexpected argument %q", args[0]), `The program comes after "--".`)
	}
	def, err := c.given.define("start", name, args)
	return def, nil, err
}

// start starts a new daemon and remembers it.
func start(ctx context.Context, out daemonocle.Output, def *definition, replace bool, options map[string][]string) error {
	d, err := def.daemon("start")
	if err != nil {
		return out.Explain(err)
	}
	if daemonocle.Launched() { // it becomes the daemon
		return d.Invoke(ctx, out, "start", options)
	}
	foreground := inForeground(options) // it lasts as long as the daemon
	if !foreground {
		unlock, err := lockName("start", def.Name)
		if err != nil {
			return out.Explain(err)
		}
		defer unlock()
	}
	action := "start"
	if now := running(ctx, d); now != nil {
		different := def.compare(now)
		switch {
		case replace:
			action = "restart"
			d, err = def.inPlaceOf(now)
		case different == "":
			return d.Invoke(ctx, out, "start", options) // it says so
		default:
			err = def.taken("start", now, different)
		}
		if err != nil {
			return out.Explain(err)
		}
	}
	if foreground {
		return d.Invoke(ctx, out, action, options)
	}
	pending, err := def.prepare()
	if err != nil {
		return out.Explain(err)
	}
	defer pending.discard()
	err = d.Invoke(ctx, out, action, options)
	if err != nil && !errors.Is(err, daemonocle.ErrStillStarting) {
		return err
	}
	if lost := pending.keep(); lost != nil {
		return out.Explain(lost)
	}
	return err
}

// inForeground reports whether the call lasts as long as the daemon. Others must not wait
// for that.
func inForeground(options map[string][]string) bool {
	return slices.Contains(options["debug"], "true")
}

// forEach does all, and returns the first error.
func forEach(names []string, do func(name string) error) error {
	var first error
	for _, name := range names {
		if err := do(name); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// failure is an error of one of our own commands.
func failure(op, name string, err error, hint string) *daemonocle.Error {
	if few := fault.New(op, name, err).Hint; few != "" { // it says nothing of the thing
		hint = few
	}
	return &daemonocle.Error{Op: op, Name: name, Code: 1, Err: err, Hint: hint, Capital: true}
}

// misuse is a mistake in the call: nothing was tried.
func misuse(op, text, hint string) *daemonocle.Error {
	return &daemonocle.Error{Op: op, Name: "daemonocle", Code: exitUsage, Err: &wrongUse{text}, Hint: hint, Capital: true}
}

type wrongUse struct{ text string }

func (e *wrongUse) Error() string { return e.text }
func (e *wrongUse) Unwrap() error { return daemonocle.ErrUsage }

// own makes a command that is not an action of a daemon.
func own(use, short, long string, do func(cmd *cobra.Command, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: strings.TrimSpace(short + "\n\n" + strings.TrimSpace(long)), SilenceErrors: true, SilenceUsage: true}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return outputOf(cmd).Explain(do(cmd, args)) }
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		hint := fmt.Sprintf("See %q", cmd.CommandPath()+" --help")
		if strings.Contains(use, "--") {
			hint += `; what is not for it comes after "--"`
		}
		return misuse(cmd.Name(), cli.FlagError(err).Error(), hint+".")
	})
	return cmd
}

func outputOf(cmd *cobra.Command) daemonocle.Output {
	return daemonocle.Output{Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()}
}

// oneName is the argument of commands that take a single daemon.
func oneName(op string, args []string) (string, error) {
	if len(args) != 1 {
		return "", misuse(op, fmt.Sprintf("%d names were given", len(args)), `Name one daemon; "daemonocle list" shows those that there are.`)
	}
	return args[0], checkName(op, args[0])
}

func completeNames(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if slices.Contains(os.Args[:len(os.Args)-1], "--") { // which cobra does not tell from its own
		return nil, cobra.ShellCompDirectiveDefault // a program and its arguments
	}
	names, _ := allNames()
	return names, cobra.ShellCompDirectiveNoFileComp
}
