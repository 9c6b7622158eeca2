package options

import (
	"errors"
	"reflect"
	"testing"
)

func TestKnownRestrictsOneField(t *testing.T) {
	type other struct{ Fruit []string }
	type opts struct {
		Fruit []string `sep:","`
		Other other    `inline:"true" name:"x"`
	}
	type renamed struct {
		Fruit string `name:"more"`
	}
	bad := errors.New("bad")
	known := Known{Struct: reflect.TypeFor[opts](), Field: "Fruit", Choices: func() []string { return []string{"banana"} },
		Check: func(text string) error {
			if text == "coconut" {
				return bad
			}
			return nil
		}}
	s, err := Read(reflect.TypeFor[struct {
		opts
		renamed
	}](), known)
	if err == nil || len(s.Options) != 3 {
		t.Fatalf("got %v; want three options, two of one name", err)
	}
	for i, want := range []error{bad, nil, nil} {
		o := s.Options[i]
		if got := o.Check("banana,coconut"); i == 0 && !errors.Is(got, want) || i > 0 && got != nil {
			t.Errorf("--%s: got %v, want %v", o.Name, got, want)
		}
		if got, want := len(o.Choices), map[bool]int{true: 1}[i == 0]; got != want {
			t.Errorf("--%s has %d choices, want %d", o.Name, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{"": false, "a": true, "A-9": true, "-a": false, "a b": false, "ä": false, "a_b": false} {
		if IsName(name) != want {
			t.Errorf("%q: got %v", name, !want)
		}
	}
	for field, want := range map[string]string{"A": "a", "MaxAge": "max-age", "HTTPPort": "http-port", "UserID": "user-id", "X509": "x509"} {
		if got := Kebab(field); got != want {
			t.Errorf("%s: got %s, want %s", field, got, want)
		}
	}
}
