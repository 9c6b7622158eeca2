package app

import (
	"encoding/json"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// What is remembered comes back byte for byte, whatever bytes it is.
func FuzzRemembered(f *testing.F) {
	for _, s := range []string{"", "plain", "\xff", "a\xc3", "é\ufffd", "\u2028<&>", "\x1b[0m\n", "{\"base64\": \"\"}", `\`, "'"} {
		f.Add(s, s+"\xfe", "/"+s)
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if strings.Contains(a+b+c, "\x00") {
			t.Skip("no argument has a zero byte")
		}
		d := definition{Version: version, Name: "web", Program: text("/" + a), Args: words{a, b}, Directory: text("/" + c), Env: words{"A=" + b, "B" + a}}
		if strings.HasPrefix(b, "=") {
			d.Env = nil
		}
		for _, write := range []func(any) ([]byte, error){json.Marshal, func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }} {
			state, err := write(&d)
			if err != nil {
				t.Fatal(err)
			}
			back, err := parseState(state)
			if err != nil || !reflect.DeepEqual(*back, d) {
				t.Errorf("%#v came back as %#v, %v, through %s", d, back, err, state)
			}
		}
	})
}

// State files of before have nothing but strings.
func TestOldState(t *testing.T) {
	const old = `{"version": 1, "name": "web", "program": "/bin/sh", "args": ["-c", "é � <"], "directory": "/tmp", "env": ["A=1"], "user": "root"}`
	d, err := parseState([]byte(old))
	want := definition{Version: 1, Name: "web", Program: "/bin/sh", Args: words{"-c", "é � <"}, Directory: "/tmp", Env: words{"A=1"}, User: "root"}
	if err != nil || !reflect.DeepEqual(*d, want) {
		t.Errorf("got %+v, %v", d, err)
	}
	for _, bad := range []string{"\"\xff\"", `{"base64": "*"}`, `{"base64": null}`, `{}`, `{"base64": "AA=="}`, `"\u0000"`, `{"base64": "", "more": 1}`, `1`} {
		if d, err := parseState([]byte(`{"version": 1, "name": "web", "program": "/x", "args": [` + bad + `], "directory": "/"}`)); err == nil {
			t.Errorf("%q was taken: %#v", bad, d)
		}
	}
}

// What show prints can be typed: a shell makes of it what start was told.
func FuzzQuote(f *testing.F) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		testkit.Skip(f, "bash", err.Error())
	}
	for _, s := range []string{"", "a b", "it's", "\xff\\'\n1", "é\x1b7", "\u200b", "$x`y`", "\t~", "\xc3", "\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "\x00") {
			t.Skip("no argument has a zero byte")
		}
		q := quote(s)
		for _, r := range q {
			if r < ' ' || r == 0x7f || r == 0xfffd && !strings.Contains(s, "\ufffd") {
				t.Errorf("%+q: a terminal gets %+q", s, q)
			}
		}
		got, err := exec.Command(shell, "-c", "printf %s "+q).Output()
		if err != nil || string(got) != s {
			t.Errorf("%+q became %+q and came back as %+q, %v", s, q, got, err)
		}
	})
}
