package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/daemonocle/daemonocle"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// action is the command of one action.
type action struct {
	host
	spec     daemonocle.ActionSpec
	executed bool
}

func newAction(p Program, spec daemonocle.ActionSpec, group *cobra.Command) *action {
	short, _, _ := strings.Cut(strings.TrimSpace(spec.Help), "\n")
	cmd := &cobra.Command{Use: spec.Name, Short: short, Long: strings.TrimSpace(spec.Help)}
	if spec.Builtin && spec.Args {
		cmd.Use += " [ARG]..."
	}
	if !spec.Args {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	a := &action{host: host{cmd: cmd, group: group, p: p, op: spec.Name}, spec: spec}
	cmd.Args = a.begin
	cmd.RunE = a.run
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return a.wrongFlag(cmd, err, a.hint(err))
	})

	for _, o := range spec.Options {
		a.addOption(o, false)
	}
	help := "Show the outcome in JSON format."
	if spec.Name == "status" {
		help = "Show the status in JSON format."
	}
	a.addOption(daemonocle.Option{Name: "json", Help: help}, true)
	if n := len(a.options) - 1; spec.Name == "status" { // where it has always been
		a.options = slices.Insert(a.options[:n], 0, a.options[n])
	}
	if spec.Builtin {
		a.addOption(daemonocle.Option{Name: "quiet", Help: "Print nothing but errors."}, true)
	}
	colors := []string{daemonocle.ColorAuto.String(), daemonocle.ColorAlways.String(), daemonocle.ColorNever.String()}
	a.addOption(daemonocle.Option{Name: "color", Help: "Use colours.", Meta: "[" + strings.Join(colors, "|") + "]",
		Default: colors[0], Enum: colors, Choices: colors}, true)
	a.addOption(helpOption, true)

	a.arrange()
	for _, o := range a.options {
		o.offer(cmd)
	}
	return a
}

// addOption makes the flags of an option. One of ours gives way to an option of
// the action, too.
func (a *action) addOption(o daemonocle.Option, ours bool) {
	if ours && slices.ContainsFunc(a.options, func(other *option) bool { return other.has(o.Name) }) {
		return
	}
	if ours && slices.ContainsFunc(a.options, func(other *option) bool { return o.Short != "" && other.Short == o.Short }) {
		o.Short = ""
	}
	a.options = append(a.options, newOption(a.cmd, o, ours))
}

// begin is called when the flags are parsed, before anything of the program's.
func (a *action) begin(cmd *cobra.Command, args []string) error {
	a.silence(false)
	if a.executed { // cobra keeps the context of the first time
		cmd.SetContext(cmd.Root().Context())
	}
	a.executed = true
	for _, o := range a.options {
		o.forget()
	}
	if name := a.hidden(); name != "" {
		return a.report(&daemonocle.Error{Op: a.op, Name: a.p.Name(), Code: 1,
			Err: fmt.Errorf("option --%s of %q hides a flag of the program", name, cmd.CommandPath()), Capital: true,
			Hint: "A program that normalises the names of flags adds actions with cli.AddTo, not cli.Command."})
	}
	if len(args) > 0 && !a.spec.Args {
		return a.misuse(unexpected(args), a.seeHelp())
	}
	for _, o := range a.options {
		switch {
		case !o.Required || o.given() != nil:
		case o.Env == "":
			return a.misuse(fmt.Errorf("missing option --%s", o.name()), a.seeHelp())
		case os.Getenv(o.Env) == "":
			return a.misuse(fmt.Errorf("missing option --%s, or variable %s", o.name(), o.Env), a.seeHelp())
		}
	}
	return nil
}

func (a *action) run(cmd *cobra.Command, args []string) error {
	given := map[string][]string{}
	for _, o := range a.options {
		if texts := o.given(); texts != nil && !o.ours {
			given[o.Name] = texts
		}
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	return a.report(a.p.Invoke(ctx, a.output(), a.spec.Name, given, args...))
}

func unexpected(args []string) error {
	word := "argument"
	if len(args) > 1 {
		word = "arguments"
	}
	list := make([]string, len(args))
	for i, arg := range args {
		list[i] = strconv.Quote(arg)
	}
	return fmt.Errorf("unexpected %s %s", word, strings.Join(list, ", "))
}

// hint for an option that does not exist: it may be the worker's.
func (a *action) hint(err error) string {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && a.spec.Args {
		return fmt.Sprintf("See %q; what is not for it comes after \"--\".", a.cmd.CommandPath()+" --help")
	}
	return a.seeHelp()
}
