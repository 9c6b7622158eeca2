// Package cli gives a daemon a command line of cobra commands, for a program of
// its own or for the tree of another program.
//
//	os.Exit(cli.Main(d)) // the whole program
//
//	service := &cobra.Command{Use: "service", Short: "Control the service"}
//	err := cli.AddTo(service, d) // myapp service start, myapp service stop, ...
//	root.AddCommand(service)
//
// The commands and their options come from the actions: start, stop, restart,
// status, reload, logs where there are log files, and those of Config.Actions. To each are added --json and --color, and
// to the five --quiet. What they print goes to the writers of the command.
//
// # In the tree of another program
//
// The commands are plain *cobra.Command values, and may be changed like any. They
// set no PersistentPreRun, so that the program's own runs as ever; they never
// call os.Exit. (In the process that is launched to become the daemon, main runs
// again with the same arguments: the same command is found, the program's flags
// have the same values there, and the core ends the process when the worker has
// ended.)
//
// Execute returns their errors after they were printed, with the exit code
// inside:
//
//	if err := root.Execute(); err != nil {
//		os.Exit(daemonocle.ExitCode(err)) // and not 1
//	}
//
// A program that silences cobra and prints errors itself asks daemonocle.Shown
// first.
//
// A persistent flag of the program always wins over an option of ours that has
// the same name, in whatever order they were made:
//
//   - --json, --quiet, --color and --help are then left out, and the program's
//     own flags of these names are obeyed;
//   - any other option gets the name --daemon-NAME;
//   - a short name is left out.
//
// The one exception is a program that calls SetGlobalNormalizationFunc and then
// adds what Command returns: a clash is then an error of the action. AddTo has no
// such trouble.
//
// A tree may be executed more than once in a process, not at the same time.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daemonocle/daemonocle"
	"github.com/spf13/cobra"
)

// Program is what commands are made of. A *daemonocle.Daemon is one, and so is a
// *daemonocle.Group.
type Program interface {
	Name() string
	// Help says what the worker does; it may be empty.
	Help() string
	// Specs describes the actions.
	Specs() []daemonocle.ActionSpec
	// Invoke runs an action with what was given for its options, prints its
	// outcome, and returns what daemonocle.ExitCode understands.
	Invoke(ctx context.Context, out daemonocle.Output, action string, options map[string][]string, args ...string) error
}

// Main runs the program's command line, that is os.Args, and returns the exit
// code. It adds a command that prints completion scripts for the usual shells.
func Main(p Program) int {
	root := Command(p)
	if len(os.Args) > 0 { // completion scripts need the name that is typed
		root.Use = word(strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"))
	}
	err := root.Execute()
	var ours *daemonocle.Error
	if err != nil && !daemonocle.Shown(err) && !errors.As(err, &ours) {
		return exitUsage // of cobra's own commands, such as completion
	}
	return daemonocle.ExitCode(err)
}

const exitUsage = 2

// Command returns a command that has a command for each action. It is called as
// the program is; set Use for another name.
//
//	service := cli.Command(d)
//	service.Use = "service"
//	root.AddCommand(service)
//
// Without an action it prints its usage; the exit code is then 2, as it is for an
// action that does not exist.
func Command(p Program) *cobra.Command {
	help := strings.TrimSpace(p.Help())
	short, _, _ := strings.Cut(help, "\n")
	if short == "" {
		short = "Control the daemon " + p.Name() + "."
	}
	cmd := &cobra.Command{
		Use:                        word(p.Name()),
		Short:                      short,
		Long:                       help,
		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
		Run:                        func(*cobra.Command, []string) {}, // Args never lets it
	}
	cmd.SetUsageFunc(func(c *cobra.Command) error { return usage(cmd, c) })
	g := &group{host{cmd: cmd, p: p, op: "do"}}
	cmd.Args = g.noAction
	cmd.SetFlagErrorFunc(g.flagError)
	h := newOption(cmd, helpOption, true)
	h.unless = func() bool { return len(cmd.Flags().Args()) > 0 }
	g.options = []*option{h}
	g.arrange()
	for _, spec := range p.Specs() {
		cmd.AddCommand(newAction(p, spec, cmd).cmd)
	}
	g.guardHelp()
	return cmd
}

// AddTo adds a command for each action to a command of an existing tree. If that
// has groups, they get one as well: the group "daemon", which is made with the
// title "Daemon Commands:" unless it is there.
//
// It is an error, and nothing is added, if the parent has a command of the name
// of an action already, but for logs: that is left out then.
//
// A word behind the parent that names no command is an error with exit code 2, as it
// is for Command, unless the parent does something by itself and takes it.
func AddTo(parent *cobra.Command, p Program) error {
	has := func(name string) bool {
		return slices.ContainsFunc(parent.Commands(), func(c *cobra.Command) bool { return c.Name() == name || c.HasAlias(name) })
	}
	specs := slices.DeleteFunc(p.Specs(), func(s daemonocle.ActionSpec) bool { return s.Name == "logs" && has(s.Name) })
	var errs []error
	for _, spec := range specs {
		if has(spec.Name) {
			errs = append(errs, fmt.Errorf("cli: %s has a command %q already; rename it, or use cli.Command for a command of its own", parent.CommandPath(), spec.Name))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	const id = "daemon"
	inGroup := len(parent.Groups()) > 0
	if inGroup && !parent.ContainsGroup(id) {
		parent.AddGroup(&cobra.Group{ID: id, Title: "Daemon Commands:"})
	}
	for _, spec := range specs {
		a := newAction(p, spec, nil)
		if inGroup {
			a.cmd.GroupID = id
		}
		parent.AddCommand(a.cmd)
		a.arrange()
	}
	(&guard{host: host{cmd: parent, p: p, op: "do"}}).install()
	return nil
}

// usage prints what the program would print for c, which is the group or below
// it, but does not say that the group can be run by itself.
func usage(group, c *cobra.Command) error {
	show := new(cobra.Command).UsageFunc()
	if group.HasParent() {
		show = group.Parent().UsageFunc()
	}
	if c == group {
		run := c.Run
		c.Run = nil
		defer func() { c.Run = run }()
	}
	return show(c)
}

// word makes a command's name of a daemon's: cobra's end at the first space.
func word(name string) string { return strings.Join(strings.Fields(name), "-") }

// host is what our commands have in common: they report their mistakes
// themselves, and cobra only what is not ours, such as an error of the program's
// PersistentPreRun.
type host struct {
	cmd     *cobra.Command
	group   *cobra.Command // of Command, if it is in one
	p       Program
	op      string
	options []*option

	arranging bool
	around    string // the program's flags when ours were last arranged
}

func (h *host) silence(on bool) { h.cmd.SilenceErrors, h.cmd.SilenceUsage = on, on }

// report prints an error, unless that was done.
func (h *host) report(err error) error {
	if err == nil {
		return nil
	}
	h.silence(true)
	return h.output().Explain(err)
}

// misuse reports a mistake on the command line, in our words.
func (h *host) misuse(err error, hint string) error {
	return h.report(&daemonocle.Error{Op: h.op, Name: h.p.Name(), Code: exitUsage, Err: &misuse{err}, Hint: hint, Capital: true})
}

// wrongFlag reports a mistake with a flag, in the program's words if it has some.
func (h *host) wrongFlag(cmd *cobra.Command, err error, hint string) error {
	err = FlagError(h.theirs(cmd, err))
	_, ours := err.(*flagError)
	return h.report(&daemonocle.Error{Op: h.op, Name: h.p.Name(), Code: exitUsage, Err: &misuse{err}, Hint: hint, Capital: ours})
}

type misuse struct{ error }

func (e *misuse) Unwrap() []error { return []error{daemonocle.ErrUsage, e.error} }

// theirs lets the program have its say on a mistake, as for its own commands.
func (h *host) theirs(cmd *cobra.Command, err error) error {
	above := h.cmd.Parent()
	if above != nil && above == h.group {
		above = above.Parent()
	}
	if above != nil {
		if said := above.FlagErrorFunc()(cmd, err); said != nil {
			return said
		}
	}
	return err
}

func (h *host) seeHelp() string { return fmt.Sprintf("See %q.", h.cmd.CommandPath()+" --help") }

// output is where and how to print, as our flags say, or those that the program
// has in their place.
func (h *host) output() daemonocle.Output {
	out := daemonocle.Output{Out: h.cmd.OutOrStdout(), Err: h.cmd.ErrOrStderr()}
	out.JSON = h.isOn("json")
	out.Quiet = h.isOn("quiet")
	if f := h.cmd.Flags().Lookup("color"); f != nil {
		if f.Value.Type() == "bool" && f.Changed && f.Value.String() == "false" {
			out.Color = daemonocle.ColorNever
		} else if out.Color.UnmarshalText([]byte(f.Value.String())) != nil {
			out.Color = daemonocle.ColorAuto
		}
	}
	if h.isOn("no-color") {
		out.Color = daemonocle.ColorNever
	}
	return out
}

func (h *host) isOn(name string) bool {
	f := h.cmd.Flags().Lookup(name)
	return f != nil && f.Value.Type() == "bool" && f.Value.String() == "true"
}

// group is the command that has the actions.
type group struct{ host }

// noAction is called when the arguments name none.
func (g *group) noAction(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return g.unknown(g.cmd, args[0])
	}
	g.silence(true)
	out := cmd.ErrOrStderr()
	if cmd.Long != "" {
		fmt.Fprintf(out, "%s\n\n", cmd.Long)
	}
	fmt.Fprint(out, cmd.UsageString())
	return daemonocle.MarkShown(&daemonocle.Error{Op: g.op, Name: g.p.Name(), Code: exitUsage, Err: &misuse{errors.New("no action was named")}, Capital: true})
}

// flagError: an option behind an unknown action is not what is wrong.
func (g *group) flagError(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); len(args) > 0 {
		return g.unknown(g.cmd, args[0])
	}
	return g.wrongFlag(cmd, err, g.seeHelp())
}
