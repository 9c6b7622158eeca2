//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// house is a user with directories of his own.
type house struct {
	t   *testing.T
	dir string
}

func newHouse(t *testing.T) *house {
	h := &house{t, testkit.TempDir(t)}
	if err := os.Mkdir(filepath.Join(h.dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) command(args ...string) *exec.Cmd {
	cmd := testkit.Helper(h.t, "daemonocle", args...)
	cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+filepath.Join(h.dir, "state"), "XDG_RUNTIME_DIR="+filepath.Join(h.dir, "run"), "NO_COLOR=1")
	cmd.Dir = h.dir
	return cmd
}

// run gives what the command has written on both streams, and its exit code.
func (h *house) run(args ...string) (string, int) {
	h.t.Helper()
	cmd := h.command(args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (h *house) must(args ...string) string {
	h.t.Helper()
	out, code := h.run(args...)
	if code != 0 {
		h.t.Fatalf("%q: exit code %d: %s", args, code, out)
	}
	return out
}

func (h *house) start(name string, words ...string) {
	h.t.Helper()
	h.t.Cleanup(func() { h.run("stop", "--timeout=0", "--force", name) })
	h.must(append([]string{"start", "--name", name, "--"}, words...)...)
}

func (h *house) log(name, file string) string {
	return filepath.Join(h.dir, "state", "daemonocle", name, file)
}

// buffer collects output while it comes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
}

func TestLogsFollowOverRotation(t *testing.T) {
	h := newHouse(t)
	h.start("talker", "sh", "-c", "echo first; exec sleep 1000")
	log := h.log("talker", "out.log")
	var out buffer
	cmd := h.command("logs", "-f", "--stdout", "talker")
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	want := "first\n"
	expect := func(text string) {
		t.Helper()
		want += text
		testkit.WaitFor(t, fmt.Sprintf("%q, got %q", want, out.String()), func() bool { return out.String() == want })
	}
	expect("")
	appendTo(t, log, "second\n")
	expect("second\n")
	// copytruncate
	if err := os.Truncate(log, 0); err != nil {
		t.Fatal(err)
	}
	appendTo(t, log, "3\n")
	expect("3\n")
	// create: what was written before and after the renaming
	appendTo(t, log, "old\n")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, log, "new\n")
	expect("old\nnew\n")
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	appendTo(t, log, "again\n")
	expect("again\n")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	// The program itself has the first file open.
	got, code := h.run("logs", "--reopen", "talker")
	if code != 1 || !strings.HasPrefix(got, "ERROR: The daemon talker has another file than "+log+" open as its stdout") {
		t.Errorf("got %d, %s", code, got)
	}
	h.must("restart", "talker")
	h.must("logs", "--reopen", "talker")
}

// What a program writes after a rotation with copytruncate is where it should be.
func TestCopytruncate(t *testing.T) {
	h := newHouse(t)
	fifo := filepath.Join(h.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	h.start("echoer", "sh", "-c", `while :; do cat "$0"; done`, fifo)
	log := h.log("echoer", "out.log")
	say := func(text string) {
		appendTo(t, fifo, text)
		testkit.WaitFor(t, text, func() bool { b, _ := os.ReadFile(log); return strings.HasSuffix(string(b), text) })
	}
	say("before\n")
	if err := os.Truncate(log, 0); err != nil {
		t.Fatal(err)
	}
	say("after\n")
	if b, err := os.ReadFile(log); err != nil || string(b) != "after\n" {
		t.Errorf("the log has %q, %v", b, err)
	}
}

// Exactly one of many starts of one name starts something, and what is remembered
// is what runs.
func TestTwoDaemonsOfOneName(t *testing.T) {
	h := newHouse(t)
	t.Cleanup(func() { h.run("stop", "--timeout=0", "--force", "one") })
	const many = 8
	outs := make([]string, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() { outs[i], _ = h.run("start", "--name", "one", "--", "sleep", fmt.Sprint(1000+i)) })
	}
	all.Wait()
	winner := -1
	for i, out := range outs {
		switch {
		case out == "Starting one ... OK\n" && winner < 0:
			winner = i
		case !strings.HasPrefix(out, "WARNING: one already running with PID "):
			t.Errorf("start %d: %s", i, out)
		}
	}
	if winner < 0 {
		t.Fatalf("none was started: %q", outs)
	}
	if got := h.must("show", "one"); !strings.Contains(got, fmt.Sprintf(" -- %s %d\n", lookPath(t, "sleep"), 1000+winner)) {
		t.Errorf("start %d has won, and what is remembered is\n%s", winner, got)
	}
}

func lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFullDisk(t *testing.T) {
	testkit.RequireRoot(t)
	h := newHouse(t)
	state := filepath.Join(h.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=16k"); err != nil {
		testkit.Skip(t, "mount", err.Error())
	}
	t.Cleanup(func() { syscall.Unmount(state, syscall.MNT_DETACH) })
	for i := 0; ; i++ {
		if os.WriteFile(filepath.Join(state, fmt.Sprint("filler", i)), make([]byte, 4096), 0o600) != nil {
			break
		}
	}
	got, code := h.run("start", "--name", "web", "--", "sleep", "1000")
	if code != 1 || !strings.Contains(got, "no space left on device") || !strings.Contains(got, "hint: Nothing was started.") {
		t.Errorf("got %d, %s", code, got)
	}
	if out, _ := h.run("list"); strings.Contains(out, "web") {
		t.Errorf("it is there nevertheless: %s", out)
	}
}

// What would be executed as us must have been written by us.
func TestStateOfSomebodyElse(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	h := newHouse(t)
	h.start("web", "sleep", "1000")
	h.must("stop", "web")
	dir := filepath.Join(h.dir, "state", "daemonocle")
	for _, path := range []string{filepath.Join(dir, "web.json"), dir} {
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"start", "web"}, {"start", "--name", "web", "--", "sleep", "1"}} {
			if path != dir && len(args) > 2 {
				continue // that replaces the file
			}
			got, code := h.run(args...)
			if code != 1 || !strings.Contains(got, path+" belongs to somebody else") {
				t.Errorf("%q of another's %s: got %d, %s", args, filepath.Base(path), code, got)
			}
		}
	}
}

// The view of list --watch comes again until Ctrl-C.
func TestWatch(t *testing.T) {
	h := newHouse(t)
	h.start("web", "sleep", "1000")
	var out buffer
	cmd := h.command("list", "--watch", "--interval", "10ms")
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "two views", func() bool { return strings.Count(out.String(), "\nweb   sleeping ") > 1 })
	h.must("stop", "web")
	testkit.WaitFor(t, "the change", func() bool { return strings.Contains(out.String(), "\nweb   not running ") })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if got := out.String(); !strings.HasPrefix(got, "NAME  STATE ") || strings.Contains(got, "\x1b") {
		t.Errorf("got %q", got)
	}
}

// Programs as they are in the world.
func TestRealPrograms(t *testing.T) {
	need := func(t *testing.T, name string) {
		if _, err := exec.LookPath(name); err != nil {
			testkit.Skip(t, name, err.Error())
		}
	}
	t.Run("redis", func(t *testing.T) {
		need(t, "redis-server")
		h, port := newHouse(t), freePort(t)
		t.Cleanup(func() { h.run("stop", "--timeout=0", "--force", "cache") })
		redis := []string{"--", "redis-server", "--port", port, "--save", ""}
		h.must(append([]string{"start", "--name", "cache", "--ready-port", port}, redis...)...)
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		answer := make([]byte, 5)
		fmt.Fprintf(conn, "PING\r\n")
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "+PONG" {
			t.Errorf("got %q, %v", answer, err)
		}
		h.must("stop", "cache")
		h.must(append([]string{"start", "--name", "cache", "--notify"}, append(redis, "--supervised", "systemd")...)...)
		h.must("stop", "cache")
		got, code := h.run(append([]string{"start", "--name", "cache"}, append(redis, "--daemonize", "yes")...)...)
		if code != 1 || !strings.Contains(got, "reason: it went into the background by itself") {
			t.Errorf("as a daemon of its own: got %d, %s", code, got)
		}
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			t.Error("it still runs")
		}
	})
	t.Run("nginx", func(t *testing.T) {
		need(t, "nginx")
		h, port := newHouse(t), freePort(t)
		t.Cleanup(func() { h.run("stop", "--timeout=0", "--force", "web") })
		conf := filepath.Join(h.dir, "nginx.conf")
		write := func(daemon string) {
			text := fmt.Sprintf("daemon %s; pid %s/nginx.pid; error_log stderr; events {}\nhttp { access_log /dev/stdout; client_body_temp_path %[2]s/b; proxy_temp_path %[2]s/p; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s; server { listen 127.0.0.1:%s; return 200; } }\n", daemon, h.dir, port)
			if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		start := []string{"start", "--name", "web", "--signal", "QUIT", "--ready-port", port, "--", "nginx", "-p", h.dir, "-c", conf}
		write("off")
		h.must(start...)
		before := h.must("status", "web")
		if got := h.must("reload", "web"); !strings.HasPrefix(got, "SIGHUP (1) sent to web (PID ") {
			t.Errorf("reload: %s", got)
		}
		if after := h.must("status", "web"); strings.Fields(before)[3] != strings.Fields(after)[3] {
			t.Errorf("before %s after %s", before, after)
		}
		h.must("stop", "web")
		write("on")
		got, code := h.run(start...)
		if code != 1 || !strings.Contains(got, "reason: it went into the background by itself") {
			t.Errorf("as a daemon of its own: got %d, %s", code, got)
		}
	})
}
