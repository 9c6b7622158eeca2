// Package options reads the tags of a struct as options of a command line, and texts as
// their values.
package options

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/daemonocle/daemonocle/internal/usercode"
)

// Option is one option, as the tags of a field describe it.
type Option struct {
	Name     string   // long name, without dashes
	Short    string   // one letter or digit, or empty
	Help     string   // one sentence
	Meta     string   // what stands for the value in a help text; empty for a bool
	Default  string   // as it would be written; empty: none
	Env      string   // variable that stands in for the option
	Enum     []string // the only values
	Choices  []string // suggestions
	Sep      string   // what a value may be split at; empty: it is not
	Required bool     // the option or its variable must be there
	Repeated bool     // may be given more than once
	Negated  bool     // a bool that is true by default

	index []int
	typ   reflect.Type
	fd    bool                    // a descriptor of the caller's beside the standard three
	zero  int64                   // what a 0 becomes, since the field's 0 is the default: none at all; 0: what it is
	from0 bool                    // it cannot be negative
	known func(text string) error // another condition; may be nil
}

// Known restricts the values of one field beyond what its tags say.
type Known struct {
	Struct  reflect.Type
	Field   string
	Choices func() []string
	Check   func(text string) error
}

// Check reports whether the text can be a value of the option. Whether the
// action is happy with it is another question.
func (o *Option) Check(text string) error {
	return o.set(reflect.New(o.typ).Elem(), text)
}

// Schema is what the fields of an options struct say.
type Schema struct {
	Options []Option
	typ     reflect.Type
	known   []Known
}

var (
	durationType    = reflect.TypeFor[time.Duration]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// Read reads the tags of an options struct. All mistakes are in the error.
func Read(t reflect.Type, known ...Known) (*Schema, error) {
	if t == nil || t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("options are %v, not a struct", t)
	}
	s := &Schema{typ: t, known: known}
	errs := s.read(t, nil)
	seen := map[string]bool{}
	for _, o := range s.Options {
		names := []string{"--" + o.Name}
		if o.Negated {
			names = append(names, "--no-"+o.Name)
		}
		if o.Short != "" {
			names = append(names, "-"+o.Short)
		}
		for _, name := range names {
			if seen[name] {
				errs = append(errs, fmt.Errorf("two options are called %s", name))
			}
			seen[name] = true
		}
	}
	return s, errors.Join(errs...)
}

func (s *Schema) read(t reflect.Type, index []int) (errs []error) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		inner := f.Type.Kind() == reflect.Struct && !unmarshals(f.Type) && (f.Anonymous || f.Tag.Get("inline") == "true")
		// The exported fields of an embedded struct can be set, whatever its name.
		if f.Tag.Get("name") == "-" || !f.IsExported() && !(inner && f.Anonymous) {
			continue
		}
		if inner {
			errs = append(errs, s.read(f.Type, at)...)
			continue
		}
		o, err := readOption(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("option field %s: %w", f.Name, err))
			continue
		}
		o.index = at
		for _, k := range s.known {
			if k.Struct == t && k.Field == f.Name {
				o.Choices, o.known = k.Choices(), k.Check
			}
		}
		s.Options = append(s.Options, o)
	}
	return errs
}

func readOption(f reflect.StructField) (Option, error) {
	tag := f.Tag
	zero, _ := strconv.ParseInt(tag.Get("zero"), 10, 64)
	o := Option{
		Name: tag.Get("name"), Short: tag.Get("short"), Help: tag.Get("help"),
		Meta: tag.Get("meta"), Default: tag.Get("default"), Env: tag.Get("env"), Sep: tag.Get("sep"),
		typ: f.Type, zero: zero, fd: tag.Get("descriptor") == "true",
		from0: tag.Get("negative") == "false",
	}
	if o.Name == "" {
		o.Name = Kebab(f.Name)
	}
	meta, err := metaFor(o.elem())
	if err != nil {
		return o, err
	}
	o.Repeated = o.list()
	switch {
	case !IsName(o.Name):
		return o, fmt.Errorf("name %q is no option name: use letters, digits and dashes", o.Name)
	case o.Name == "help":
		return o, errors.New(`name "help": every action has that already`)
	case len(o.Short) > 1 || o.Short != "" && !IsName(o.Short):
		return o, fmt.Errorf("short %q is not one letter or digit", o.Short)
	case strings.ContainsAny(o.Env, "= \x00"):
		return o, fmt.Errorf("env %q is no name of a variable", o.Env)
	case o.Sep != "" && !o.Repeated:
		return o, errors.New("has a sep, but is no slice")
	case o.isBool() && o.Meta != "":
		return o, errors.New("is a bool and has a meta; a bool takes no value")
	}
	if s, ok := tag.Lookup("required"); ok {
		if o.Required, err = strconv.ParseBool(s); err != nil {
			return o, fmt.Errorf("required %q is neither true nor false", s)
		}
	}
	if s := tag.Get("enum"); s != "" {
		if err := o.setEnum(strings.Split(s, ",")); err != nil {
			return o, err
		}
		meta = "[" + strings.Join(o.Enum, "|") + "]"
	}
	if o.Meta == "" {
		o.Meta = meta
	}
	if o.Required && o.Default != "" {
		return o, errors.New("is required and has a default; use one of the two")
	}
	if o.isBool() && o.Required {
		return o, errors.New("is a bool and required; a bool is given or not")
	}
	if o.Default != "" {
		if err := o.Check(o.Default); err != nil {
			return o, fmt.Errorf("default: %w", err)
		}
	}
	if o.isBool() {
		o.Negated, _ = strconv.ParseBool(o.Default)
	}
	return o, nil
}

// setEnum takes the only values, each of which must be one.
func (o *Option) setEnum(values []string) error {
	if o.isBool() {
		return errors.New("is a bool and has an enum; a bool takes no value")
	}
	for _, v := range values {
		v = strings.TrimSpace(v)
		if v == "" || slices.Contains(o.Enum, v) {
			return fmt.Errorf("enum %q has an empty or a double value", strings.Join(values, ","))
		}
		if err := scalar(reflect.New(o.elem()).Elem(), v); err != nil {
			return fmt.Errorf("enum: %w", err)
		}
		o.Enum = append(o.Enum, v)
	}
	o.Choices = o.Enum
	return nil
}

func unmarshals(t reflect.Type) bool { return reflect.PointerTo(t).Implements(unmarshalerType) }

func (o *Option) list() bool { return o.typ.Kind() == reflect.Slice && !unmarshals(o.typ) }

// elem is the type of one value.
func (o *Option) elem() reflect.Type {
	if o.list() {
		return o.typ.Elem()
	}
	return o.typ
}

func (o *Option) isBool() bool { return o.typ.Kind() == reflect.Bool && !unmarshals(o.typ) }

// metaFor names the kind of value, and refuses types that cannot be options.
func metaFor(t reflect.Type) (string, error) {
	switch {
	case unmarshals(t):
		return "TEXT", nil
	case t == durationType:
		return "DURATION", nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return "", nil
	case reflect.String:
		return "TEXT", nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "INTEGER", nil
	case reflect.Float32, reflect.Float64:
		return "FLOAT", nil
	}
	return "", fmt.Errorf("type %v cannot be an option: use string, bool, a number, time.Duration, an encoding.TextUnmarshaler, or a slice of these", t)
}

// set parses a value into the field. A list is added to.
func (o *Option) set(v reflect.Value, text string) error {
	if !o.list() {
		return o.one(v, text)
	}
	parts := []string{text}
	if o.Sep != "" {
		parts = strings.Split(text, o.Sep)
	}
	for _, p := range parts {
		if o.Sep != "" {
			p = strings.TrimSpace(p)
		}
		e := reflect.New(o.elem()).Elem()
		if err := o.one(e, p); err != nil {
			return err
		}
		v.Set(reflect.Append(v, e))
	}
	return nil
}

func (o *Option) one(v reflect.Value, text string) error {
	if err := OneOf(o.Enum, text); err != nil {
		return err
	}
	if err := scalar(v, text); err != nil {
		return err
	}
	switch {
	case o.known != nil:
		return o.known(text)
	case o.fd && v.Int() < 3:
		return fmt.Errorf("%q is no descriptor from 3 up", text)
	case (o.zero != 0 || o.from0) && v.Int() < 0:
		return Negative(text)
	case o.zero != 0 && v.Int() == 0:
		v.SetInt(o.zero)
	}
	return nil
}

// OneOf refuses a text that is none of the values; nil: there is no such list.
func OneOf(values []string, text string) error {
	if values != nil && !slices.Contains(values, text) {
		return fmt.Errorf("%q is not one of %s", text, strings.Join(values, ", "))
	}
	return nil
}

// scalar parses one value.
func scalar(v reflect.Value, text string) error {
	t := v.Type()
	if unmarshals(t) {
		return usercode.Call("UnmarshalText", func() error {
			return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
		})
	}
	if t == durationType {
		d, err := ParseDuration(text)
		v.SetInt(int64(d))
		return err
	}
	switch t.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.String:
		v.SetString(text)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, t.Bits())
		if err != nil {
			return notA("an integer", text, err)
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, t.Bits())
		if err != nil {
			return notA("an integer from 0 up", text, err)
		}
		v.SetUint(n)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, t.Bits())
		if err != nil {
			return notA("a number", text, err)
		}
		v.SetFloat(f)
	}
	return nil
}

func notA(kind, text string, err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%q is out of range", text)
	}
	return fmt.Errorf("%q is not %s", text, kind)
}

// Negative says that a value cannot be less than 0.
func Negative(text string) error { return fmt.Errorf("%q is negative", text) }

// ParseDuration reads "10s", and a bare number as seconds.
func ParseDuration(text string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(text, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		const limit = float64(1<<63) / float64(time.Second)
		if !(f > -limit && f < limit) { // NaN is neither
			return 0, fmt.Errorf("%q is out of range", text)
		}
		return time.Duration(math.Round(f * float64(time.Second))), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration, such as 10 (seconds), 1.5s or 2m", text)
	}
	return d, nil
}

// optionError is a mistake on the command line.
type optionError struct {
	name string
	err  error
}

func (e *optionError) Error() string { return "option --" + e.name + ": " + e.err.Error() }
func (e *optionError) Unwrap() error { return e.err }

// Fill makes the options struct from what was given on the command line, the
// environment and the defaults, in this order of preference.
func (s *Schema) Fill(given map[string][]string) (reflect.Value, error) {
	v := reflect.New(s.typ).Elem()
	var errs []error
	known := map[string]bool{}
	for i := range s.Options {
		o := &s.Options[i]
		known[o.Name] = true
		texts := given[o.Name]
		from := ""
		if env := o.fromEnv(); len(texts) == 0 && env != "" {
			texts, from = []string{env}, o.Env
		}
		switch {
		case len(texts) > 0:
		case o.Required && o.Env != "":
			errs = append(errs, fmt.Errorf("missing option --%s, or variable %s", o.Name, o.Env))
		case o.Required:
			errs = append(errs, fmt.Errorf("missing option --%s", o.Name))
		case o.Default != "":
			texts = []string{o.Default}
		}
		if !o.Repeated && len(texts) > 0 {
			texts = texts[len(texts)-1:]
		}
		for _, text := range texts {
			err := o.set(v.FieldByIndex(o.index), text)
			if err != nil && from != "" {
				err = fmt.Errorf("variable %s: %w", from, err)
			}
			if err != nil {
				errs = append(errs, &optionError{o.Name, err})
			}
		}
	}
	var unknown []string
	for name := range given {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		errs = append(errs, fmt.Errorf("no such option: --%s", name))
	}
	return v, errors.Join(errs...)
}

func (o *Option) fromEnv() string {
	if o.Env == "" {
		return ""
	}
	return os.Getenv(o.Env)
}

// IsName reports whether an option can have that name.
func IsName(s string) bool {
	if s == "" || strings.HasPrefix(s, "-") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
	})
}

// Kebab turns a field's name into an option's: MaxAge becomes max-age, and
// HTTPPort http-port.
func Kebab(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 {
			afterLower := !unicode.IsUpper(runes[i-1])
			beforeLower := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if afterLower || beforeLower {
				b.WriteByte('-')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
