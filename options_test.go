package daemonocle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
)

type shade string // a string of its own type

type embedded struct {
	Inner string `default:"in"`
}

type Shared struct {
	Outer int `short:"o"`
}

type everyKind struct {
	String   string
	Named    shade
	Bool     bool
	On       bool `default:"true"`
	Int      int
	Int8     int8
	Int16    int16
	Int32    int32
	Int64    int64
	Uint     uint
	Uint8    uint8
	Uint16   uint16
	Uint32   uint32
	Uint64   uint64
	Float32  float32
	Float64  float64
	Duration time.Duration
	Strings  []string
	Several  []shade `sep:","`
	Ints     []int   `sep:":"`
	Waits    []time.Duration
	Addr     netip.Addr
	Addrs    []netip.Addr
	Time     time.Time
	Enum     string `enum:"tcp, udp"`
	Level    int    `enum:"1,2,3" default:"2"`
	HTTPPort int
	Skipped  chan int `name:"-"`
	_        chan int
	embedded
	Shared
	Group struct {
		Deep string `name:"deep"`
	} `inline:"true"`
}

// withAction is a daemon with that one action.
func withAction(t testing.TB, a ...daemonocle.Action) *daemonocle.Daemon {
	t.Helper()
	d, err := daemonocle.New(daemonocle.Config{Name: "options-" + strings.ReplaceAll(t.Name(), "/", "-"), Actions: a})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fill gives what a function with options of type T gets for these texts.
func fill[T any](t testing.TB, given map[string][]string) (got T, err error) {
	t.Helper()
	d := withAction(t, daemonocle.NewAction("act", "", func(_ context.Context, _ *daemonocle.Call, o T) error {
		got = o
		return nil
	}))
	var out bytes.Buffer
	return got, d.Invoke(context.Background(), daemonocle.Output{Out: &out, Err: &out}, "act", given)
}

func TestOptionsOfEveryKindAreRead(t *testing.T) {
	got, err := fill[everyKind](t, map[string][]string{
		"string": {"first", " last "}, "named": {"red"}, "bool": {"true"}, "on": {"false"},
		"int": {"-1"}, "int8": {"-128"}, "int16": {"32767"}, "int32": {"-5"}, "int64": {"9223372036854775807"},
		"uint": {"1"}, "uint8": {"255"}, "uint16": {"2"}, "uint32": {"3"}, "uint64": {"18446744073709551615"},
		"float32": {"1.5"}, "float64": {"-1e3"}, "duration": {"1.5"},
		"strings": {"a,b", " c "}, "several": {"a, b", "c"}, "ints": {"1:2", "3"}, "waits": {"1m", "2"},
		"addr": {"127.0.0.1"}, "addrs": {"::1", "::2"}, "time": {"2026-11-22T00:00:00Z"},
		"enum": {"udp"}, "http-port": {"80"}, "outer": {"7"}, "deep": {"down"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := everyKind{
		String: " last ", Named: "red", Bool: true, On: false,
		Int: -1, Int8: -128, Int16: 32767, Int32: -5, Int64: math.MaxInt64,
		Uint: 1, Uint8: 255, Uint16: 2, Uint32: 3, Uint64: math.MaxUint64,
		Float32: 1.5, Float64: -1000, Duration: 1500 * time.Millisecond,
		Strings: []string{"a,b", " c "}, Several: []shade{"a", "b", "c"}, Ints: []int{1, 2, 3},
		Waits: []time.Duration{time.Minute, 2 * time.Second},
		Addr:  netip.MustParseAddr("127.0.0.1"), Addrs: []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("::2")},
		Time: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		Enum: "udp", Level: 2, HTTPPort: 80,
		embedded: embedded{Inner: "in"}, Shared: Shared{Outer: 7},
	}
	want.Group.Deep = "down"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestOptionsThatAreNotGivenHaveTheirDefaults(t *testing.T) {
	got, err := fill[everyKind](t, nil)
	want := everyKind{On: true, Level: 2, embedded: embedded{Inner: "in"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestAWrongValueIsNamedWithItsOption(t *testing.T) {
	for option, wrong := range map[string]struct{ text, want string }{
		"bool":     {"maybe", `option --bool: "maybe" is neither true nor false`},
		"int":      {"x", `option --int: "x" is not an integer`},
		"int8":     {"128", `option --int8: "128" is out of range`},
		"uint":     {"-1", `option --uint: "-1" is not an integer from 0 up`},
		"uint8":    {"256", `option --uint8: "256" is out of range`},
		"float64":  {"", `option --float64: "" is not a number`},
		"float32":  {"1e300", `option --float32: "1e300" is out of range`},
		"duration": {"soon", `option --duration: "soon" is not a duration, such as 10 (seconds), 1.5s or 2m`},
		"ints":     {"1:x", `option --ints: "x" is not an integer`},
		"addr":     {"here", `option --addr: ParseAddr("here"): unable to parse IP`},
		"enum":     {"sctp", `option --enum: "sctp" is not one of tcp, udp`},
		"level":    {"4", `option --level: "4" is not one of 1, 2, 3`},
		"banana":   {"", `no such option: --banana`},
	} {
		_, err := fill[everyKind](t, map[string][]string{option: {wrong.text}})
		if err == nil {
			t.Errorf("--%s=%s is taken", option, wrong.text)
			continue
		}
		if !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("--%s=%s: got %q, want %q", option, wrong.text, err, wrong.want)
		}
		if !errors.Is(err, daemonocle.ErrUsage) || daemonocle.ExitCode(err) != 2 {
			t.Errorf("--%s=%s: %v is no mistake in use, or its exit code is not 2", option, wrong.text, err)
		}
	}
}

func TestDurationsAreBounded(t *testing.T) {
	type options struct{ D time.Duration }
	for text, want := range map[string]time.Duration{
		"0": 0, "10": 10 * time.Second, "1e3": 1000 * time.Second, "-2": -2 * time.Second, "2h3m": 123 * time.Minute,
		"9223372036": 9223372036 * time.Second, "1.003": 1003 * time.Millisecond, "-0.007": -7 * time.Millisecond,
	} {
		if got, err := fill[options](t, map[string][]string{"d": {text}}); err != nil || got.D != want {
			t.Errorf("%s is %v, %v; want %v", text, got.D, err, want)
		}
	}
	for _, text := range []string{"NaN", "inf", "-inf", "1e10", "-1e10", "1e999", "9223372036.854775807", "99999999h", "1d", "", " 1"} {
		if got, err := fill[options](t, map[string][]string{"d": {text}}); err == nil {
			t.Errorf("%q is %v", text, got.D)
		}
	}
}

func TestTheOptionThenTheVariableThenTheDefault(t *testing.T) {
	type options struct {
		Size int      `env:"OPTIONS_SIZE" default:"1"`
		Tags []string `env:"OPTIONS_TAGS" sep:","`
		On   bool     `env:"OPTIONS_ON" default:"true"`
		Must string   `env:"OPTIONS_MUST" required:"true"`
	}
	must := map[string][]string{"must": {"x"}}
	check := func(given map[string][]string, want options) {
		t.Helper()
		if got, err := fill[options](t, given); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	check(must, options{1, nil, true, "x"})
	for name, value := range map[string]string{"SIZE": "2", "TAGS": "a,b", "ON": "false", "MUST": "y"} {
		t.Setenv("OPTIONS_"+name, value)
	}
	check(nil, options{2, []string{"a", "b"}, false, "y"})
	check(map[string][]string{"size": {"3"}, "tags": {"c"}, "on": {"true"}, "must": {"z"}}, options{3, []string{"c"}, true, "z"})
	t.Setenv("OPTIONS_SIZE", "") // as if it were not there
	check(nil, options{1, []string{"a", "b"}, false, "y"})

	t.Setenv("OPTIONS_SIZE", "big")
	if _, err := fill[options](t, nil); err == nil || !strings.Contains(err.Error(), `option --size: variable OPTIONS_SIZE: "big" is not an integer`) {
		t.Errorf("got %v", err)
	}
	t.Setenv("OPTIONS_MUST", "")
	if _, err := fill[options](t, nil); err == nil || !strings.Contains(err.Error(), "missing option --must, or variable OPTIONS_MUST") {
		t.Errorf("got %v", err)
	}
}

type explosive struct{}

func (*explosive) UnmarshalText([]byte) error { panic("boom") }

func TestAnUnmarshalerThatPanicsIsAnError(t *testing.T) {
	_, err := fill[struct{ X explosive }](t, map[string][]string{"x": {""}})
	if err == nil || !strings.Contains(err.Error(), "option --x: UnmarshalText panicked: boom") {
		t.Errorf("got %v", err)
	}
}

// action makes an action with options of type T that does nothing.
func action[T any](name string) daemonocle.Action {
	return daemonocle.NewAction(name, "", func(context.Context, *daemonocle.Call, T) error { return nil })
}

func TestMistakesInTagsAreErrorsFromNew(t *testing.T) {
	for _, wrong := range []struct {
		action daemonocle.Action
		want   string
	}{
		{action[struct{ A chan int }]("act"), "option field A: type chan int cannot be an option"},
		{action[struct{ A *string }]("act"), "type *string cannot be"},
		{action[struct{ A map[string]string }]("act"), "cannot be an option"},
		{action[struct{ A [][]string }]("act"), "type []string cannot be an option"},
		{action[struct{ A struct{ B int } }]("act"), "cannot be an option"},
		{action[struct {
			A int `default:"x"`
		}]("act"), `option field A: default: "x" is not an integer`},
		{action[struct {
			A string `enum:"a,b" default:"c"`
		}]("act"), `default: "c" is not one of a, b`},
		{action[struct {
			A string `enum:"a,,b"`
		}]("act"), "empty or a double value"},
		{action[struct {
			A string `enum:"a,a"`
		}]("act"), "empty or a double value"},
		{action[struct {
			A int `enum:"1,two"`
		}]("act"), `enum: "two" is not an integer`},
		{action[struct {
			A bool `enum:"true"`
		}]("act"), "is a bool and has an enum"},
		{action[struct {
			A bool `meta:"X"`
		}]("act"), "is a bool and has a meta"},
		{action[struct {
			A bool `required:"true"`
		}]("act"), "is a bool and required"},
		{action[struct {
			A bool `default:"perhaps"`
		}]("act"), "neither true nor false"},
		{action[struct {
			A int `required:"yes please"`
		}]("act"), `required "yes please" is neither`},
		{action[struct {
			A int `required:"true" default:"1"`
		}]("act"), "is required and has a default"},
		{action[struct {
			A int `short:"ab"`
		}]("act"), `short "ab" is not one letter`},
		{action[struct {
			A int `short:"-"`
		}]("act"), `short "-" is not one letter`},
		{action[struct {
			A int `name:"a b"`
		}]("act"), `name "a b" is no option name`},
		{action[struct {
			A int `name:"-a"`
		}]("act"), `name "-a" is no option name`},
		{action[struct{ Help bool }]("act"), `name "help": every action has that`},
		{action[struct {
			A int `env:"A=B"`
		}]("act"), `env "A=B" is no name`},
		{action[struct {
			A string `sep:","`
		}]("act"), "has a sep, but is no slice"},
		{action[struct {
			A int
			B int `name:"a"`
		}]("act"), "two options are called --a"},
		{action[struct {
			A int `short:"x"`
			B int `short:"x"`
		}]("act"), "two options are called -x"},
		{action[struct {
			A   bool `default:"true"`
			NoA bool
		}]("act"), "two options are called --no-a"},
		{action[struct {
			Shared
			Outer int
		}]("act"), "two options are called --outer"},
		{action[int]("act"), "options are int, not a struct"},
		{action[any]("act"), "not a struct"},
		{action[struct{}](""), `the name is none`},
		{action[struct{}]("two words"), `action "two words": the name is none`},
		{action[struct{}]("--start"), `the name is none`},
		{action[struct{}]("help"), `action "help": command lines have that already`},
		{daemonocle.Action{}, "was not made with NewAction"},
	} {
		_, err := daemonocle.New(daemonocle.Config{Name: "mistakes", Actions: []daemonocle.Action{wrong.action}})
		var config *daemonocle.ConfigError
		if !errors.As(err, &config) || config.Setting != "Actions" || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("got %v, want %q", err, wrong.want)
		}
	}
	_, err := daemonocle.New(daemonocle.Config{Name: "mistakes", Actions: []daemonocle.Action{
		action[struct{}]("act"), action[struct{}]("act"), action[struct {
			A chan int
			B chan int
		}]("other"),
	}})
	for _, want := range []string{`two actions are called "act"`, `action "other": option field A`, "option field B"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not all mistakes are in one error: got %v, want %q", err, want)
		}
	}
}

func TestOptionsAreNamedAfterTheirFields(t *testing.T) {
	d := withAction(t, action[struct {
		A, MaxAge, HTTPPort, UserID, X509 int
	}]("act"))
	var got []string
	for _, spec := range d.Specs() {
		for _, o := range spec.Options {
			if spec.Name == "act" {
				got = append(got, o.Name)
			}
		}
	}
	if want := []string{"a", "max-age", "http-port", "user-id", "x509"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSpecsDescribeWhatThereIs(t *testing.T) {
	d := withAction(t, action[everyKind]("act"), action[daemonocle.StopOptions]("stop"))
	specs := map[string]daemonocle.ActionSpec{}
	var names []string
	for _, spec := range d.Specs() {
		specs[spec.Name] = spec
		names = append(names, spec.Name)
	}
	if want := []string{"start", "stop", "restart", "status", "reload", "act"}; !reflect.DeepEqual(names, want) || !reflect.DeepEqual(d.Actions(), want) {
		t.Errorf("actions are %q and %q, want %q", names, d.Actions(), want)
	}
	for name, want := range map[string]string{
		"start": "debug wait notify-fd", "stop": "timeout force direct", "restart": "timeout force direct debug wait notify-fd", "status": "fields interval",
	} {
		var got []string
		for _, o := range specs[name].Options {
			got = append(got, o.Name)
		}
		if strings.Join(got, " ") != want || !specs[name].Builtin {
			t.Errorf("%s has %q, want %q; built in: %v", name, got, want, specs[name].Builtin)
		}
	}
	metas := map[string]string{}
	for _, o := range specs["act"].Options {
		metas[o.Name] = fmt.Sprintf("%s %t %t", o.Meta, o.Repeated, o.Negated)
	}
	for name, want := range map[string]string{
		"string": "TEXT false false", "bool": " false false", "on": " false true", "int": "INTEGER false false", "uint8": "INTEGER false false",
		"float64": "FLOAT false false", "duration": "DURATION false false", "strings": "TEXT true false", "ints": "INTEGER true false",
		"addr": "TEXT false false", "enum": "[tcp|udp] false false",
	} {
		if metas[name] != want {
			t.Errorf("--%s is %q, want %q", name, metas[name], want)
		}
	}
}

func TestWaitingForNoTimeIsNotTheDefault(t *testing.T) {
	for _, spec := range withAction(t).Specs() {
		for _, o := range spec.Options {
			if o.Name != "timeout" && o.Name != "wait" {
				continue
			}
			if err := o.Check("-1"); err == nil {
				t.Errorf("%s --%s can be negative", spec.Name, o.Name)
			}
		}
	}
	var got daemonocle.StopOptions
	d := withAction(t, daemonocle.NewAction("stop", "", func(_ context.Context, _ *daemonocle.Call, o daemonocle.StopOptions) error {
		got = o
		return nil
	}))
	if err := d.Invoke(context.Background(), daemonocle.Output{}, "stop", map[string][]string{"timeout": {"0"}}); err != nil || got.Timeout <= 0 || got.Timeout > time.Microsecond {
		t.Errorf("--timeout=0 is %v, %v", got.Timeout, err)
	}
}

// What somebody has changed in a description counts.
func TestCheckGoesByTheDescription(t *testing.T) {
	type options struct {
		Enum string `enum:"tcp,udp"`
		Ints []int  `sep:","`
	}
	of := map[string]daemonocle.Option{"made": {Enum: []string{"a"}}}
	for _, spec := range withAction(t, action[options]("act")).Specs() {
		for _, o := range spec.Options {
			of[o.Name] = o
		}
	}
	enum, ints := of["enum"], of["ints"]
	enum.Enum, ints.Sep = []string{"sctp"}, ":"
	for _, c := range []struct {
		o    daemonocle.Option
		text string
		ok   bool
	}{
		{of["made"], "a", true}, {of["made"], "b", false}, {daemonocle.Option{}, "b", true},
		{of["enum"], "tcp", true}, {of["enum"], "sctp", false}, {enum, "tcp", false}, {enum, "sctp", true},
		{of["ints"], "1,2", true}, {of["ints"], "1:2", false}, {ints, "1:2", true}, {ints, "1,2", false},
	} {
		if err := c.o.Check(c.text); (err == nil) != c.ok {
			t.Errorf("--%s=%s: got %v", c.o.Name, c.text, err)
		}
	}
}

func FuzzOptionValues(f *testing.F) {
	for _, seed := range []string{"", "1", "-1", "1e400", "true", "10s", "a,b", "NaN", "9223372036.854775808", "\x00", "::1"} {
		f.Add(seed)
	}
	var options []daemonocle.Option
	for _, spec := range withAction(f, action[everyKind]("act")).Specs() {
		options = append(options, spec.Options...)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, o := range options {
			err := o.Check(text)
			if again := o.Check(text); (err == nil) != (again == nil) {
				t.Errorf("--%s=%q: first %v, then %v", o.Name, text, err, again)
			}
			if err != nil && err.Error() == "" {
				t.Errorf("--%s=%q: an error without words", o.Name, text)
			}
		}
	})
}
