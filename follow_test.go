//go:build linux

package daemonocle_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() {
	helpers["talker"] = func() {
		c := progConfig()
		c.Worker = func(ctx context.Context) error {
			fmt.Println("hello from", os.Getpid())
			if err := daemonocle.Ready(ctx); err != nil {
				return err
			}
			<-ctx.Done()
			fmt.Println("goodbye from", os.Getpid())
			return nil
		}
		d, err := daemonocle.New(c)
		if err != nil {
			panic(err)
		}
		os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
	}
}

// heard collects what is written while it comes.
type heard struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}

// follow shows the daemon's logs until the test ends, which they must do well.
func follow(t *testing.T, show func(context.Context, io.Writer, daemonocle.LogsOptions) error, o daemonocle.LogsOptions) *heard {
	t.Helper()
	h := &heard{}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	o.Follow = true
	go func() { ended <- show(ctx, h, o) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the end of following: %v", err)
		}
	})
	return h
}

// has waits until the text has all of these, in this order.
func (h *heard) has(t *testing.T, parts ...string) {
	t.Helper()
	found := func() bool {
		text := h.String()
		for _, p := range parts {
			_, rest, ok := strings.Cut(text, p)
			if !ok {
				return false
			}
			text = rest
		}
		return true
	}
	testkit.WaitFor(t, fmt.Sprintf("%q", parts), found)
}

// TestLogsMarkStarts: where another process begins to be the daemon there is a line. What
// the one before has said last stands before it, what the next one says behind it.
func TestLogsMarkStarts(t *testing.T) {
	r := newRig(t)
	r.helper = "talker"
	out := filepath.Join(r.dir, "out")
	r.env = append(r.env, "D_STDOUT="+out)
	d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: r.pidFile, StdoutFile: out})
	if err != nil {
		t.Fatal(err)
	}
	appendLine(out, "of old")
	h := follow(t, d.Logs, daemonocle.LogsOptions{})
	h.has(t, "of old\n")
	one := r.start()
	h.has(t, "of old\n", fmt.Sprintf("-- foo started (PID %d) --\nhello from %[1]d\n", one))

	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	h.has(t, fmt.Sprintf("hello from %d\ngoodbye from %[1]d\n", one))
	two := r.start()
	h.has(t, fmt.Sprintf("goodbye from %d\n-- foo started (PID %d) --\nhello from %[2]d\n", one, two))

	if got := r.do("reload"); got.code != 0 {
		t.Fatalf("reload: %v", got)
	}
	three := r.status().PID
	h.has(t, fmt.Sprintf("-- foo reloaded (PID %d) --\n", three))

	if got := r.do("restart"); got.code != 0 {
		t.Fatalf("restart: %v", got)
	}
	four := r.status().PID
	h.has(t, fmt.Sprintf("-- foo started (PID %d) --\n", four))

	must(t, syscall.Kill(four, syscall.SIGKILL)) // its PID file stays
	testkit.WaitFor(t, "the end", func() bool { return !r.status().Running })
	five := r.start()
	h.has(t, fmt.Sprintf("-- foo started (PID %d) --\nhello from %[1]d\n", five))
	if n := strings.Count(h.String(), "-- foo "); n != 5 {
		t.Errorf("%d marks: %s", n, h.String())
	}

	// Who has been running for long is no news.
	again := follow(t, d.Logs, daemonocle.LogsOptions{Lines: 1})
	again.has(t, "\n")
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	again.has(t, fmt.Sprintf("goodbye from %d\n", five))
	if got := again.String(); strings.Contains(got, "--") {
		t.Errorf("got %q", got)
	}
}

// TestLogsOfADaemon: the action is there where there are files to show.
func TestLogsOfADaemon(t *testing.T) {
	r := newRig(t)
	r.helper = "talker"
	if got := r.do("logs"); got.code != 1 || !strings.HasPrefix(got.err, "ERROR: Invalid action \"logs\"\n") {
		t.Errorf("without a file: %v", got)
	}
	if _, err := daemonocle.New(daemonocle.Config{Name: "foo"}); err != nil {
		t.Fatal(err)
	} else if err := r.daemon().Logs(t.Context(), io.Discard, daemonocle.LogsOptions{}); err == nil || daemonocle.ExitCode(err) != 1 {
		t.Errorf("without a file: %v", err)
	}
	out, stderr := filepath.Join(r.dir, "out"), filepath.Join(r.dir, "err")
	r.env = append(r.env, "D_STDOUT="+out, "D_STDERR="+stderr)
	r.expect(r.do("logs"), result{})
	pid := r.start()
	r.expect(r.do("logs"), result{out: fmt.Sprintf("==> stdout <==\nhello from %d\n", pid)})
	appendLine(stderr, "banana")
	r.expect(r.do("logs"), result{out: fmt.Sprintf("==> stdout <==\nhello from %d\n\n==> stderr <==\nbanana\n", pid)})

	c := daemonocle.Config{Name: "foo", PIDFile: r.pidFile, StdoutFile: out, StderrFile: stderr}
	for name, tt := range map[string]struct {
		o    daemonocle.LogsOptions
		want string
	}{
		"stdout":  {daemonocle.LogsOptions{Stdout: true}, fmt.Sprintf("hello from %d\n", pid)},
		"stderr":  {daemonocle.LogsOptions{Stderr: true}, "banana\n"},
		"nothing": {daemonocle.LogsOptions{Lines: -1}, ""},
	} {
		d, err := daemonocle.New(c)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := d.Logs(t.Context(), &got, tt.o); err != nil || got.String() != tt.want {
			t.Errorf("%s: got %q, %v, want %q", name, got.String(), err, tt.want)
		}
	}
	c.StderrFile = out
	d, err := daemonocle.New(c)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := d.Logs(t.Context(), &got, daemonocle.LogsOptions{}); err != nil || got.String() != fmt.Sprintf("hello from %d\n", pid) {
		t.Errorf("one file for both: got %q, %v", got.String(), err)
	}
	if !slices.Contains(d.Actions(), "logs") || slices.Contains(r.daemon().Actions(), "logs") {
		t.Errorf("the actions are %q, and without files %q", d.Actions(), r.daemon().Actions())
	}
}

// TestLogsAreNotReadBehindALinkOfTheServicesUser: root shows nothing that the service's
// user has chosen.
func TestLogsAreNotReadBehindALinkOfTheServicesUser(t *testing.T) {
	who := ordinary(t)
	dir := testkit.TempDir(t)
	secret, srv := filepath.Join(dir, "secret"), filepath.Join(dir, "srv")
	must(t, os.WriteFile(secret, []byte("secret\n"), 0o600), os.Mkdir(srv, 0o755))
	chown(t, int(who.Uid), int(who.Gid), srv)
	log := filepath.Join(srv, "out")
	for name, place := range map[string]func() error{
		"symbolic link": func() error {
			if err := os.Symlink(secret, log); err != nil {
				return err
			}
			return os.Lchown(log, int(who.Uid), int(who.Gid))
		},
		"hard link": func() error { return os.Link(secret, log) },
	} {
		must(t, place())
		d, err := daemonocle.New(daemonocle.Config{Name: "foo", StdoutFile: log, User: fmt.Sprint(who.Uid)})
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := d.Logs(t.Context(), &got, daemonocle.LogsOptions{}); err == nil || !strings.Contains(err.Error(), log) || !strings.Contains(err.Error(), "unable to read log file") || got.Len() > 0 {
			t.Errorf("%s: got %q, %v", name, got.String(), err)
		}
		must(t, os.Remove(log))
	}
}

// TestLogsOfAGroup: the heads name the workers.
func TestLogsOfAGroup(t *testing.T) {
	dir := testkit.TempDir(t)
	g, err := daemonocle.NewGroup(daemonocle.Config{Name: "foo{n}", PIDFile: filepath.Join(dir, "{n}.pid"),
		StdoutFile: filepath.Join(dir, "out{n}"), StderrFile: filepath.Join(dir, "err"),
		Worker: func(context.Context) error { return nil }}, 2)
	if err != nil {
		t.Fatal(err)
	}
	appendLine(filepath.Join(dir, "out0"), "zero")
	appendLine(filepath.Join(dir, "out1"), "one")
	appendLine(filepath.Join(dir, "err"), "banana")
	all := "==> foo0 stdout <==\nzero\n\n==> foo0 stderr, foo1 stderr <==\nbanana\n\n==> foo1 stdout <==\none\n"
	var got bytes.Buffer
	if err := g.Logs(t.Context(), &got, daemonocle.LogsOptions{}); err != nil || got.String() != all {
		t.Errorf("got %q, %v, want %q", got.String(), err, all)
	}
	for _, tt := range []struct {
		out     daemonocle.Output
		options map[string][]string
		want    string
	}{
		{options: nil, want: all},
		{options: map[string][]string{"worker-id": {"1"}, "stdout": {"true"}}, want: "one\n"},
		{options: map[string][]string{"worker-id": {"1"}, "lines": {"0"}}},
		{out: daemonocle.Output{JSON: true}, options: map[string][]string{"stdout": {"true"}}, want: `"output": "one\n"`},
	} {
		got.Reset()
		tt.out.Out = &got
		err := g.Invoke(t.Context(), tt.out, "logs", tt.options)
		if same := got.String() == tt.want || tt.out.JSON && strings.Contains(got.String(), tt.want); err != nil || !same {
			t.Errorf("%v: got %q, %v, want %q", tt.options, got.String(), err, tt.want)
		}
	}
	h := follow(t, g.Logs, daemonocle.LogsOptions{})
	h.has(t, all)
	appendLine(filepath.Join(dir, "out0"), "more")
	h.has(t, "more\n")
	appendLine(filepath.Join(dir, "out1"), "than that")
	h.has(t, "more\n", "than that\n")
}
