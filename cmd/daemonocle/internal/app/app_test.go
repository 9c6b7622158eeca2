package app

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/any-command-reference.md")

// TestReferenceIsCurrent holds the document to what the commands say of themselves.
func TestReferenceIsCurrent(t *testing.T) {
	var b strings.Builder
	b.WriteString("# The command daemonocle\n\nWritten by `go test ./cmd/daemonocle/internal/app -run Reference -update`; do not edit. What it\ndoes, with examples, is in [any-command.md](any-command.md).\n")
	var write func(c *cobra.Command)
	write = func(c *cobra.Command) {
		var help strings.Builder
		c.SetOut(&help)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n## " + c.CommandPath() + "\n\n```text\n" + help.String() + "```\n")
		for _, sub := range c.Commands() {
			write(sub)
		}
	}
	write(Tree())
	file := filepath.Join("..", "..", "..", "..", "docs", "any-command-reference.md")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Skip(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s is not what the commands say. If that is meant: go test ./cmd/daemonocle/internal/app -run Reference -update", file)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"web", "Web-2", "a.b", "_x", "redis@0", "0", "a.jsonl", strings.Repeat("x", 64)} {
		if err := checkName("start", name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a..b", ".hidden", "-n", "a/b", "a b", "a\nb", "é", "@x", "a.json", strings.Repeat("x", 65)} {
		if err := checkName("start", name); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestSignals(t *testing.T) {
	for text, want := range map[string]syscall.Signal{"": 0, "TERM": syscall.SIGTERM, "term": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "9": syscall.SIGKILL} {
		if got, err := parseSignal(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-1", "65", "FOO", "SIG", " "} {
		if got, err := parseSignal(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestPorts(t *testing.T) {
	for text, want := range map[string]string{"80": "localhost:80", ":80": "localhost:80", "127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "web:65535": "web:65535"} {
		if got, err := portAddress(text); err != nil || got != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "65536", "http", "x:", ":", "-1", "::1", "::1:80", "[::1]", "a:b:80"} {
		if got, err := portAddress(text); err == nil {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"10": 10 * time.Second, "1m30s": 90 * time.Second, "0.2s": 200 * time.Millisecond, "0.2": 200 * time.Millisecond, "1e3": 1000 * time.Second} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "soon", "1e10", "99999999999", "0.0", ".", "1h30"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{"": "''", "a-b_c./:=,+@%1": "a-b_c./:=,+@%1", "two words": "'two words'", "it's": `'it'\''s'`, "$x": "'$x'", "~": "'~'"} {
		if got := quote(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}

func TestStateComesBack(t *testing.T) {
	want := definition{Version: version, Name: "web", Program: "/bin/sleep", Args: []string{"1", "", "a b"}, Directory: "/",
		Env: []string{"A=b", "C"}, User: "root", Group: "0", Umask: "027", Nice: -3, StopSignal: "INT", ReloadSignal: "USR1",
		StopTimeout: "1m", ReadyLine: "^up$"}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseState(b)
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What cannot be opened is said in a sentence that goes on from the file's name.
func TestStateThatCannotBeOpened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openState(filepath.Join(file, "web.json")); err == nil || err.Error() != "cannot be opened: not a directory" {
		t.Errorf("got %v", err)
	}
}

// What says nothing new is not written, and what was not kept leaves nothing.
func TestStateIsWrittenWhenItDiffers(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	path := filepath.Join(dir, "daemonocle", "web.json")
	d := definition{Version: version, Name: "web", Program: "/bin/sleep", Directory: "/"}
	write := func(keep bool) os.FileInfo {
		t.Helper()
		p, err := d.prepare()
		if err != nil {
			t.Fatal(err)
		}
		if keep {
			err = p.keep()
		}
		p.discard()
		info, bad := os.Stat(path)
		if err != nil || bad != nil {
			t.Fatal(err, bad)
		}
		if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
			t.Errorf("it has left %v", files)
		}
		return info
	}
	first := write(true)
	if again := write(true); !os.SameFile(first, again) {
		t.Error("the same was written again")
	}
	d.Args = []string{"1000"}
	if dropped := write(false); !os.SameFile(first, dropped) {
		t.Error("it was written before it was kept")
	}
	if other := write(true); os.SameFile(first, other) {
		t.Error("what was new was not written")
	}
	if got, err := load("start", "web"); err != nil || !reflect.DeepEqual(*got, d) {
		t.Errorf("remembered is %+v, %v; want %+v", got, err, d)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if mended := write(true); mended.Mode().Perm() != 0o600 {
		t.Errorf("it stays open to others: %v", mended.Mode())
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version": 1, "name": "web", "program": "/bin/sleep", "args": ["1"], "directory": "/"}`))
	f.Add([]byte(`{"version": 1, "name": "../x", "program": "/bin/sleep", "directory": "/"}`))
	f.Add([]byte(`{"version": 1, "name": "web", "program": "/x", "directory": "/", "ready_line": "("}`))
	f.Add([]byte(`{"version": 1, "name": "web", "program": {"base64": "L2Jpbi//"}, "args": ["x", {"base64": "/wA="}], "directory": {"base64": "L/8="}}`))
	f.Add([]byte(`{"version": 1, "name": "web", "program": {"base64": null}, "directory": {}}`))
	f.Add([]byte("{\"version\": 1, \"name\": \"web\", \"program\": \"/\xff\", \"directory\": \"/\"}"))
	f.Add([]byte(`{"version": 1}{}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseState(b)
		if (d == nil) == (err == nil) {
			t.Fatalf("got %v, %v", d, err)
		}
		if err != nil {
			return
		}
		if checkName("start", d.Name) != nil || !filepath.IsAbs(string(d.Directory)) {
			t.Errorf("%s was taken: %+v", b, d)
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseState(again)
		if err != nil || !reflect.DeepEqual(normal(*back), normal(*d)) {
			t.Errorf("%+v came back as %+v, %v", d, back, err)
		}
	})
}

// normal: an empty list is none.
func normal(d definition) definition {
	if len(d.Args) == 0 {
		d.Args = nil
	}
	if len(d.Env) == 0 {
		d.Env = nil
	}
	return d
}
