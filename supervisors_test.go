//go:build linux

package daemonocle_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// These tests are with the real programs that start daemons and keep them running.

// tool is the command of another program, not started, in which the daemon's program is
// what it is in s.command. A test without the program, which is in that Debian package, is
// skipped.
func (s *described) tool(debian, name string, args ...string) *exec.Cmd {
	s.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		testkit.Skip(s.t, debian, err.Error())
	}
	cmd := s.command(args...)
	cmd.Path, cmd.Args[0] = path, name
	return cmd
}

// call runs the tool, which must succeed, and gives what it says.
func (s *described) call(debian, name string, args ...string) string {
	s.t.Helper()
	r := s.begin(s.tool(debian, name, args...)).wait()
	if r.code != 0 {
		s.t.Fatalf("%s %q: %+v", name, args, r)
	}
	return r.out
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	must(t, err)
	return path
}

// supervise has the supervisor, of that Debian package, run the daemon in the foreground.
// It says to the run's output how each ended: its exit code and its signal.
func (s *described) supervise(debian, supervisor string) (dir string, r *running) {
	s.t.Helper()
	dir = filepath.Join(s.side, "service")
	must(s.t, os.Mkdir(dir, 0o755))
	for name, text := range map[string]string{
		"run":             "#!/bin/sh\nexport D_FOREGROUND=1\nexec " + self(s.t) + " start\n",
		"finish":          "#!/bin/sh\necho finished $1 $2\n",
		"check":           "#!/bin/sh\nexec " + self(s.t) + " status\n",
		"notification-fd": "3\n",
	} {
		testkit.WriteProgram(s.t, filepath.Join(dir, name), []byte(text))
	}
	return dir, s.begin(s.tool(debian, supervisor, dir))
}

// passed makes the daemon's second generation ready, and waits for the end of the first.
func (s *described) passed(first int) {
	s.t.Helper()
	s.tellGeneration(2, "ready")
	testkit.WaitGone(s.t, first)
	if pid := s.daemon(); pid == first {
		s.t.Errorf("the PID file names the first generation, %d", pid)
	}
}

const passedOn = "Shutting down for reload|0|true\nTerminated by SIGTERM (15)|-15|true\n"

func TestS6(t *testing.T) {
	s := describe(t, "life", "L_QUIET=1", "D_START_WINDOW=1h", "L_NOTIFY_FD=3")
	dir, r := s.supervise("s6", "s6-supervise")
	waitText(t, r.out, "worker ")
	s.call("s6", "s6-svwait", "-u", dir) // the worker can be there before its supervisor says so
	if got := s.call("s6", "s6-svstat", "-o", "up,ready", dir); got != "true false\n" {
		t.Errorf("up and ready: %q", got)
	}
	s.tell("ready")
	s.call("s6", "s6-svwait", "-U", dir)
	if got := s.call("s6", "s6-svstat", "-o", "up,ready", dir); got != "true true\n" {
		t.Errorf("up and ready: %q", got)
	}
	first := s.daemon()
	s.call("s6", "s6-svc", "-h", dir)
	testkit.WaitFor(t, "the second worker", func() bool { return strings.Count(slurp(r.out), "worker ") == 2 })
	s.passed(first)
	s.call("s6", "s6-svc", "-wD", "-d", dir)
	if text := slurp(r.out); strings.Count(text, "finished") != 1 || !strings.HasSuffix(text, "finished 0 0\n") {
		t.Errorf("output %q", text)
	}
	if got := s.hookLog(); got != passedOn {
		t.Errorf("hook got %q", got)
	}
	s.call("s6", "s6-svc", "-x", dir)
	r.wait()
}

func TestS6IsNotToldThatAFailureIsReady(t *testing.T) {
	s := describe(t, "life", "L_PRIV=coconut", "L_NOTIFY_FD=3")
	dir, r := s.supervise("s6", "s6-supervise")
	waitText(t, r.out, "finished 1 0\n")
	waitText(t, r.err, "oconut\n")
	s.call("s6", "s6-svc", "-dx", dir)
	r.wait()
	if text := slurp(r.out); strings.Contains(text, "OK") {
		t.Errorf("output %q", text)
	}
}

func TestRunit(t *testing.T) {
	s := describe(t, "life")
	dir, r := s.supervise("runit", "runsv")
	waitText(t, r.out, "worker ")
	s.call("runit", "sv", "-w", "600", "check", dir)
	first := s.daemon()
	s.call("runit", "sv", "hup", dir)
	waitText(t, r.out, reloadedLine)
	s.passed(first)
	s.call("runit", "sv", "-w", "600", "down", dir)
	if text := slurp(r.out); strings.Count(text, "finished") != 1 || !strings.HasSuffix(text, "finished 0 0\n") {
		t.Errorf("output %q", text)
	}
	if got := s.hookLog(); got != passedOn {
		t.Errorf("hook got %q", got)
	}
	s.call("runit", "sv", "-w", "600", "exit", dir)
	r.wait()
}

// A daemon that somebody else has started is no success of the supervisor's: it tries
// until that has ended.
func TestSupervisorsWaitForADaemonThatRuns(t *testing.T) {
	testkit.Parallel(t)
	for _, tt := range []struct {
		debian, supervisor string
		stop               []string
	}{
		{"s6", "s6-supervise", []string{"s6-svc", "-dx"}},
		{"runit", "runsv", []string{"sv", "-w", "600", "exit"}},
	} {
		t.Run(tt.debian, func(t *testing.T) {
			s := describe(t, "life")
			pid := s.start()
			dir, r := s.supervise(tt.debian, tt.supervisor)
			waitText(t, r.out, "finished 1 0\n")
			waitText(t, r.err, fmt.Sprintf("WARNING: foo already running with PID %d\n", pid))
			s.stop()
			waitText(t, r.out, "worker ")
			waitText(t, r.out, startedLine)
			s.call(tt.debian, tt.stop[0], append(tt.stop[1:], dir)...)
			r.wait()
			if got, want := s.hookLog(), strings.Repeat("Terminated by SIGTERM (15)|-15|true\n", 2); got != want {
				t.Errorf("hook got %q, want %q", got, want)
			}
		})
	}
}

// start-stop-daemon as in Debian's scripts: it waits for READY=1, and knows the keeper.
func TestStartStopDaemonWaitsForReady(t *testing.T) {
	s := describe(t, "life", "D_FOREGROUND=1", "L_QUIET=1", "D_START_WINDOW=1h")
	keeper := filepath.Join(s.side, "keeper.pid")
	ours := []string{"--pidfile", keeper, "--exec", self(t)}
	r := s.begin(s.tool("dpkg", "start-stop-daemon", append(ours, "--start", "--background", "--make-pidfile", "--no-close",
		"--notify-await", "--notify-timeout", "3600", "--", "start")...))
	waitText(t, r.out, "worker ")
	s.tell("note loading")
	waitText(t, r.out, "note:")
	select {
	case <-r.done:
		t.Fatalf("it did not wait: %+v", r.wait())
	default:
	}
	s.tell("ready")
	if got := r.wait(); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	daemon := s.daemon()
	if got := strings.TrimSpace(slurp(keeper)); got != strconv.Itoa(testkit.Stat(daemon).PPID) {
		t.Errorf("it has written %s; the daemon's keeper is %d", got, testkit.Stat(daemon).PPID)
	}
	s.call("dpkg", "start-stop-daemon", append(ours, "--status")...)
	s.call("dpkg", "start-stop-daemon", append(ours, "--stop", "--retry", "TERM/3600")...)
	testkit.WaitGone(t, daemon)
	if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
	if text := slurp(r.out); !strings.HasSuffix(text, childlessLine) {
		t.Errorf("output %q", text)
	}
}

// A start that detaches by itself needs no --background, and its PID file names it.
func TestStartStopDaemon(t *testing.T) {
	s := describe(t, "life")
	ours := []string{"--pidfile", s.pid, "--exec", self(t)}
	start := append(ours, "--start", "--", "start")
	if got := s.call("dpkg", "start-stop-daemon", start...); got != startedLine {
		t.Errorf("output %q", got)
	}
	daemon := s.daemon()
	s.call("dpkg", "start-stop-daemon", append(ours, "--status")...)
	if got := s.begin(s.tool("dpkg", "start-stop-daemon", start...)).wait(); got.code != 1 {
		t.Errorf("a second start: %+v", got)
	}
	s.call("dpkg", "start-stop-daemon", append(ours, "--stop", "--signal", "HUP")...)
	testkit.WaitGone(t, daemon)
	testkit.WaitFor(t, "the second generation", func() bool { return strings.Count(slurp(s.out), "worker ") == 2 && onDisk(s.pid) })
	s.call("dpkg", "start-stop-daemon", append(ours, "--stop", "--retry", "TERM/3600")...)
	if got := s.do("status"); got.code != 1 {
		t.Errorf("status: %+v", got)
	}
	if got := s.hookLog(); got != passedOn {
		t.Errorf("hook got %q", got)
	}

	s.env = append(s.env, "L_PRIV=coconut")
	if got := s.begin(s.tool("dpkg", "start-stop-daemon", start...)).wait(); got.code != 1 || !strings.Contains(got.err, "oconut\n") {
		t.Errorf("a start that fails: %+v", got)
	}
}

// A container's init is not the daemon's keeper: that is the first process after it.
func TestInits(t *testing.T) {
	testkit.Parallel(t)
	testkit.RequireRoot(t)
	for _, init := range []string{"tini", "dumb-init", "catatonit"} {
		t.Run(init, func(t *testing.T) {
			s := describe(t, "life", "container=test")
			path := s.tool(init, init).Path
			r := s.begin(s.tool("util-linux", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", path, "--", self(t), "start"))
			waitText(t, r.out, startedLine)
			waitText(t, r.out, "worker ")
			for _, pid := range childrenOf(r.cmd.Process.Pid) {
				must(t, syscall.Kill(pid, syscall.SIGTERM))
			}
			if got := r.wait(); got.code != 0 || !strings.HasSuffix(got.out, childlessLine) {
				t.Errorf("got %+v", got)
			}
			if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
				t.Errorf("hook got %q, want %q", got, want)
			}
		})
	}
}

// OpenRC's supervise-daemon is known by what it says: the worker runs in its child.
func TestSuperviseDaemon(t *testing.T) {
	testkit.RequireSystemd(t) // it writes to /run/openrc
	s := describe(t, "life", "RC_SVCNAME=foo", "LC_ALL=C")
	must(t, os.MkdirAll("/run/openrc/options", 0o755))
	file, out := filepath.Join(s.side, "supervisor.pid"), filepath.Join(s.side, "supervised")
	s.call("openrc", "supervise-daemon", "foo", "--start", "--pidfile", file, "--stdout", out, "--stderr", out, self(t), "--", "start")
	waitText(t, out, startedLine)
	waitText(t, out, "worker ")
	daemon := s.daemon()
	if got := strings.TrimSpace(slurp(file)); got != strconv.Itoa(testkit.Stat(daemon).PPID) {
		t.Errorf("the supervisor is %s; the daemon's parent is %d", got, testkit.Stat(daemon).PPID)
	}
	s.call("openrc", "supervise-daemon", "foo", "--stop", "--pidfile", file)
	testkit.WaitGone(t, daemon)
	if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}
