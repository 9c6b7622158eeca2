//go:build linux

package daemonocle_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// waitLate starts a program, and waits for it only when the file L_LATE is
// there, long after its end. It says how it ended.
func waitLate() {
	cmd := exec.Command("/bin/sh", "-c", "exit 7")
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	for testkit.Stat(cmd.Process.Pid).State != 'Z' {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("late: ended")
	for !onDisk(os.Getenv("L_LATE")) {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("late:", cmd.Wait())
}

// beginPID1 starts the program as PID 1 of a PID namespace and waits for its
// worker; worker is its PID outside.
func (s *described) beginPID1(args ...string) (r *running, worker int) {
	s.t.Helper()
	cmd := testkit.InPIDNamespace(s.t, s.helper, args...)
	cmd.Env = append(cmd.Env, s.env...)
	r = s.begin(cmd)
	waitText(s.t, r.out, "worker ")
	if s.setting("L_RUN") != "" {
		return r, cmd.Process.Pid
	}
	for _, pid := range childrenOf(cmd.Process.Pid) {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); strings.HasSuffix(exe, filepath.Base(os.Args[0])) {
			worker = pid
		}
	}
	if worker == 0 {
		s.t.Fatalf("children of PID 1: %v", childrenOf(cmd.Process.Pid))
	}
	return r, worker
}

// stray makes the worker leave an orphan in another session, which PID 1 gets,
// and returns its PID outside.
func (s *described) stray(pid1 int) int {
	s.t.Helper()
	before := childrenOf(pid1)
	s.tell("sh setsid sleep 1000 > /dev/null 2>&1 &")
	var stray int
	testkit.WaitFor(s.t, "the orphan", func() bool {
		for _, pid := range childrenOf(pid1) {
			comm := slurp(fmt.Sprintf("/proc/%d/comm", pid))
			if !slices.Contains(before, pid) && comm == "sleep\n" && testkit.Stat(pid).Session != testkit.Stat(pid1).Session {
				stray = pid
			}
		}
		return stray != 0
	})
	return stray
}

func reaped(pid int) bool { return testkit.Stat(pid).State == 0 }

// endStray ends it; a zombie would be there for ever.
func endStray(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "PID 1 to reap the orphan", func() bool { return reaped(pid) })
}

func TestPID1ReapsOrphansAndNobodyElsesChildren(t *testing.T) {
	testkit.RequireRoot(t)
	s := describe(t, "life", "L_START=late")
	late := filepath.Join(s.side, "late")
	s.env = append(s.env, "L_LATE="+late)
	r, worker := s.beginPID1("start")
	pid1 := r.cmd.Process.Pid
	waitText(t, r.out, "late: ended\n")
	for range 3 {
		endStray(t, s.stray(pid1))
	}
	// The program's own child, which ended before, is still there to be waited for.
	if err := os.WriteFile(late, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	waitText(t, r.out, "late: exit status 7\n")
	// So are the worker's.
	s.tell("sh exit 8")
	waitText(t, r.out, "sh: exit status 8\n")
	if got, want := childrenOf(pid1), []int{worker}; !slices.Equal(got, want) {
		t.Errorf("children of PID 1: %v, want %v", got, want)
	}
	r.signal(syscall.SIGTERM)
	if got := r.wait(); got.code != 0 || !strings.HasSuffix(got.out, childlessLine) {
		t.Errorf("got %+v", got)
	}
}

func TestPID1EndsWithTheWorkersCode(t *testing.T) {
	testkit.RequireRoot(t)
	for command, want := range map[string]int{"return nil": 0, "return exit:42": 42, "kill 9": 128 + 9} {
		s := describe(t, "life")
		r, _ := s.beginPID1("start")
		s.tell("%s", command)
		if got := r.wait(); got.code != want {
			t.Errorf("%s: %+v, want exit code %d", command, got, want)
		}
	}
}

func TestPID1EndsWellOnSIGTERMFromOutside(t *testing.T) {
	testkit.RequireRoot(t)
	s := describe(t, "life")
	r, worker := s.beginPID1("start")
	if got, want := testkit.Stat(worker).PGrp, worker; got != want {
		t.Errorf("worker %d is in group %d", worker, got)
	}
	r.signal(syscall.SIGTERM)
	got := r.wait()
	if got.code != 0 || got.err != "" || !strings.HasPrefix(got.out, startedLine) || !strings.Contains(got.out, forwardedLine(syscall.SIGTERM)) {
		t.Errorf("got %+v", got)
	}
	if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
	if onDisk(s.pid) {
		t.Error("the PID file is still there")
	}
}

func TestPID1PassesSignalsOn(t *testing.T) {
	testkit.RequireRoot(t)
	s := describe(t, "life", "L_HEAR=1")
	r, _ := s.beginPID1("start")
	pass := func(sig syscall.Signal) {
		t.Helper()
		r.signal(sig)
		waitText(t, r.out, "heard "+unix.SignalName(sig)+"\n")
	}
	pass(syscall.SIGUSR1)
	pass(syscall.SIGUSR2)
	if out := slurp(r.out); strings.Contains(out, "cause:") {
		t.Errorf("the worker's context ended: %q", out)
	}
	pass(syscall.SIGHUP) // which reloads it as well
	waitText(t, r.out, reloadedLine)
	waitText(t, r.out, "cause: reloading")
	r.signal(syscall.SIGTERM)
	r.wait()
}

func TestRunAsPID1Reaps(t *testing.T) {
	testkit.RequireRoot(t)
	s := describe(t, "life", "L_RUN=1")
	r, worker := s.beginPID1()
	if text := slurp(s.pid); text != "1\n" {
		t.Errorf("PID file has %q", text)
	}
	for range 3 {
		endStray(t, s.stray(worker))
	}
	s.tell("sh exit 8")
	waitText(t, r.out, "sh: exit status 8\n")
	r.signal(syscall.SIGTERM)
	if got := r.wait(); got.code != 0 || got.err != "" {
		t.Errorf("got %+v", got)
	}
}

// beginAs starts the program with SYSTEMD_EXEC_PID as an expression of the
// shell that the program replaces.
func (s *described) beginAs(expression string) *running {
	s.t.Helper()
	cmd := s.command()
	cmd.Args = []string{"sh", "-c", "SYSTEMD_EXEC_PID=" + expression + ` exec "$0" start`, cmd.Path}
	cmd.Path = "/bin/sh"
	return s.begin(cmd)
}

func TestServiceOfSystemdStaysInItsProcess(t *testing.T) {
	s := describe(t, "life")
	r := s.beginAs("$$")
	waitText(t, r.out, "worker ")
	pid := r.cmd.Process.Pid
	if got := s.daemon(); got != pid {
		t.Errorf("PID file names %d, want %d", got, pid)
	}
	if kids := childrenOf(pid); len(kids) > 0 {
		t.Errorf("it has children: %v", kids)
	}
	r.signal(syscall.SIGTERM)
	want := ending{workerLine(pid) + startedLine + causeLine(syscall.SIGTERM), "", 0}
	if got := r.wait(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}

func TestServiceThatFailsEndsWithItsCode(t *testing.T) {
	s := describe(t, "life")
	r := s.beginAs("$$")
	waitText(t, r.out, "worker ")
	s.tell("return exit:42")
	if got := r.wait(); got.code != 42 {
		t.Errorf("got %+v, want exit code 42", got)
	}

	s = describe(t, "life", "L_PRIV=banana")
	got := s.beginAs("$$").wait()
	if got.code != 1 || !strings.HasSuffix(got.out, "Starting foo ... FAILED\n") || got.err != "ERROR: banana\n" {
		t.Errorf("set-up: got %+v", got)
	}
}

func TestSomebodyElsesVariableDoesNotKeepADaemonAttached(t *testing.T) {
	s := describe(t, "life")
	r := s.beginAs(strconv.Itoa(os.Getpid()))
	if got, want := r.wait(), (ending{startedLine, "", 0}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if pid := s.daemon(); pid == r.cmd.Process.Pid || testkit.Gone(pid) {
		t.Errorf("daemon %d of launcher %d", pid, r.cmd.Process.Pid)
	}
	s.stop()
}

func TestOnASuperServersSocketOnlyTheWorkerSpeaks(t *testing.T) {
	s := describe(t, "life")
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	cmd := s.command("start")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	r := s.begin(cmd)
	theirs.Close()
	s.tell("return nil")
	all, err := io.ReadAll(ours)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(all), workerLine(r.cmd.Process.Pid); got != want {
		t.Errorf("the socket got %q, want %q", got, want)
	}
	if got := r.wait(); got.code != 0 {
		t.Errorf("got %+v", got)
	}
	if got, want := s.hookLog(), "Shutting down normally|0|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}

// A manager whose process finds another daemon must not take its end for the service's.
func TestAlreadyRunningWhereAManagerWaits(t *testing.T) {
	s := describe(t, "life")
	pid := s.start()
	want := ending{"", fmt.Sprintf("WARNING: foo already running with PID %d\n", pid), 1}
	if got := s.beginAs("$$").wait(); got != want {
		t.Errorf("under a service manager: got %+v, want %+v", got, want)
	}
	s.env = append(s.env, "D_FOREGROUND=1")
	if got := s.do("start"); got != want {
		t.Errorf("in the foreground: got %+v, want %+v", got, want)
	}
	s.env = s.env[:len(s.env)-1]
	want.code = 0
	if got := s.do("start"); got != want {
		t.Errorf("detached: got %+v, want %+v", got, want)
	}
	s.stop()
}
