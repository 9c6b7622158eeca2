package template

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTemplates(t *testing.T) {
	for _, tt := range []struct{ template, seven, thousand string }{
		{"", "", ""},
		{"plain", "plain", "plain"},
		{"{n}", "7", "1000"},
		{"/run/foo{n}/foo{n}.pid", "/run/foo7/foo7.pid", "/run/foo1000/foo1000.pid"},
		{"{n:3}", "  7", "1000"},
		{"{n:03}", "007", "1000"},
		{"{n:03d}", "007", "1000"},
		{"{n:d}", "7", "1000"},
		{"{n:0>4}", "0007", "1000"},
		{"{n:_<4}|", "7___|", "1000|"},
		{"{n:*^5}", "**7**", "1000*"},
		{"{n:>3}", "  7", "1000"},
		{"{n:é>3}", "éé7", "1000"},
		{"{{n}}", "{n}", "{n}"},
		{"{{{n}}}", "{7}", "{1000}"},
	} {
		parsed, err := Parse(tt.template)
		if err != nil {
			t.Errorf("%q: %v", tt.template, err)
			continue
		}
		if got := parsed.Expand(7); got != tt.seven {
			t.Errorf("%q: got %q for 7, want %q", tt.template, got, tt.seven)
		}
		if got := parsed.Expand(1000); got != tt.thousand {
			t.Errorf("%q: got %q for 1000, want %q", tt.template, got, tt.thousand)
		}
	}
	for _, s := range []string{"{", "}", "{n", "n}", "{}", "{x}", "{0}", "{n:x}", "{n:-3}", "{n:21}", "{n:999999999999}", "{n!r}", "{N}", "{ n}", "{n:0>}}", "{{n}"} {
		if parsed, err := Parse(s); err == nil {
			t.Errorf("%q was taken for one that gives %q", s, parsed.Expand(7))
		}
	}
}

// Two workers never get one name from a template that has the number.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"foo{n}", "{n:0>4}", "{n:04d}-{n}", "{{n}}", "}", "{n:é^9}", "{n:"} {
		f.Add(s, uint16(7))
	}
	f.Fuzz(func(t *testing.T, s string, n uint16) {
		parsed, err := Parse(s)
		if err != nil {
			return
		}
		number := false
		for _, p := range parsed {
			number = number || p.number
		}
		one, next := parsed.Expand(int(n)), parsed.Expand(int(n)+1)
		if !number && (one != next || one != parsed.Plain()) {
			t.Errorf("%q: got %q and %q without a number", s, one, next)
		}
		// A fill of digits may make two numbers look alike, as 1 filled with 1.
		if number && one == next && !strings.ContainsAny(s, "0123456789") {
			t.Errorf("%q: both %d and the next give %q", s, n, one)
		}
		if utf8.ValidString(s) && !utf8.ValidString(one) {
			t.Errorf("%q: got %q", s, one)
		}
	})
}
