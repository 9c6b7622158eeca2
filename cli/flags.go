package cli

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/daemonocle/daemonocle"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpOption is ours and not cobra's because that one stays on once it was used.
var helpOption = daemonocle.Option{Name: "help", Short: "h", Help: "Show this message and exit."}

// option is an option and its flags: one, or two where it can be switched off.
type option struct {
	daemonocle.Option
	cmd   *cobra.Command
	ours  bool // of this package, not of the action
	flags []*pflag.Flag
	plain []string // their names where the program has none like them

	unless func() bool // it does not count then; nil: never

	texts []string // what was given
	parse []string // and in which parse; see current
}

func newOption(cmd *cobra.Command, o daemonocle.Option, ours bool) *option {
	p := &option{Option: o, cmd: cmd, ours: ours}
	help := strings.ReplaceAll(o.Help, "`", "'") // pflag takes what is quoted so for the value's name
	if o.Required {
		help += " (required)"
	}
	if o.Env != "" {
		help += " (variable " + o.Env + ")"
	}
	p.add(&value{option: p}, o.Name, o.Short, strings.TrimSpace(help))
	if o.Negated {
		p.add(&value{option: p, off: true}, "no-"+o.Name, "", "Switch off --"+o.Name+".")
	}
	if o.Name == "help" {
		p.annotate(cobra.FlagSetByCobraAnnotation) // completion looks for it
	}
	if o.Required && o.Env == "" {
		p.annotate(cobra.BashCompOneRequiredFlag)
	}
	return p
}

func (o *option) add(v *value, name, short, help string) {
	f := &pflag.Flag{Name: name, Shorthand: short, Usage: help, Value: v, DefValue: v.start()}
	if o.Repeated {
		f.Value = list{v}
	}
	if o.isBool() {
		f.NoOptDefVal = "true"
	}
	o.flags = append(o.flags, f)
	o.plain = append(o.plain, name)
}

func (o *option) annotate(key string) {
	o.flags[0].Annotations = map[string][]string{key: {"true"}}
}

func (o *option) isBool() bool { return o.Meta == "" }

// name is the one that the option goes by in this tree.
func (o *option) name() string { return o.flags[0].Name }

func (o *option) has(name string) bool { return slices.Contains(o.plain, name) }

// current reports whether what was given belongs to the parse that was last: a
// tree may be executed again, and pflag forgets nothing. Each of its parses has a
// new slice of arguments, and it is the one thing by which they differ.
func (o *option) current() bool {
	return o.parse != nil && reflect.ValueOf(o.parse).Pointer() == reflect.ValueOf(o.cmd.Flags().Args()).Pointer()
}

// given is what the command line has for the option, nil if it has nothing.
func (o *option) given() []string {
	if !o.current() {
		return nil
	}
	return o.texts
}

// forget removes the marks of an earlier parse.
func (o *option) forget() {
	if o.current() {
		return
	}
	o.texts, o.parse = nil, nil
	for _, f := range o.flags {
		f.Changed = false
	}
}

// offer sets up the completion of the option's values.
func (o *option) offer(cmd *cobra.Command) {
	var complete cobra.CompletionFunc
	switch {
	case len(o.Choices) > 0:
		complete = o.choices
	case slices.Contains([]string{"INTEGER", "FLOAT", "DURATION"}, o.Meta):
		complete = cobra.NoFileCompletions
	default:
		return
	}
	// It can fail only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc(o.name(), complete)
}

// choices completes the last of what may be several values in one.
func (o *option) choices(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp
	before := ""
	if i := strings.LastIndex(typed, o.Sep); o.Sep != "" {
		directive |= cobra.ShellCompDirectiveNoSpace
		if i >= 0 {
			before = typed[:i+len(o.Sep)]
		}
	}
	var found []cobra.Completion
	for _, c := range o.Choices {
		if strings.HasPrefix(before+c, typed) && !slices.Contains(strings.Split(before, o.Sep), c) {
			found = append(found, before+c)
		}
	}
	return found, directive
}

// value is a flag's value.
type value struct {
	*option
	off bool // --no-NAME
}

// Set takes one value, and refuses what the action would refuse.
func (v *value) Set(text string) error {
	if v.isBool() {
		on, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		text = strconv.FormatBool(on != v.off)
	} else if err := v.Check(text); err != nil {
		return err
	}
	if !v.current() {
		v.texts, v.parse = nil, v.cmd.Flags().Args()
	}
	if !v.Repeated {
		v.texts = nil
	}
	v.texts = append(v.texts, text)
	return nil
}

// String is the value as programs see it that look at flags, and cobra does for
// --help.
func (v *value) String() string {
	if v.option == nil || !v.current() || v.unless != nil && v.unless() {
		return v.start()
	}
	text := strings.Join(v.texts, ",")
	if v.off {
		return strconv.FormatBool(text == "false")
	}
	return text
}

// start is the value before anything is given.
func (v *value) start() string {
	switch {
	case v.option == nil:
		return ""
	case v.isBool() && (v.off || v.Default == ""):
		return "false"
	}
	return v.Default
}

// Type is what help shows for the value.
func (v *value) Type() string {
	if v.isBool() {
		return "bool"
	}
	return v.Meta
}

// list may be given again: completion asks.
type list struct{ *value }

func (l list) GetSlice() []string { return l.given() }

// prefix is for options that the program has a flag for.
const prefix = "daemon-"

// arrange gives the flags their names, by what persistent flags the commands
// above have. Two of one name would be trouble: pflag panics when it is a short
// one, and otherwise lets ours hide the program's.
//
// It must happen when the tree is complete, and before cobra joins the parents'
// flags to ours. Nothing is called at that moment, except the function that pflag
// has for the spelling of names: cobra looks up each of the parents' flags in
// ours before it adds it.
func (h *host) arrange() {
	set := h.cmd.Flags()
	if h.arranging || set.Parsed() {
		return
	}
	names, shorts, around := persistent(h.cmd)
	if around == h.around && set.HasFlags() {
		return
	}
	h.arranging, h.around = true, around
	defer func() { h.arranging = false }()

	fresh := pflag.NewFlagSet(h.cmd.Name(), pflag.ContinueOnError)
	fresh.SetOutput(set.Output())
	fresh.SortFlags = false
	for _, o := range h.options {
		taken := slices.ContainsFunc(o.plain, func(name string) bool { return names[name] != nil })
		if taken && o.ours {
			continue
		}
		for i, f := range o.flags {
			f.Name = o.plain[i]
			if taken {
				f.Name = prefix + o.Name
				if i > 0 {
					f.Name = "no-" + f.Name
				}
			}
			f.Shorthand = ""
			if i == 0 && !shorts[o.Short] {
				f.Shorthand = o.Short
			}
			fresh.AddFlag(f)
		}
	}
	set.VisitAll(func(f *pflag.Flag) { // what the program has added to our command
		if fresh.Lookup(f.Name) == nil && names[f.Name] == nil && !h.owns(f) {
			fresh.AddFlag(f)
		}
	})
	*set = *fresh
	set.SetNormalizeFunc(func(set *pflag.FlagSet, name string) pflag.NormalizedName {
		h.arrange()
		if normal := h.cmd.GlobalNormalizationFunc(); normal != nil {
			return normal(set, name)
		}
		return pflag.NormalizedName(name)
	})
}

func (h *host) owns(f *pflag.Flag) bool {
	return slices.ContainsFunc(h.options, func(o *option) bool { return slices.Contains(o.flags, f) })
}

// persistent finds the flags that a command inherits.
func persistent(cmd *cobra.Command) (names map[string]*pflag.Flag, shorts map[string]bool, all string) {
	names, shorts = map[string]*pflag.Flag{}, map[string]bool{}
	var b strings.Builder
	see := func(f *pflag.Flag) {
		names[f.Name] = f
		if f.Shorthand != "" {
			shorts[f.Shorthand] = true
		}
		b.WriteString(f.Name + " " + f.Shorthand + "\n")
	}
	cmd.VisitParents(func(parent *cobra.Command) { parent.PersistentFlags().VisitAll(see) })
	pflag.CommandLine.VisitAll(see) // cobra adds these to the root's
	return names, shorts, b.String()
}

// hidden names a flag of the program that one of ours hides nevertheless.
func (h *host) hidden() string {
	names, _, _ := persistent(h.cmd)
	for _, o := range h.options {
		for _, f := range o.flags {
			if names[f.Name] != nil && h.cmd.Flags().Lookup(f.Name) == f {
				return f.Name
			}
		}
	}
	return ""
}
