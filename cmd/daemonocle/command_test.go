//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// house is a user with directories of his own.
type house struct {
	t   *testing.T
	dir string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	testkit.Parallel(t) // most of the time it waits for the end of a start's window
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

// awaitLog waits until that is what the daemon has written.
func (h *house) awaitLog(name, text string) {
	h.t.Helper()
	testkit.WaitFor(h.t, fmt.Sprintf("%q from %s", text, name), func() bool {
		b, _ := os.ReadFile(h.log(name, "out.log"))
		return string(b) == text
	})
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
	// The program itself has the first file open, and somebody else has written to the
	// one that has its name.
	got, code := h.run("logs", "--reopen", "talker")
	if want := "ERROR: The daemon talker has another file than " + log + " open as its stdout, and something else has written to what is there\nhint: Restart it.\n"; code != 1 || got != want {
		t.Errorf("got %d, %s", code, got)
	}
	h.must("restart", "talker")
	h.must("logs", "--reopen", "talker")
}

// TestLogsEndOnSignals: also while their reader takes nothing. Only who follows ends well,
// and there a second signal is for that.
func TestLogsEndOnSignals(t *testing.T) {
	h := newHouse(t)
	h.start("talker", "sleep", "1000")
	appendTo(t, h.log("talker", "out.log"), strings.Repeat(strings.Repeat("x", 20_000)+"\n", 20)) // more than a pipe holds
	for _, args := range [][]string{{"logs", "talker"}, {"logs", "-f", "talker"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		cmd := h.command(args...)
		cmd.Stdout = w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if _, err := io.ReadFull(r, make([]byte, 1)); err != nil { // it shows them
			t.Fatal(err)
		}
		testkit.WaitFor(t, fmt.Sprintf("the end of %q", args), func() bool {
			cmd.Process.Signal(syscall.SIGTERM)
			select {
			case err = <-ended:
				return true
			default:
				return false
			}
		})
		well := err == nil && len(args) == 3 // the first came when it was not waiting
		if got := cmd.ProcessState.Sys().(syscall.WaitStatus); !well && got.Signal() != syscall.SIGTERM {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// echoer is a daemon that writes what a FIFO is given.
func (h *house) echoer() (log string, say func(text string)) {
	h.t.Helper()
	fifo := filepath.Join(h.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.start("echoer", "sh", "-c", `while :; do cat "$0"; done`, fifo)
	return h.log("echoer", "out.log"), func(text string) { appendTo(h.t, fifo, text) }
}

// Each line is in one file, whatever was rotated how often, and whoever follows sees
// each once.
func TestReopenAfterRotation(t *testing.T) {
	testkit.Parallel(t)
	for _, how := range []string{"create", "nocreate"} {
		t.Run(how, func(t *testing.T) {
			h := newHouse(t)
			log, say := h.echoer()
			has := func(path, text string) {
				t.Helper()
				var b []byte
				testkit.WaitFor(t, fmt.Sprintf("%q in %s", text, path), func() bool { b, _ = os.ReadFile(path); return string(b) == text })
			}
			if err := os.Chmod(log, 0o640); err != nil {
				t.Fatal(err)
			}
			say("first\n")
			has(log, "first\n")
			for i := range 3 {
				rotated := fmt.Sprint(log, ".", i)
				if err := os.Rename(log, rotated); err != nil {
					t.Fatal(err)
				}
				if how == "create" {
					appendTo(t, log, "")
				}
				say("before\n")
				text := "first\nbefore\n"
				if i > 0 {
					text = fmt.Sprintf("after %d\nbefore\n", i-1)
				}
				has(rotated, text)
				for range 2 { // the other one has nothing to do
					if got := h.must("logs", "--reopen", "echoer"); got != "" {
						t.Errorf("it says %q", got)
					}
				}
				has(log, "")
				say(fmt.Sprintf("after %d\n", i))
				has(log, fmt.Sprintf("after %d\n", i))
				has(rotated, text)
				if info, err := os.Stat(rotated); err != nil || info.Mode().Perm() != 0o640 {
					t.Errorf("the rotated file: %v, %v", info.Mode(), err)
				}
			}
			if got := h.must("logs", "--stdout", "echoer"); got != "after 2\n" {
				t.Errorf("logs shows %q", got)
			}
			names, err := os.ReadDir(filepath.Dir(log))
			if err != nil || len(names) != 5 { // out.log with its three, and err.log
				t.Errorf("the directory has %v, %v", names, err)
			}
		})
	}
}

// What cannot be put back stays as it is, and the command says why.
func TestReopenRefuses(t *testing.T) {
	h := newHouse(t)
	log, _ := h.echoer()
	refuses := func(why string) {
		t.Helper()
		got, code := h.run("logs", "--reopen", "echoer")
		if want := "ERROR: The daemon echoer has another file than " + log + " open as its stdout, and " + why + "\nhint: Restart it.\n"; code != 1 || got != want {
			t.Errorf("got %d, %s, want %s", code, got, want)
		}
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := filepath.Join(h.dir, "elsewhere")
	move(log, elsewhere)
	refuses("that is not in the same directory")
	move(elsewhere, log+".1")
	if err := os.Symlink(elsewhere, log); err != nil {
		t.Fatal(err)
	}
	refuses("what is there is not a regular file")
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(log+".1", elsewhere); err != nil {
		t.Fatal(err)
	}
	refuses("out.log.1 has more than one name")
	if err := os.Remove(log + ".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(elsewhere); err != nil {
		t.Fatal(err)
	}
	refuses("that is not in the same directory")
}

// What a program writes after a rotation with copytruncate is where it should be.
func TestCopytruncate(t *testing.T) {
	h := newHouse(t)
	log, tell := h.echoer()
	say := func(text string) {
		tell(text)
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
		case !strings.HasPrefix(out, "ERROR: The daemon one is running another command (PID "):
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

// What starts a name or forgets it waits for its turn, and looks again then.
func TestTurns(t *testing.T) {
	h := newHouse(t)
	h.start("web", "sleep", "1000")
	h.must("stop", "web")
	dir := filepath.Join(h.dir, "state", "daemonocle")
	for _, tt := range []struct{ action, want string }{
		{"forget", ""},
		{"start", "ERROR: There is no daemon \"web\"\n"},
	} {
		h.must("start", "--name", "web", "--", "sleep", "1000")
		h.must("stop", "web")
		lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.FcntlFlock(lock.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK}); err != nil {
			t.Fatal(err)
		}
		var out buffer
		cmd := h.command(tt.action, "web")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testkit.WaitFor(t, "the wait for the lock", func() bool {
			locks, err := os.ReadFile("/proc/locks")
			return err == nil && regexp.MustCompile(fmt.Sprintf(`-> POSIX .* %d `, cmd.Process.Pid)).Match(locks)
		})
		if err := os.Rename(filepath.Join(dir, "web.json"), filepath.Join(h.dir, "web.json")); err != nil {
			t.Errorf("%s was faster: %v", tt.action, err)
		}
		lock.Close()
		cmd.Wait()
		if got := out.String(); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %q", tt.action, got)
		}
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

// Root may have the home of somebody else, who has made a link there.
func TestStateBehindALinkOfSomebodyElse(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	h := newHouse(t)
	secret, state := filepath.Join(h.dir, "secret"), filepath.Join(h.dir, "state")
	if err := errors.Join(os.Mkdir(secret, 0o755), os.Symlink(secret, state), os.Lchown(state, uid, gid)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"start", "--name", "web", "--", "sleep", "1000"}, {"start", "web"}, {"list"}, {"forget", "web"}} {
		out, code := h.run(args...)
		if code != 1 || args[0] == "start" && !strings.Contains(strings.ToLower(out), "symbolic link "+state+" belongs to user") {
			t.Errorf("%v: got %d, %s", args, code, out)
		}
	}
	if entries, err := os.ReadDir(secret); err != nil || len(entries) > 0 {
		t.Errorf("behind the link there are %v, %v", entries, err)
	}
}

// Another user can have a daemon after he was given its logs.
func TestAnotherUser(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	h := newHouse(t)
	t.Cleanup(func() { h.run("stop", "--timeout=0", "--force", "web") })
	start := func(user string) (string, int) {
		return h.run("start", "--name", "web", "--user", user, "--", "sleep", "1000")
	}
	if got, code := start(fmt.Sprint(uid)); code != 0 {
		t.Fatalf("got %d, %s", code, got)
	}
	h.must("stop", "web")
	logs := h.log("web", "")
	if got, code := start("0"); code != 1 || !strings.Contains(got, "Unable to use directory "+logs+" (it belongs to ") {
		t.Errorf("with the other's logs: got %d, %s", code, got)
	}
	for _, path := range []string{logs, h.log("web", "out.log"), h.log("web", "err.log")} {
		if err := os.Chown(path, 0, gid); err != nil {
			t.Fatal(err)
		}
	}
	if got, code := start("0"); code != 0 {
		t.Errorf("with the logs given to him: got %d, %s", code, got)
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

// A program that goes into the background when it was ready has not stopped: what it
// has left is named, for as long as it is there, and ended with force.
func TestLeftBehind(t *testing.T) {
	h := newHouse(t)
	file := filepath.Join(h.dir, "left")
	read := func() (pids []string) {
		testkit.WaitFor(t, "two numbers in "+file, func() bool {
			b, _ := os.ReadFile(file)
			pids = strings.Fields(string(b))
			return strings.Count(string(b), "\n") == 2
		})
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		return pids
	}
	left := func(name string) (pids []string) {
		t.Helper()
		h.start(name, "sh", "-c", `trap "exit 0" USR1; sleep 1000 & echo $! >left; setsid sh -c 'echo $$ >>left; exec sleep 1000' & wait; sleep 1000`)
		var status struct{ PID int }
		if err := json.Unmarshal([]byte(h.must("status", "--json", name)), &status); err != nil {
			t.Fatal(err)
		}
		pids = read()
		if err := syscall.Kill(status.PID, syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		testkit.WaitGone(t, status.PID)
		slices.SortFunc(pids, func(a, b string) int { return number(t, a) - number(t, b) })
		return pids
	}
	pids := left("web")
	warning := "WARNING: Processes that web has left behind are still running (PID " + strings.Join(pids, ", ") + "; for 0m)\n"
	for range 2 { // the first does not make the second forget
		for _, tt := range []struct {
			args []string
			want string
			code int
		}{
			{[]string{"status", "web"}, warning + "web -- not running\n", 1},
			{[]string{"status", "--json", "web"}, warning + `{"left": [` + strings.Join(pids, ", ") + `], "name": "web", "status": "dead"}` + "\n", 1},
			{[]string{"stop", "web"}, warning + "WARNING: web is not running\n", 0},
		} {
			if got, code := h.run(tt.args...); got != tt.want || code != tt.code {
				t.Errorf("%q: got %d, %q, want %d, %q", tt.args, code, got, tt.code, tt.want)
			}
		}
	}
	if got := h.must("list"); !strings.Contains(got, "web   left behind  "+strings.Join(pids, ",")+" ") {
		t.Errorf("list: %s", got)
	}
	if got := h.must("stop", "--force", "web"); got != warning+"WARNING: They were killed (PID "+strings.Join(pids, ", ")+")\nWARNING: web is not running\n" {
		t.Errorf("stop --force: %q", got)
	}
	for _, pid := range pids {
		testkit.WaitGone(t, number(t, pid))
	}
	if got, _ := h.run("status", "web"); got != "web -- not running\n" {
		t.Errorf("after all: %q", got)
	}

	// They are in nobody's way, and told of once.
	pids = left("web")
	warning = "WARNING: Processes that web has left behind are still running (PID " + strings.Join(pids, ", ") + "; for 0m)\n"
	if got := h.must("restart", "web"); got != warning+"WARNING: web is not running\nStarting web ... OK\n" && got != "WARNING: web is not running\n"+warning+"Starting web ... OK\n" {
		t.Errorf("restart: %q", got)
	}
	for _, pid := range append(pids, read()...) { // the new one's as well
		if err := syscall.Kill(number(t, pid), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

// A start that fails before there is a new daemon does not make anybody forget: what
// was left may be why it has failed.
func TestLeftBehindAndInTheWay(t *testing.T) {
	h := newHouse(t)
	h.start("web", "sh", "-c", "sleep 1000 & echo up; exec sleep 1000")
	h.awaitLog("web", "up\n")
	var status struct{ PID int }
	if err := json.Unmarshal([]byte(h.must("status", "--json", "web")), &status); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(status.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.WaitGone(t, status.PID)
	l, err := net.Listen("unix", filepath.Join(h.dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, code := h.run("start", "--name", "web", "--ready-socket", "sock", "--", "sleep", "1000"); code != 1 || !strings.Contains(got, "answers already") {
		t.Errorf("start: got %d, %s", code, got)
	}
	if got := h.must("stop", "--force", "web"); !strings.Contains(got, "\nWARNING: They were killed (PID ") {
		t.Errorf("stop --force: %q", got)
	}
}

// A stop ends the daemon's own process, and names the others, of which there may be many.
func TestStopNamesWhatIsLeft(t *testing.T) {
	h := newHouse(t)
	up := ""
	start := func() {
		h.start("web", "sh", "-c", "sleep 1000 & sleep 1000 & echo up; wait")
		up += "up\n"
		h.awaitLog("web", up)
	}
	start()
	got := h.must("stop", "web")
	words := regexp.MustCompile(`^Stopping web ... OK\nWARNING: 2 processes of the process group of web are still running \(PID (\d+), (\d+)\)\n$`).FindStringSubmatch(got)
	if words == nil {
		t.Fatalf("got %q", got)
	}
	for _, pid := range words[1:] {
		if err := syscall.Kill(number(t, pid), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	start()
	if got := h.must("stop", "--force", "web"); !strings.Contains(got, "\nWARNING: 2 processes of the process group of web were left and killed (PID ") {
		t.Errorf("with force: %q", got)
	}
}

// Programs as they are in the world.
func TestRealPrograms(t *testing.T) {
	testkit.Parallel(t)
	need := func(t *testing.T, name string) {
		if _, err := exec.LookPath(name); err != nil {
			testkit.Skip(t, name, err.Error())
		}
	}
	t.Run("redis", func(t *testing.T) {
		need(t, "redis-server")
		h, port := newHouse(t), testkit.FreePort(t)
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
		got, code := h.run(append([]string{"start", "--name", "cache", "--ready-line", "never", "--wait", "1h"}, append(redis, "--daemonize", "yes")...)...)
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
		h, port := newHouse(t), testkit.FreePort(t)
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
		var got string
		code := 0
		for range 20 { // it may be slow to go, once it listens
			if got, code = h.run(start...); code != 0 {
				break
			}
			h.run("stop", "--timeout=0", "--force", "web")
		}
		if code != 1 || !strings.Contains(got, "reason: it went into the background by itself") {
			t.Errorf("as a daemon of its own: got %d, %s", code, got)
		}
	})
}

func number(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A start whose launcher is killed goes on. It is not remembered, which is said, and
// leaves nothing that piles up.
func TestKilledLauncher(t *testing.T) {
	h := newHouse(t)
	t.Cleanup(func() { h.run("stop", "--timeout=0", "--force", "slow") })
	for range 2 {
		cmd := h.command("start", "--name", "slow", "--notify", "--", "sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testkit.WaitFor(t, "the daemon", func() bool { _, code := h.run("status", "slow"); return code == 0 })
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		for _, action := range []string{"show", "restart", "forget"} {
			if got, code := h.run(action, "slow"); code != 1 || !strings.HasPrefix(got, "ERROR: Nothing is remembered of slow, which has a PID file\nhint: It was started by") {
				t.Errorf("%s: got %d, %s", action, code, got)
			}
		}
		// It may not have come to its sleep yet.
		if got := h.must("list"); !regexp.MustCompile(`\nslow  [a-z-]+ +\d`).MatchString(got) {
			t.Errorf("list: %s", got)
		}
		h.must("stop", "slow")
	}
	h.start("slow", "sleep", "1000")
	h.must("show", "slow")
	h.must("stop", "slow")
	// Nor one that was told what is remembered already.
	temp := filepath.Join(h.dir, "state", "daemonocle", ".slow.tmp")
	appendTo(t, temp, "left by one that was killed")
	h.must("start", "--name", "slow", "--", "sleep", "1000")
	if files, _ := filepath.Glob(filepath.Join(h.dir, "state", "daemonocle", ".*.tmp")); len(files) > 0 {
		t.Errorf("left: %v", files)
	}
}
