package console

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m, nil) }

func env(kv ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(kv); i += 2 {
			if kv[i] == key {
				return kv[i+1]
			}
		}
		return ""
	}
}

// The bytes of every kind of line, with and without colour.
func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name            string
		do              func(c *Console)
		out, err        string
		colOut, colErrs string // "": as without colour
	}{
		{
			name:   "ok",
			do:     func(c *Console) { c.Begin("Starting foo"); c.End(true) },
			out:    "Starting foo ... OK\n",
			colOut: "Starting foo ... \x1b[32mOK\x1b[0m\n",
		},
		{
			name:    "failed, then why",
			do:      func(c *Console) { c.Begin("Starting foo"); c.End(false); c.Error("child exited") },
			out:     "Starting foo ... FAILED\n",
			err:     "ERROR: child exited\n",
			colOut:  "Starting foo ... \x1b[31mFAILED\x1b[0m\n",
			colErrs: "\x1b[31mERROR: child exited\x1b[0m\n",
		},
		{
			name:   "done",
			do:     func(c *Console) { c.Done("Reloading foo", true); c.Done("Reloading foo", false) },
			out:    "Reloading foo ... OK\nReloading foo ... FAILED\n",
			colOut: "Reloading foo ... \x1b[32mOK\x1b[0m\nReloading foo ... \x1b[31mFAILED\x1b[0m\n",
		},
		{
			name:    "warning as it is",
			do:      func(c *Console) { c.Warn("foo is not running") },
			err:     "WARNING: foo is not running\n",
			colErrs: "\x1b[33mWARNING: foo is not running\x1b[0m\n",
		},
		{
			name:    "error of several lines",
			do:      func(c *Console) { c.Error("one\ntwo") },
			err:     "ERROR: one\n  two\n",
			colErrs: "\x1b[31mERROR: one\x1b[0m\n\x1b[31m  two\x1b[0m\n",
		},
		{name: "line", do: func(c *Console) { c.Line("foo -- not running") }, out: "foo -- not running\n"},
		{name: "raw", do: func(c *Console) { c.Raw("\x1b[2Jx"); c.Raw("y\n") }, out: "\x1b[2Jxy\n"},
		{name: "hint", do: func(c *Console) { c.Hint("Run as root.") }, err: "hint: Run as root.\n"},
		{name: "reason", do: func(c *Console) { c.Reason("listen: denied\n") }, err: "reason: listen: denied\n"},
		{name: "empty reason", do: func(c *Console) { c.Reason("") }, err: "reason: \n"},
		{
			name: "reason of several lines",
			do:   func(c *Console) { c.Reason("panic: x\r\n\r\ngoroutine 1\n\tmain.go:1\nERROR: not ours\n\n") },
			err:  "reason: panic: x\n\n  goroutine 1\n  \tmain.go:1\n  ERROR: not ours\n",
		},
		{
			name: "reason without end",
			do:   func(c *Console) { c.Reason(strings.Repeat("x\n", 50)) },
			err:  "reason: x\n" + strings.Repeat("  x\n", 19) + "  (30 more lines)\n",
		},
		{
			name: "one line without end",
			do:   func(c *Console) { c.Reason(strings.Repeat("é", 5000)) },
			err:  "reason: " + strings.Repeat("é", maxRunes) + "...\n",
		},
		{
			name: "stderr",
			do:   func(c *Console) { c.Stderr([]string{"a\tb", "", "c\r"}) },
			err:  "stderr: a\tb\nstderr:\nstderr: c\\r\n",
		},
		{name: "no stderr", do: func(c *Console) { c.Stderr(nil); c.Stderr([]string{"", "\n"}) }},
		{
			name: "stderr in colours, and worse",
			do: func(c *Console) {
				c.Stderr([]string{"\x1b[1;31mred\x1b[0m \x1b]0;title\a \x1b[2J \u009b2J \u202eevil \xff\xfe"})
			},
			err: "stderr: red \\x1b]0;title\\a \\x1b[2J \\u009b2J \\u202eevil \uFFFD\uFFFD\n",
		},
		{
			name: "the last ten of stderr",
			do:   func(c *Console) { c.Stderr(strings.Split("1 2 3 4 5 6 7 8 9 10 11 12", " ")) },
			err:  "stderr: " + strings.Join(strings.Split("3 4 5 6 7 8 9 10 11 12", " "), "\nstderr: ") + "\n",
		},
		{
			name: "lines in a line",
			do:   func(c *Console) { c.Stderr([]string{"a\nERROR: b"}) },
			err:  "stderr: a\nstderr: ERROR: b\n",
		},
		{
			name: "a long line",
			do:   func(c *Console) { c.Stderr([]string{strings.Repeat("x", maxStderrRunes+1)}) },
			err:  "stderr: " + strings.Repeat("x", maxStderrRunes) + "...\n",
		},
		{name: "end without begin", do: func(c *Console) { c.End(true) }},
		{
			name: "an error does not end the line of another stream",
			do:   func(c *Console) { c.Begin("Starting foo"); c.Error("x"); c.End(false) },
			out:  "Starting foo ... FAILED\n", err: "ERROR: x\n",
			colOut: "Starting foo ... \x1b[31mFAILED\x1b[0m\n", colErrs: "\x1b[31mERROR: x\x1b[0m\n",
		},
		{
			name:   "a line in between",
			do:     func(c *Console) { c.Begin("Starting foo"); c.Line("x"); c.Line("y"); c.End(true) },
			out:    "Starting foo ... \nx\ny\nStarting foo ... OK\n",
			colOut: "Starting foo ... \nx\ny\nStarting foo ... \x1b[32mOK\x1b[0m\n",
		},
		{
			name:   "begun twice",
			do:     func(c *Console) { c.Begin("Stopping foo"); c.Begin("Killing foo"); c.End(true); c.End(true) },
			out:    "Stopping foo ... \nKilling foo ... OK\n",
			colOut: "Stopping foo ... \nKilling foo ... \x1b[32mOK\x1b[0m\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, color := range []Color{Never, Always} {
				var out, err bytes.Buffer
				c := New(Options{Out: &out, Err: &err, Color: color})
				tt.do(c)
				wantOut, wantErr := tt.out, tt.err
				if color == Always {
					if tt.colOut != "" {
						wantOut = tt.colOut
					}
					if tt.colErrs != "" {
						wantErr = tt.colErrs
					}
				}
				if out.String() != wantOut || err.String() != wantErr {
					t.Errorf("color %d: got out %q, err %q, want %q, %q", color, &out, &err, wantOut, wantErr)
				}
				if c.Err() != nil {
					t.Errorf("Err: %v", c.Err())
				}
			}
		})
	}
}

// An error behind an open line on the same stream, as after 2>&1.
func TestNothingIsGlued(t *testing.T) {
	const want = "Starting foo ... \nERROR: x\nhint: Y\nStarting foo ... FAILED\n"
	say := func(o Options) {
		c := New(o)
		c.Begin("Starting foo")
		c.Error("x")
		c.Hint("Y")
		c.End(false)
	}
	var b bytes.Buffer
	say(Options{Out: &b, Err: &b})
	if b.String() != want {
		t.Errorf("one buffer: got %q, want %q", &b, want)
	}

	path := filepath.Join(t.TempDir(), "log")
	var files [2]*os.File
	for i := range files {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	say(Options{Out: files[0], Err: files[1]})
	if got, err := os.ReadFile(path); string(got) != want {
		t.Errorf("one file: got %q, %v, want %q", got, err, want)
	}

	// Writers that cannot be compared are not the same, and no panic.
	say(Options{Out: uncomparable{}, Err: uncomparable{}})
}

type uncomparable []int

func (uncomparable) Write(p []byte) (int, error) { return len(p), nil }

func TestColorRule(t *testing.T) {
	for _, tt := range []struct {
		color       Color
		env         string
		plain, term bool
	}{
		{Auto, "TERM=xterm", false, true},
		{Auto, "TERM=dumb", false, false},
		{Auto, "", false, false},
		{Auto, "TERM=xterm CLICOLOR=0", false, false},
		{Auto, "TERM=xterm CLICOLOR=1", false, true},
		{Auto, "TERM=xterm NO_COLOR=1", false, false},
		{Auto, "TERM=xterm NO_COLOR=0", false, false}, // any value, says no-color.org
		{Auto, "TERM=xterm NO_COLOR=", false, true},
		{Auto, "TERM=xterm NO_COLOR=1 CLICOLOR_FORCE=1 FORCE_COLOR=1", false, false},
		{Auto, "CLICOLOR_FORCE=1", true, true},
		{Auto, "CLICOLOR_FORCE=0", false, false},
		{Auto, "TERM=xterm CLICOLOR_FORCE=0", false, true},
		{Auto, "FORCE_COLOR=1 TERM=dumb CLICOLOR=0", true, true},
		{Auto, "FORCE_COLOR=0 TERM=xterm", false, true},
		{Auto, "CLICOLOR_FORCE=0 FORCE_COLOR=3", true, true},
		{Always, "TERM=dumb NO_COLOR=1", true, true},
		{Never, "TERM=xterm CLICOLOR_FORCE=1", false, false},
	} {
		var kv []string
		for f := range strings.FieldsSeq(tt.env) {
			k, v, _ := strings.Cut(f, "=")
			kv = append(kv, k, v)
		}
		if got := colored(tt.color, env(kv...), false); got != tt.plain {
			t.Errorf("%d %q, a file: got %v, want %v", tt.color, tt.env, got, tt.plain)
		}
		if got := colored(tt.color, env(kv...), true); got != tt.term {
			t.Errorf("%d %q, a terminal: got %v, want %v", tt.color, tt.env, got, tt.term)
		}
	}
}

// Each stream decides for itself.
func TestStreamsDiffer(t *testing.T) {
	pty := testkit.Pty(t)
	var file bytes.Buffer
	for _, tt := range []struct {
		out, err io.Writer
		want     string
	}{
		{pty.Slave, &file, "ERROR: x\n"},
		{&file, pty.Slave, "foo ... OK\n"},
	} {
		file.Reset()
		c := New(Options{Out: tt.out, Err: tt.err, Getenv: env("TERM", "xterm")})
		c.Begin("foo")
		c.End(true)
		c.Error("x")
		if file.String() != tt.want {
			t.Errorf("the file got %q, want %q", &file, tt.want)
		}
	}
	const want = "foo ... \x1b[32mOK\x1b[0m\r\n\x1b[31mERROR: x\x1b[0m\r\n"
	if got := pty.Expect(t, "x\x1b[0m\r\n"); got != want {
		t.Errorf("the terminal got %q, want %q", got, want)
	}

	// As the process's real streams are: files, and no environment given.
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	New(Options{Err: pty.Slave}).Warn("plain")
	pty.Expect(t, "\nWARNING: plain\r\n")
}

func TestIndicator(t *testing.T) {
	for _, tt := range []struct {
		name     string
		term     string
		text     string
		cols     int
		do       func(c *Console) // after Begin
		want     string
		onScreen []string // the rows with something on them, at the end
	}{
		{
			name: "quick", do: func(c *Console) { time.Sleep(499 * time.Millisecond); c.End(true) },
			want: "Starting foo ... OK\r\n",
		},
		{
			name: "slow", do: func(c *Console) { time.Sleep(2999 * time.Millisecond); c.End(true) },
			want: "Starting foo ... " +
				"\rStarting foo ... <1s\x1b[K\rStarting foo ... 1s\x1b[K\rStarting foo ... 2s\x1b[K" +
				"\r\x1b[KStarting foo ... OK\r\n",
			onScreen: []string{"Starting foo ... OK"},
		},
		{
			name: "failed", do: func(c *Console) { time.Sleep(600 * time.Millisecond); c.End(false) },
			want:     "Starting foo ... \rStarting foo ... <1s\x1b[K\r\x1b[KStarting foo ... FAILED\r\n",
			onScreen: []string{"Starting foo ... FAILED"},
		},
		{
			name: "a warning in between", do: func(c *Console) {
				time.Sleep(600 * time.Millisecond)
				c.Warn("x")
				time.Sleep(10 * time.Second)
				c.End(true)
			},
			want: "Starting foo ... \rStarting foo ... <1s\x1b[K\r\x1b[KStarting foo ...\r\n" +
				"WARNING: x\r\nStarting foo ... OK\r\n",
			onScreen: []string{"Starting foo ...", "WARNING: x", "Starting foo ... OK"},
		},
		{
			name: "begun again", do: func(c *Console) {
				time.Sleep(600 * time.Millisecond)
				c.Begin("Killing foo")
				time.Sleep(600 * time.Millisecond)
				c.End(true)
			},
			want: "Starting foo ... \rStarting foo ... <1s\x1b[K\r\x1b[KStarting foo ...\r\n" +
				"Killing foo ... \rKilling foo ... <1s\x1b[K\r\x1b[KKilling foo ... OK\r\n",
			onScreen: []string{"Starting foo ...", "Killing foo ... OK"},
		},
		{
			name: "dumb", term: "dumb", do: func(c *Console) { time.Sleep(time.Hour); c.End(true) },
			want: "Starting foo ... OK\r\n",
		},
		{
			name: "just wide enough", cols: 21, do: func(c *Console) { time.Sleep(600 * time.Millisecond); c.End(true) },
			want: "Starting foo ... \rStarting foo ... <1s\x1b[K\r\x1b[KStarting foo ... OK\r\n",
		},
		{
			name: "too narrow", cols: 20, do: func(c *Console) { time.Sleep(600 * time.Millisecond); c.End(true) },
			want: "Starting foo ... OK\r\n",
		},
		{
			name: "unknown width", cols: -1, do: func(c *Console) { time.Sleep(600 * time.Millisecond); c.End(true) },
			want: "Starting foo ... OK\r\n",
		},
		{
			name: "wide letters", text: "日本日本", cols: 16, do: func(c *Console) { time.Sleep(600 * time.Millisecond); c.End(true) },
			want: "日本日本 ... OK\r\n",
		},
		{
			name: "a tab", text: "a\tb", do: func(c *Console) { time.Sleep(600 * time.Millisecond); c.End(true) },
			want: "a\tb ... OK\r\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pty := testkit.Pty(t)
			switch {
			case tt.cols > 0:
				pty.Resize(t, 24, tt.cols)
			case tt.cols < 0:
				pty.Resize(t, 0, 0)
			}
			term, text := "vt100", "Starting foo"
			if tt.term != "" {
				term = tt.term
			}
			if tt.text != "" {
				text = tt.text
			}
			// In the bubble time stands still while anybody has something to
			// do; and it panics if a goroutine is left when it ends.
			synctest.Test(t, func(t *testing.T) {
				c := New(Options{Out: pty.Slave, Err: pty.Slave, Getenv: env("TERM", term), Color: Never})
				c.Begin(text)
				tt.do(c)
				if c.Err() != nil {
					t.Error(c.Err())
				}
			})
			if _, err := pty.Slave.WriteString("."); err != nil {
				t.Fatal(err)
			}
			got := strings.TrimSuffix(pty.Expect(t, "\n."), ".")
			if got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if rows := screen(got); tt.onScreen != nil && strings.Join(rows, "|") != strings.Join(tt.onScreen, "|") {
				t.Errorf("on the screen: got %q, want %q", rows, tt.onScreen)
			}
		})
	}
}

// screen is a terminal that knows what the indicator uses.
func screen(s string) (rows []string) {
	row, col := []rune{}, 0
	for s != "" {
		rest, isErase := strings.CutPrefix(s, erase)
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case isErase:
			row, s = row[:col], rest
			continue
		case r == '\r':
			col = 0
		case r == '\n':
			rows, row, col = append(rows, strings.TrimRight(string(row), " ")), nil, 0
		default:
			row = append(row[:col], append([]rune{r}, row[min(col+1, len(row)):]...)...)
			col++
		}
		s = s[size:]
	}
	return rows
}

// Also with a clock of one's own, and real time for the rest.
func TestIndicatorForReal(t *testing.T) {
	pty := testkit.Pty(t)
	var mu sync.Mutex
	now := time.Unix(0, 0)
	c := New(Options{Out: pty.Slave, Err: pty.Slave, Getenv: env("TERM", "xterm"), Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	c.Begin("Stopping foo")
	mu.Lock()
	now = now.Add(65 * time.Second)
	mu.Unlock()
	pty.Expect(t, "\rStopping foo ... 1m 5s\x1b[K")
	c.End(true)
	if rows := screen(pty.Expect(t, "OK\x1b[0m\r\n")); len(rows) != 1 || rows[0] != "Stopping foo ... \x1b[32mOK\x1b[0m" {
		t.Errorf("on the screen: %q", rows)
	}
}

func TestElapsed(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "<1s", 999 * time.Millisecond: "<1s", time.Second: "1s", 59999 * time.Millisecond: "59s",
		time.Minute: "1m 0s", time.Hour - 1: "59m 59s", time.Hour: "1h 0m", 25*time.Hour + 119*time.Second: "25h 1m",
	} {
		if got := elapsed(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestFirstWriteErrorIsKept(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var out bytes.Buffer
	c := New(Options{Out: &out, Err: w})
	c.Line("a")
	if c.Err() != nil {
		t.Fatalf("got %v before any error", c.Err())
	}
	c.Warn("x")
	first := c.Err()
	if first == nil {
		t.Fatal("no error from a closed pipe")
	}
	w.Close()
	c.Warn("y")
	c.Line("b")
	if c.Err() != first {
		t.Errorf("got %v, want the first, %v", c.Err(), first)
	}
	if out.String() != "a\nb\n" {
		t.Errorf("the other stream got %q", &out)
	}
}

func TestNowhere(t *testing.T) {
	c := New(Options{})
	c.Begin("x")
	c.Warn("y")
	c.End(true)
	if c.Err() != nil {
		t.Error(c.Err())
	}
	var f *os.File
	New(Options{Out: f, Err: f}).Line("x") // an error, not a panic
}

// Lines stay whole, whoever writes, and End leaves no goroutine however it
// meets the indicator.
func TestConcurrent(t *testing.T) {
	pty := testkit.Pty(t)
	c := New(Options{Out: pty.Slave, Err: pty.Slave, Getenv: env("TERM", "xterm"), Color: Never})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				c.Begin("Starting foo")
				c.Warn("careful")
				c.Line("foo -- not running")
				c.End(true)
				_ = c.Err()
			}
		})
	}
	wg.Wait()
	c.End(true)
	c.Line("end of it")
	for _, row := range screen(pty.Expect(t, "end of it\r\n")) {
		switch row {
		case "Starting foo ...", "Starting foo ... OK", "WARNING: careful", "foo -- not running", "end of it":
		default:
			t.Fatalf("on the screen: %q", row)
		}
	}
}

func TestCapitalize(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"unable to setuid":             "Unable to setuid",
		"Already":                      "Already",
		"a":                            "A",
		"can't fork":                   "Can't fork",
		"re-exec: no such file":        "Re-exec: no such file",
		"timeout":                      "Timeout",
		"lock: held":                   "Lock: held",
		"élan":                         "Élan",
		"e\u0301lan":                   "E\u0301lan",
		"ǆ":                            "ǅ",
		"ßharp":                        "ßharp",
		"日本":                           "日本",
		"PID 7 is gone":                "PID 7 is gone",
		"/bin/sh: not found":           "/bin/sh: not found",
		"./x: not found":               "./x: not found",
		"foo.pid: locked":              "foo.pid: locked",
		"fork/exec /x: denied":         "fork/exec /x: denied",
		`"foo" is not a name`:          `"foo" is not a name`,
		"`foo` is not a name":          "`foo` is not a name",
		"'foo' is not a name":          "'foo' is not a name",
		"--debug: unknown":             "--debug: unknown",
		"iOS is not supported":         "iOS is not supported",
		"eth0 is down":                 "eth0 is down",
		"sd_notify failed":             "sd_notify failed",
		"setuid(5): denied":            "setuid(5): denied",
		"user@host: unknown":           "user@host: unknown",
		"x=1 is no setting":            "x=1 is no setting",
		" leading":                     " leading",
		"\xffbad":                      "\xffbad",
		"b\xffad":                      "b\xffad",
		"(operation not permitted)":    "(operation not permitted)",
		"no worker is defined, really": "No worker is defined, really",
	} {
		if got := Capitalize(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzCapitalize(f *testing.F) {
	for _, s := range []string{"", "unable to", "ǆ", "\xff", "ß", "PID 1", "a\u0301", "can't", "ŉ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Capitalize(s)
		if again := Capitalize(got); again != got {
			t.Errorf("%q: %q, and then %q", s, got, again)
		}
		_, a := utf8.DecodeRuneInString(s)
		_, b := utf8.DecodeRuneInString(got)
		if s[a:] != got[b:] {
			t.Errorf("%q: %q has another rest", s, got)
		}
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%q: %q is not UTF-8", s, got)
		}
	})
}

func FuzzStderr(f *testing.F) {
	for _, s := range []string{
		"", "plain", "\x1b[31mred\x1b[m", "\x1b[", "\x1b[1", "\xff\xfe\xed\xa0\x80", "a\rb\r\nc", "\u009b", "\u202e", "\x00",
		strings.Repeat("\x1b[0m", 600), strings.Repeat("\x01", 600), strings.Repeat("a\n", 20), "\u2028ERROR: x", "\uFFFD\U000E0001\U0010FFFF",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b bytes.Buffer
		c := New(Options{Err: &b, Color: Never})
		c.Stderr([]string{s})
		c.Stderr([]string{"x", s, s})
		c.Reason(s)
		c.Error(s)
		got := b.String()
		if !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
		stderr := 0
		for line := range strings.Lines(got) {
			line = strings.TrimSuffix(line, "\n")
			for _, r := range line {
				if r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029') {
					t.Fatalf("%q has %q", line, r)
				}
			}
			// At worst each character is shown as \U0010ffff.
			if n := utf8.RuneCountInString(line); n > 10*maxRunes+20 {
				t.Fatalf("a line of %d characters", n)
			}
			known := line == "" || strings.HasPrefix(line, "  ")
			for _, label := range []string{"stderr:", "reason: ", "ERROR: "} {
				known = known || strings.HasPrefix(line, label)
			}
			if !known {
				t.Fatalf("%q is of no kind", line)
			}
			if strings.HasPrefix(line, "stderr:") {
				stderr++
			}
		}
		if stderr > 2*maxStderrLines {
			t.Fatalf("%d lines of stderr", stderr)
		}
	})
}
