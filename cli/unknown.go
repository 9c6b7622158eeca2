package cli

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// guard makes a word that names no command below the parent of AddTo a mistake that is
// named, also with --help. A command of the program that does something by itself
// may take arguments: those are its own.
//
// cobra shows the help of a command that cannot be run, whatever follows it, and has
// nothing that is called before. But it asks the flag --help for its value at the
// moment when the arguments are known.
type guard struct {
	host
	legacy bool   // the parent leaves the check of its arguments to cobra
	undo   func() // of what is changed until the next parse; nil: nothing is

	watching bool
}

// change makes the parent what is needed for one mistake, which is reported here.
func (g *guard) change() {
	cmd, was := g.cmd, *g.cmd
	g.undo = func() {
		cmd.Run, cmd.Args, cmd.SilenceErrors, cmd.SilenceUsage = was.Run, was.Args, was.SilenceErrors, was.SilenceUsage
		g.undo = nil
	}
}

func (g *guard) install() {
	cmd := g.cmd
	if g.legacy = cmd.Args == nil; g.legacy {
		cmd.Args = g.asCobra // or cobra reports it itself, for a root
	}
	set := cmd.Flags()
	was := set.GetNormalizeFunc()
	set.SetNormalizeFunc(func(set *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "help" {
			g.watch(set)
		}
		return was(set, name)
	})
	own := ownFlagError(cmd)
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		args := cmd.Flags().Args()
		switch {
		case c == cmd && g.lost():
			return cmd.Args(cmd, args)
		case own != nil:
			return own(c, err)
		case cmd.HasParent():
			return cmd.Parent().FlagErrorFunc()(c, err)
		}
		return err
	})
	g.guardHelp()
}

// watch is called whenever somebody looks for --help, for cobra makes that at the last
// moment. One that the program has made is its own.
func (g *guard) watch(set *pflag.FlagSet) {
	if g.watching {
		return
	}
	g.watching = true
	defer func() { g.watching = false }()
	f := set.Lookup("help")
	if f == nil || f.Annotations[cobra.FlagSetByCobraAnnotation] == nil {
		return
	}
	if _, done := f.Value.(*asked); !done {
		f.Value = &asked{f.Value, g.lost}
	}
}

// asked is the value of a flag that does not count while something else is wrong.
type asked struct {
	pflag.Value
	unless func() bool
}

func (a *asked) String() string {
	if a.Value == nil {
		return ""
	}
	if text := a.Value.String(); !a.unless() {
		return text
	}
	return "false"
}

func (a *asked) IsBoolFlag() bool { return true }

// lost reports whether what was parsed last names no command, and makes sure that cobra
// asks for that.
func (g *guard) lost() bool {
	cmd := g.cmd
	if g.undo != nil {
		g.undo()
	}
	args := cmd.Flags().Args()
	switch {
	case len(args) == 0:
		return false
	case cmd.Runnable():
		if g.legacy {
			return !cmd.HasParent()
		}
		return cmd.ValidateArgs(args) != nil
	}
	g.change()
	cmd.Run = func(*cobra.Command, []string) {}
	cmd.Args = func(_ *cobra.Command, args []string) error { return g.unknown(cmd, args[0]) }
	return true
}

// asCobra is what cobra does with the arguments of a command that has no word of its own
// about them, but with our exit code: the root takes none.
func (g *guard) asCobra(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || cmd.HasParent() {
		return nil
	}
	if g.undo == nil {
		g.change()
	}
	return g.unknown(cmd, args[0])
}

// ownFlagError is what the command has itself for mistakes with flags, nil if it has
// nothing, or its parent's.
func ownFlagError(cmd *cobra.Command) func(*cobra.Command, error) error {
	above := new(cobra.Command)
	if cmd.HasParent() {
		above = cmd.Parent()
	}
	code := func(c *cobra.Command) uintptr { return reflect.ValueOf(c.FlagErrorFunc()).Pointer() }
	if code(cmd) == code(above) {
		return nil
	}
	return cmd.FlagErrorFunc()
}

// unknown reports a word that should name a command below cmd.
func (h *host) unknown(cmd *cobra.Command, name string) error {
	hint := fmt.Sprintf("See %q.", cmd.CommandPath()+" --help")
	if !cmd.DisableSuggestions {
		if cmd.SuggestionsMinimumDistance <= 0 {
			cmd.SuggestionsMinimumDistance = 2 // as cobra does
		}
		if s := cmd.SuggestionsFor(name); len(s) > 0 {
			hint = "Did you mean " + strings.Join(s, ", or ") + "?"
		}
	}
	return h.misuse(fmt.Errorf("unknown action %q for %q", name, cmd.CommandPath()), hint)
}

// guardHelp makes a topic that does not exist a mistake, if the command is the root of
// its tree and has cobra's own command for help.
func (h *host) guardHelp() {
	before := slices.Clone(h.cmd.Commands())
	h.cmd.InitDefaultHelpCmd()
	for _, help := range h.cmd.Commands() {
		if slices.Contains(before, help) {
			continue
		}
		h.cmd.RemoveCommand(help) // cobra adds it to a root
		if help.Args == nil && strings.HasPrefix(help.Use, "help ") {
			help.Args = h.topic
		}
	}
}

func (h *host) topic(help *cobra.Command, words []string) error {
	found, rest, err := help.Root().Find(words)
	switch {
	case err != nil:
		found, rest = help.Root(), words
	case len(rest) == 0 || !found.HasSubCommands():
		return nil
	}
	was := *h.cmd
	defer func() { h.cmd.SilenceErrors, h.cmd.SilenceUsage = was.SilenceErrors, was.SilenceUsage }()
	help.SilenceErrors, help.SilenceUsage = true, true
	if found == h.cmd && found.Runnable() {
		if err := found.ValidateArgs(rest); err != nil { // it has its own words
			return h.report(err)
		}
	}
	return h.unknown(found, rest[0])
}
