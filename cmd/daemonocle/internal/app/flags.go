package app

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"syscall"

	"github.com/daemonocle/daemonocle"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// value is that of an option. What is wrong with a text is found where it is read, so
// that the error names the option; and no option of this command means anything by an
// empty one.
type value struct {
	kind kind
	meta string // what help shows for the value, if it is no switch
	set  func(text string) error
	text string // as it was given, or the default
}

// kind is how the text of an option is read.
type kind uint8

const (
	word     kind = iota
	duration      // as an action's, which has words of its own for an empty one
	onOff
)

func (f *value) Set(text string) error {
	if text == "" && f.kind != duration {
		return errors.New("the value is empty")
	}
	if err := f.set(text); err != nil {
		return err
	}
	f.text = text
	return nil
}

func (f *value) String() string { return f.text }

func (f *value) Type() string {
	if f.kind == onOff {
		return "bool"
	}
	return f.meta
}

// listValue may be given again: completion asks.
type listValue struct {
	*value
	list *[]string
}

func (f listValue) GetSlice() []string { return *f.list }

// option adds one with a value to a set. A usual value is what the setter has been given
// already.
func option(to *pflag.FlagSet, name, short, meta, usual, help string, set func(string) error) *value {
	f := &value{meta: meta, set: set, text: usual}
	to.VarP(f, name, short, help)
	return f
}

// durationOption adds one with a DURATION.
func durationOption(to *pflag.FlagSet, name, usual, help string, set func(string) error) {
	option(to, name, "", "DURATION", usual, help, set).kind = duration
}

// toggle adds an option that is given or not.
func toggle(to *pflag.FlagSet, on *bool, name, short, help string) {
	f := &value{kind: onOff, text: "false"}
	f.set = func(text string) (err error) {
		if *on, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		return nil
	}
	to.VarPF(f, name, short, help).NoOptDefVal = "true"
}

// as keeps a text that is right.
func as[T ~string](to *T, right func(string) error) func(string) error {
	return func(text string) error {
		if right != nil {
			if err := right(text); err != nil {
				return err
			}
		}
		*to = T(text)
		return nil
	}
}

func number(to *int, least int, kind string) func(string) error {
	return func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < least {
			return fmt.Errorf("%q is no %s", text, kind)
		}
		*to = n
		return nil
	}
}

// Each of these says of a text what is wrong with it, or nothing.

func rightName(text string) error {
	if isName(text) {
		return nil
	}
	return fmt.Errorf("%q cannot be the name of a daemon; %s", text, nameRule)
}

func rightVariable(text string) error {
	if text == "" || text[0] == '=' {
		return fmt.Errorf("%q is no variable; write NAME=VALUE, or NAME to remove it", text)
	}
	return nil
}

func rightUmask(text string) error {
	_, err := parseUmask(text)
	return err
}

func parseUmask(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 8, 9)
	if err != nil {
		return 0, fmt.Errorf("%q is no octal number from 0 to 777", text)
	}
	return n, nil
}

func rightSignal(text string) error {
	_, err := parseSignal(text)
	return err
}

func rightDuration(text string) error {
	_, err := parseDuration(text)
	return err
}

func rightPort(text string) error {
	_, err := portAddress(text)
	return err
}

func rightPattern(text string) error {
	_, err := parsePattern(text)
	return err
}

func parsePattern(text string) (*regexp.Regexp, error) {
	pattern, err := regexp.Compile(text)
	var wrong *syntax.Error
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("%q is no regular expression: %s: %q", text, wrong.Code, wrong.Expr)
	}
	return pattern, err
}

// The rest is for the completion of values.

func complete(cmd *cobra.Command, name string, with cobra.CompletionFunc) {
	if cmd.Flags().Lookup(name) == nil {
		return // not one of this command's
	}
	// It can fail only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc(name, with)
}

func completeDirectory(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeSignal offers the signals that are good for this, by their short names, or with
// SIG where that is typed.
func completeSignal(good func(syscall.Signal) bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var found []cobra.Completion
		for n := syscall.Signal(1); n < 32; n++ {
			long := signalText(n)
			short := strings.TrimPrefix(long, "SIG")
			switch {
			case long == "" || !good(n):
			case strings.HasPrefix(short, typed):
				found = append(found, short)
			case strings.HasPrefix(long, typed):
				found = append(found, long)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// stops reports whether stop may send the signal.
func stops(s syscall.Signal) bool {
	_, err := daemonocle.New(daemonocle.Config{Name: "daemonocle", StopSignal: s})
	return err == nil
}

// reloads reports whether a program can have a handler for the signal.
func reloads(s syscall.Signal) bool { return s != syscall.SIGKILL && signalText(s) != "SIGSTOP" }
