package cli

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/pflag"
)

// FlagError says what is wrong on a command line in the words that our commands use, for a
// program that wants them for its own; see cobra's SetFlagErrorFunc. An error that is
// not one of pflag's is returned as it is.
func FlagError(err error) error {
	switch e := err.(type) {
	case *pflag.InvalidValueError:
		why := e.Unwrap()
		if kind := kindOf(e.GetFlag().Value); kind != "" { // whose error speaks of strconv
			why = fmt.Errorf("%q is %s", e.GetValue(), kind)
		}
		return &flagError{"option --" + e.GetFlag().Name + ": " + why.Error(), err}
	case *pflag.ValueRequiredError:
		return &flagError{"option --" + e.GetFlag().Name + " needs a value", err}
	case *pflag.NotExistError:
		dashes := "--"
		if e.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		return &flagError{"unknown option " + dashes + e.GetSpecifiedName(), err}
	case *pflag.InvalidSyntaxError:
		return &flagError{fmt.Sprintf("%q is no option", e.GetSpecifiedFlag()), err}
	}
	return err
}

type flagError struct {
	text string
	err  error // of pflag, which other programs may look for
}

func (e *flagError) Error() string { return e.text }
func (e *flagError) Unwrap() error { return e.err }

// kindOf says what a value that one of pflag's own types refuses is not, "" if the type is the
// program's.
func kindOf(v pflag.Value) string {
	if a, ours := v.(*asked); ours {
		v = a.Value
	}
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() != reflect.TypeFor[pflag.FlagSet]().PkgPath() {
		return ""
	}
	kind := v.Type()
	if list, is := strings.CutSuffix(kind, "Slice"); is {
		return "no list of values of type " + list
	}
	switch strings.TrimRight(kind, "0123456789") {
	case "bool":
		return "neither true nor false"
	case "int", "count":
		return "no integer, or out of range"
	case "uint":
		return "no integer from 0 up, or out of range"
	case "float":
		return "no number, or out of range"
	case "duration":
		return "no duration, such as 1.5s or 2m"
	}
	return "no value of type " + kind
}
