package pyjson

import (
	"encoding/json"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestJSONIsAsPythonWritesIt(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{nil, "null"},
		{true, "true"},
		{int64(math.MinInt64), "-9223372036854775808"},
		{0.0, "0.0"},
		{1.0, "1.0"},
		{0.1234567, "0.123"},
		{0.0005, "0.001"},
		{99.9996, "100.0"},
		{-2.5, "-2.5"},
		{1763823456.25, "1763823456.25"},
		{1e21, "1000000000000000000000.0"},
		{math.NaN(), "null"},
		{math.Inf(1), "null"},
		{"", `""`},
		{`a"b\c/<&>`, `"a\"b\\c/<&>"`},
		{"\x00\n\r\t\x1f", `"\u0000\n\r\t\u001f"`},
		{"\b\f\x7f", `"\b\f\u007f"`},
		{"naïve €", `"na\u00efve \u20ac"`},
		{"\uffff\U00010000😀\U0010ffff", `"\uffff\ud800\udc00\ud83d\ude00\udbff\udfff"`},
		{"a\xffb", `"a\ufffdb"`},
		{[]any{}, "[]"},
		{[]any{int64(1), "a", nil, []any{1.5}}, `[1, "a", null, [1.5]]`},
		{map[string]any{}, "{}"},
		{map[string]any{"b": int64(1), "a": "x", "B": nil, "é": 0.0}, `{"B": null, "a": "x", "b": 1, "\u00e9": 0.0}`},
		{map[string]string{"PATH": "/bin", "A": ""}, `{"A": "", "PATH": "/bin"}`},
	} {
		if got := string(Append(nil, tt.v)); got != tt.want {
			t.Errorf("%#v: got %s, want %s", tt.v, got, tt.want)
		}
	}
}

func FuzzJSONString(f *testing.F) {
	for _, s := range []string{"", "a", `"\`, "\x00\x7f", "é€😀", "\xff\xc0", "\u2028", "\ud7ff\ue000", "</script>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := Append(nil, map[string]any{s: s})
		for _, c := range b {
			if c < ' ' || c >= utf8.RuneSelf {
				t.Fatalf("%q: byte %#x is in %s", s, c, b)
			}
		}
		var back map[string]string
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%q: %v in %s", s, err, b)
		}
		want := string([]rune(s)) // each bad byte becomes U+FFFD
		if !reflect.DeepEqual(back, map[string]string{want: want}) {
			t.Errorf("%q came back as %q", s, back)
		}
	})
}

var jsonFloat = regexp.MustCompile(`^(-?\d+\.\d{1,3}|null)$`)

func FuzzJSONFloat(f *testing.F) {
	for _, x := range []float64{0, -0.0004, 1, 0.1, 100 / 3.0, 1e15, 1e300, math.MaxFloat64, math.Inf(-1), math.SmallestNonzeroFloat64} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, x float64) {
		b := Append(nil, x)
		if !jsonFloat.Match(b) || !json.Valid(b) {
			t.Fatalf("%v is written as %s", x, b)
		}
		var back float64
		json.Unmarshal(b, &back)
		if math.Abs(x) < 1e9 && math.Abs(back-x) > 0.000501 {
			t.Errorf("%v came back as %v", x, back)
		}
	})
}

// What a program's own action has found out is written as far as JSON can say it.
func TestResultsAsJSON(t *testing.T) {
	type loop struct{ Next *loop }
	self := &loop{}
	self.Next = self
	type word string
	for _, tt := range []struct {
		value any
		want  string
	}{
		{nil, `null`},
		{3, `3`},
		{uint8(3), `3`},
		{uint64(1 << 63), `"9223372036854775808"`},
		{1.5, `1.5`},
		{true, `true`},
		{word("é"), `"\u00e9"`},
		{1500 * time.Millisecond, `1.5`},
		{[]int(nil), `[]`},
		{[2]string{"a", "b"}, `["a", "b"]`},
		{map[word]any{"b": nil, "a": []any{1}}, `{"a": [1], "b": null}`},
		{map[int]int{1: 1}, `{}`},
		{&struct {
			MaxAge int
			hidden int
			Inner  struct{ URL *string }
		}{MaxAge: 1}, `{"inner": {"url": null}, "maxage": 1}`},
		{func() {}, `null`},
		{make(chan int), `null`},
	} {
		if got := string(Append(nil, Plain(tt.value, strings.ToLower))); got != tt.want {
			t.Errorf("%#v: got %s, want %s", tt.value, got, tt.want)
		}
	}
	if got := string(Append(nil, Plain(self, strings.ToLower))); !strings.HasPrefix(got, `{"next": {"next": `) {
		t.Errorf("what holds itself: %s", got)
	}
}

func TestJSONArrays(t *testing.T) {
	objects := []map[string]any{
		{"name": "a", "pid": int64(1), "uids": []any{int64(0), int64(1)}, "environ": map[string]string{"A": "b"}},
		{"name": "b", "none": []any{}, "empty": map[string]string{}},
	}
	const narrow = `[
  {
    "environ": {
      "A": "b"
    },
    "name": "a",
    "pid": 1,
    "uids": [
      0,
      1
    ]
  },
  {
    "empty": {},
    "name": "b",
    "none": []
  }
]
`
	const wide = `[
  {"environ": {"A": "b"}, "name": "a", "pid": 1, "uids": [0, 1]},
  {"empty": {}, "name": "b", "none": []}
]
`
	// Two spaces before the longer object, and a comma behind it.
	longest := len(strings.Split(wide, "\n")[1])
	for width, want := range map[int]string{longest - 1: narrow, longest: wide} {
		got := string(AppendArray(nil, objects, width))
		if got != want {
			t.Errorf("%d columns: got\n%swant\n%s", width, got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%d columns: this is no JSON", width)
		}
	}
}
