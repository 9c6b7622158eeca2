package daemonocle

import (
	"reflect"
	"strings"

	"github.com/daemonocle/daemonocle/internal/options"
)

// Option describes one option of an action to a command line.
type Option struct {
	Name     string   // long name, without dashes
	Short    string   // one letter or digit, or empty
	Help     string   // one sentence
	Meta     string   // what stands for the value in a help text: TEXT, INTEGER, ...; empty for a bool
	Default  string   // as it would be written; empty: none
	Env      string   // variable that stands in for the option
	Enum     []string // the only values
	Choices  []string // suggestions, for completion
	Sep      string   // what a value may be split at; empty: it is not
	Required bool     // the option or its variable must be there
	Repeated bool     // may be given more than once
	Negated  bool     // a bool that is true by default: --no-NAME switches it off

	read *options.Option // nil: not made by this package
}

// Check reports whether the text can be a value of the option. Whether the
// action is happy with it is another question.
func (o Option) Check(text string) error {
	if o.read == nil {
		return options.OneOf(o.Enum, text)
	}
	own := *o.read
	own.Enum, own.Sep = o.Enum, o.Sep
	return own.Check(text)
}

// binding is what an action needs of its options' tags.
type binding struct {
	options []Option
	fill    func(given map[string][]string) (reflect.Value, error)
}

func bind(t reflect.Type) (binding, error) {
	s, err := options.Read(t, options.Known{
		Struct: reflect.TypeFor[StatusOptions](), Field: "Fields", Choices: StatusFields,
		Check: func(text string) error { return checkFields([]string{text}) },
	})
	if s == nil {
		return binding{}, err
	}
	b := binding{fill: s.Fill}
	for i := range s.Options {
		b.options = append(b.options, optionOf(&s.Options[i]))
	}
	return b, err
}

func optionOf(o *options.Option) Option {
	return Option{
		Name: o.Name, Short: o.Short, Help: o.Help, Meta: o.Meta, Default: o.Default, Env: o.Env, Enum: o.Enum,
		Choices: o.Choices, Sep: o.Sep, Required: o.Required, Repeated: o.Repeated, Negated: o.Negated, read: o,
	}
}

// jsonKey is a field's name in JSON: MaxAge is max_age.
func jsonKey(field string) string { return strings.ReplaceAll(options.Kebab(field), "-", "_") }
