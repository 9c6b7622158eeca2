//go:build linux

package daemonocle_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

const (
	startedLine   = "Starting foo ... OK\n"
	childlessLine = "All children are gone. Parent is exiting...\n"
)

func forwardedLine(sig syscall.Signal) string {
	return "Received signal " + nameOf(sig) + ". Forwarding to child...\n"
}

// keep starts the daemon in the foreground and waits until its worker works.
func (s *described) keep() (r *running, worker int) {
	s.t.Helper()
	return s.keepAs(s.command("start"))
}

func (s *described) keepAs(cmd *exec.Cmd) (r *running, worker int) {
	s.t.Helper()
	cmd.Env = append(cmd.Env, "D_FOREGROUND=1")
	s.env = append(s.env, "D_FOREGROUND=1")
	r = s.begin(cmd)
	waitText(s.t, r.out, "worker ")
	return r, s.daemon()
}

// keepJob is keep by a shell with job control: somebody can continue the keeper.
func (s *described) keepJob() (r *running, worker int) {
	s.t.Helper()
	cmd := s.command("start")
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	return s.keepAs(cmd)
}

// workerLine is what the worker of lifeProgram says first.
func workerLine(pid int) string {
	return fmt.Sprintf("worker %d: uid %d of foo, args []\n", pid, os.Getuid())
}

func causeLine(sig syscall.Signal) string {
	return "cause: terminated by " + nameOf(sig) + ", of type SignalError: true\n"
}

func TestForegroundOutputIsTheCallers(t *testing.T) {
	s := describe(t, "life")
	r, worker := s.keep()
	s.tell("err to stderr")
	waitText(t, r.err, "to stderr\n")
	r.signal(syscall.SIGTERM)
	want := ending{
		startedLine + workerLine(worker) + forwardedLine(syscall.SIGTERM) + causeLine(syscall.SIGTERM) + childlessLine,
		"to stderr\n", 0,
	}
	got := r.wait()
	// Two processes write: the keeper's word and the worker's answer to the
	// signal may come in either order.
	if swapped := strings.Replace(want.out, forwardedLine(syscall.SIGTERM)+causeLine(syscall.SIGTERM),
		causeLine(syscall.SIGTERM)+forwardedLine(syscall.SIGTERM), 1); got.out == swapped {
		want.out = swapped
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
	if left := tree(t, s.dir); len(left) != 1 {
		t.Errorf("left are %q: log files are for detached daemons", left)
	}
}

// The worker does not run before the line is out, and a signal right after the
// line finds a daemon that handles it.
func TestOKMeansSetUpAndComesBeforeTheWorker(t *testing.T) {
	for range 20 {
		s := describe(t, "life", "D_FOREGROUND=1")
		r := s.begin(s.command("start"))
		waitText(t, r.out, "OK\n")
		r.signal(syscall.SIGTERM)
		got := r.wait()
		if !strings.HasPrefix(got.out, startedLine) || got.code != 0 || got.err != "" {
			t.Fatalf("got %+v", got)
		}
		if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
			t.Fatalf("hook got %q, want %q", got, want)
		}
	}
}

func TestForegroundEndsWithTheWorkersCode(t *testing.T) {
	testkit.Parallel(t)
	for command, want := range map[string]int{
		"return nil":     0,
		"return exit:42": 42,
		"return exit:-9": 128 + 9,
		"return error:x": 1,
		"return panic:x": 2,
		"gopanic x":      2,
		"kill 9":         128 + 9,
	} {
		t.Run(command, func(t *testing.T) {
			s := describe(t, "life")
			r, worker := s.keep()
			s.tell("%s", command)
			got := r.wait()
			if got.code != want {
				t.Errorf("exit code %d, want %d", got.code, want)
			}
			if want := startedLine + workerLine(worker) + childlessLine; got.out != want {
				t.Errorf("stdout %q, want %q", got.out, want)
			}
			if command == "return error:x" && got.err != "ERROR: x\n" {
				t.Errorf("stderr %q, want the error once", got.err)
			}
		})
	}
}

func TestForegroundForwardsSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} {
		s := describe(t, "life")
		r, _ := s.keep()
		r.signal(sig)
		got := r.wait()
		if got.code != 0 || got.err != "" || strings.Count(got.out, forwardedLine(sig)) != 1 || !strings.HasSuffix(got.out, childlessLine) {
			t.Errorf("%v: got %+v", sig, got)
		}
		if got, want := s.hookLog(), fmt.Sprintf("Terminated by %s|%d|true\n", nameOf(sig), -int(sig)); got != want {
			t.Errorf("%v: hook got %q, want %q", sig, got, want)
		}
	}
}

func TestForegroundPassesUserSignalsOn(t *testing.T) {
	s := describe(t, "life", "L_HEAR=1")
	r, _ := s.keep()
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2} {
		r.signal(sig)
		waitText(t, r.out, "heard "+unix.SignalName(sig)+"\n")
	}
	s.stop()
	if got := r.wait(); got.code != 0 || strings.Contains(got.out, "Forwarding") {
		t.Errorf("got %+v", got)
	}
}

func TestWorkerLeadsItsOwnGroupInTheKeepersSession(t *testing.T) {
	s := describe(t, "life")
	r, worker := s.keep()
	keeper := r.cmd.Process.Pid
	got, kept := testkit.Stat(worker), testkit.Stat(keeper)
	if got.PPID != keeper || got.PGrp != worker || got.Session != kept.Session {
		t.Errorf("worker %d is %+v; keeper %d is %+v", worker, got, keeper, kept)
	}
	s.stop()
	r.wait()
}

func TestForegroundIsSeenAndStoppedFromOutside(t *testing.T) {
	s := describe(t, "life")
	r, worker := s.keep()
	if got, want := s.do("status"), fmt.Sprintf("foo -- pid: %d, ", worker); got.code != 0 || !strings.HasPrefix(got.out, want) {
		t.Errorf("status %+v, want %q", got, want)
	}
	want := ending{"", fmt.Sprintf("WARNING: foo already running with PID %d\n", worker), 1} // stdin is no person's
	if got := s.do("start"); got != want {
		t.Errorf("second start %+v, want %+v", got, want)
	}
	s.stop()
	if got := r.wait(); got.code != 0 || got.err != "" || !strings.HasSuffix(got.out, childlessLine) {
		t.Errorf("got %+v", got)
	}
	if onDisk(s.pid) {
		t.Error("the PID file is still there")
	}
}

func TestKeeperStaysUntilTheGroupIsGone(t *testing.T) {
	s := describe(t, "life")
	r, worker := s.keep()
	s.tell("sh sleep 1000 & echo orphan $!")
	var orphan int
	line := waitText(t, r.out, "sh: <nil>")
	if _, err := fmt.Sscanf(line[strings.Index(line, "orphan"):], "orphan %d", &orphan); err != nil {
		t.Fatal(err)
	}
	s.tell("return nil")
	testkit.WaitGone(t, worker)
	select {
	case <-r.done:
		t.Fatalf("the keeper has left %d alone", orphan)
	default:
	}
	if strings.Contains(slurp(r.out), childlessLine) {
		t.Error("the keeper says that all are gone")
	}
	if err := syscall.Kill(orphan, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := r.wait(); got.code != 0 || !strings.HasSuffix(got.out, childlessLine) {
		t.Errorf("got %+v", got)
	}
}

func TestDeathOfTheKeeperIsTheWorkersSIGTERM(t *testing.T) {
	s := describe(t, "life")
	r, worker := s.keep()
	r.signal(syscall.SIGKILL)
	testkit.WaitGone(t, worker)
	if out := slurp(r.out); !strings.Contains(out, causeLine(syscall.SIGTERM)) {
		t.Errorf("worker said %q", out)
	}
	if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
	if onDisk(s.pid) {
		t.Error("the PID file is still there")
	}
}

func TestHangUpIsTheWorkersSIGTERM(t *testing.T) {
	s := describe(t, "life", "D_FOREGROUND=1")
	pty := testkit.Pty(t)
	cmd := s.command("start")
	pty.Attach(cmd)
	r := s.begin(cmd)
	pty.Expect(t, "worker ")
	worker := s.daemon()
	if err := pty.Master.Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.wait(); got.code != 0 {
		t.Errorf("exit code %d, want 0", got.code)
	}
	if !testkit.Gone(worker) {
		t.Error("the worker is alive")
	}
	if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}

func TestCtrlCArrivesOnce(t *testing.T) {
	s := describe(t, "life", "D_FOREGROUND=1", "L_STUBBORN=1", "L_HEAR=1", "TERM=dumb")
	pty := testkit.Pty(t)
	cmd := s.command("start")
	pty.Attach(cmd)
	r := s.begin(cmd)
	pty.Expect(t, "worker ")
	pty.Type(t, "\x03")
	pty.Expect(t, "heard SIGINT")
	pty.Expect(t, "cause: terminated by SIGINT (2)")
	// Commands are read after the signals that came before.
	s.tell("sh sleep %f", testkit.Settle.Seconds())
	pty.Expect(t, "sh: <nil>")
	s.tell("return nil")
	if got := r.wait(); got.code != 0 {
		t.Errorf("exit code %d, want 0", got.code)
	}
	out := pty.Output()
	if strings.Count(out, "heard SIGINT") != 1 || strings.Count(out, "Forwarding to child...") != 1 {
		t.Errorf("the terminal shows %q", out)
	}
	if got, want := s.hookLog(), "Terminated by SIGINT (2)|-2|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}

// The keeper passes on the second Ctrl-C as well: nothing else ends a hook that hangs.
func TestSecondInterruptAtTheKeeperLeavesAHookBehind(t *testing.T) {
	for _, mode := range []string{"foreground", "PID 1"} {
		t.Run(mode, func(t *testing.T) {
			s := describe(t, "life", "L_HOOK=hang")
			begin := s.keep
			if mode == "PID 1" {
				testkit.RequireRoot(t)
				begin = func() (*running, int) { return s.beginPID1("start") }
			}
			r, _ := begin()
			r.signal(syscall.SIGINT)
			waitText(t, r.out, "hook hangs")
			r.signal(syscall.SIGINT)
			got := r.wait()
			if got.code != 0 || strings.Count(got.out, forwardedLine(syscall.SIGINT)) != 2 || !strings.Contains(got.err, "Call the shutdown hook: it ") {
				t.Errorf("got %+v", got)
			}
			if onDisk(s.pid) {
				t.Error("the PID file is still there")
			}
		})
	}
}

// stopAndGoOn has the user of an interactive shell type Ctrl-Z, and then fg. prompts counts those
// of the shell.
func stopAndGoOn(t *testing.T, pty *testkit.PtyPair, prompts func() int, keeper, worker int) {
	t.Helper()
	before := prompts()
	pty.Type(t, "\x1a")
	testkit.WaitFor(t, "keeper and worker to stop", func() bool {
		return testkit.Stat(worker).State == 'T' && testkit.Stat(keeper).State == 'T'
	})
	testkit.WaitFor(t, "the shell to have its terminal back", func() bool { return prompts() > before })
	pty.Type(t, "fg\n")
	testkit.WaitFor(t, "keeper and worker to go on", func() bool {
		return testkit.Stat(worker).State != 'T' && testkit.Stat(keeper).State != 'T'
	})
}

func TestCtrlZStopsAndFgContinuesBoth(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		testkit.Skip(t, "bash", err.Error())
	}
	for _, streams := range []string{"", " </dev/null >output 2>&1"} {
		t.Run("start"+streams, func(t *testing.T) {
			s := describe(t, "life", "D_FOREGROUND=1", "TERM=dumb", "PS1=prompt$ ", "HISTFILE=")
			pty := testkit.Pty(t)
			cmd := s.command()
			self := cmd.Path
			cmd.Path, cmd.Args = bash, []string{"bash", "--norc", "--noprofile", "--noediting", "-i"}
			cmd.Dir = s.side
			pty.Attach(cmd)
			r := s.begin(cmd)
			pty.Expect(t, "prompt$ ")
			prompts := func() int { return strings.Count(pty.Output(), "prompt$ ") }
			expect := func(text string) {
				t.Helper()
				if streams == "" {
					pty.Expect(t, text)
				} else {
					waitText(t, filepath.Join(s.side, "output"), text)
				}
			}

			pty.Type(t, self+" start"+streams+"\n")
			expect("worker ")
			worker := s.daemon()
			keeper := testkit.Stat(worker).PPID
			for round := 1; round <= 2; round++ {
				stopAndGoOn(t, pty, prompts, keeper, worker)
				s.tell("say round %d", round)
				expect(fmt.Sprintf("round %d", round))
			}
			before := prompts()
			pty.Type(t, "\x03")
			expect(strings.TrimSpace(childlessLine))
			testkit.WaitFor(t, "the prompt", func() bool { return prompts() > before })
			pty.Type(t, "echo code=$?\n")
			pty.Expect(t, "code=0")
			pty.Type(t, "exit\n")
			r.wait()
			if got, want := s.hookLog(), "Terminated by SIGINT (2)|-2|true\n"; got != want {
				t.Errorf("hook got %q, want %q", got, want)
			}
		})
	}
}

// As the first process of a terminal, or under a script that is, nobody could say fg: the
// kernel discards SIGTSTP there.
func TestCtrlZWhereNobodyCanSayFgStopsNothing(t *testing.T) {
	for name, script := range map[string]string{"first": `exec "$0" start`, "script": `"$0" start; exit $?`} {
		t.Run(name, func(t *testing.T) {
			s := describe(t, "life", "D_FOREGROUND=1", "TERM=dumb")
			pty := testkit.Pty(t)
			cmd := s.command("start")
			pty.Attach(cmd)
			cmd.Stdout = nil // what a terminal has not shown yet is lost with Ctrl-Z
			cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `trap : INT; ` + script, cmd.Path}
			r := s.begin(cmd)
			waitText(t, r.out, "worker ")
			for round := range 3 {
				pty.Type(t, "\x1a")
				s.tell("say round %d.", round)
				waitText(t, r.out, fmt.Sprintf("round %d.", round))
			}
			pty.Type(t, "\x1a\x03")
			if got := r.wait(); got.code != 0 {
				t.Errorf("got %+v, %s", got, pty.Output())
			}
			if got, want := s.hookLog(), "Terminated by SIGINT (2)|-2|true\n"; got != want {
				t.Errorf("hook got %q, want %q", got, want)
			}
		})
	}
}

// Who stops the daemon need not be there any more when its end is asked for.
func TestStoppedDaemonEndsWhenTheKeeperIsAskedTo(t *testing.T) {
	for _, how := range []string{"SIGTERM", "Ctrl-C", "hang-up"} {
		t.Run(how, func(t *testing.T) {
			s := describe(t, "life", "D_FOREGROUND=1")
			cmd := s.command("start")
			var end func(r *running)
			if how == "SIGTERM" {
				end = func(r *running) { r.signal(syscall.SIGTERM) }
			} else {
				pty := testkit.Pty(t)
				pty.Attach(cmd)
				cmd.Stdout = nil
				end = func(*running) { pty.Type(t, "\x03") }
				if how == "hang-up" {
					end = func(*running) { must(t, pty.Master.Close()) }
				}
			}
			r := s.begin(cmd)
			waitText(t, r.out, "worker ")
			worker := s.daemon()
			must(t, syscall.Kill(worker, syscall.SIGSTOP))
			testkit.WaitFor(t, "the worker to stop", func() bool { return testkit.Stat(worker).State == 'T' })
			end(r)
			if got := r.wait(); got.code != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestReaderThatGoesAwayHurtsNobody(t *testing.T) {
	s := describe(t, "life", "D_FOREGROUND=1")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := s.command("start")
	cmd.Stdout = write
	r := s.begin(cmd)
	write.Close()
	buf := make([]byte, 4096)
	for got := ""; !strings.Contains(got, "worker "); {
		n, err := read.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got += string(buf[:n])
	}
	worker := s.daemon()
	read.Close()
	s.tell("say into the void")
	s.tell("err still here")
	waitText(t, r.err, "still here\n")
	if testkit.Gone(worker) {
		t.Fatal("the worker is gone")
	}
	r.signal(syscall.SIGTERM)
	if got := r.wait(); got.code != 0 {
		t.Errorf("got %+v", got)
	}
	if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}

// A pipeline ends with its first program: at once if that detaches, with the
// worker if not.
func TestPipelineEnds(t *testing.T) {
	for _, foreground := range []string{"", "1"} {
		s := describe(t, "life", "D_FOREGROUND="+foreground)
		copied := filepath.Join(s.side, "copied")
		cmd := s.command()
		cmd.Args = []string{"sh", "-c", fmt.Sprintf("%s start | tee %s", cmd.Path, copied)}
		cmd.Path = "/bin/sh"
		r := s.begin(cmd)
		if foreground != "" {
			waitText(t, copied, "worker ")
			s.stop()
		}
		got := r.wait()
		if got.out != slurp(copied) || !strings.HasPrefix(got.out, startedLine) {
			t.Errorf("got %+v; tee wrote %q", got, slurp(copied))
		}
		if foreground == "" {
			s.stop()
		}
	}
}

func TestForegroundStdin(t *testing.T) {
	testkit.Parallel(t)
	t.Run("terminal", func(t *testing.T) {
		s := describe(t, "life", "D_FOREGROUND=1")
		pty := testkit.Pty(t)
		cmd := s.command("start")
		pty.Attach(cmd)
		r := s.begin(cmd)
		pty.Expect(t, "worker ")
		if worker := s.daemon(); !pointsTo(worker, 0, os.DevNull) || !pointsTo(worker, 1, pty.Name) {
			t.Errorf("descriptors are %v", testkit.FDs(worker))
		}
		s.stop()
		r.wait()
	})
	t.Run("pipe", func(t *testing.T) {
		s := describe(t, "life", "D_FOREGROUND=1")
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer write.Close()
		cmd := s.command("start")
		cmd.Stdin = read
		r := s.begin(cmd)
		want := testkit.FDs(os.Getpid())[int(read.Fd())]
		read.Close()
		waitText(t, r.out, "worker ")
		if got := testkit.FDs(s.daemon())[0]; got != want {
			t.Errorf("stdin is %s, want %s", got, want)
		}
		s.stop()
		r.wait()
	})
}

func TestDebugOptionKeepsTheDaemonInTheForeground(t *testing.T) {
	describe(t, "life").playScene("debug",
		"debug: true",
		"hook: Shutting down normally|0, PID file: true",
		"started: true ready: true gone: true <nil>")
}

// What fails in the foreground is said once, by the keeper.
func TestForegroundSetUpFailureIsShownOnce(t *testing.T) {
	s := describe(t, "life", "D_FOREGROUND=1")
	if err := os.Mkdir(s.pid, 0o755); err != nil {
		t.Fatal(err)
	}
	got := s.do("start")
	if got.code != 1 || strings.Count(got.err, "ERROR: ") != 1 || !strings.Contains(got.err, s.pid+" is a directory") {
		t.Errorf("got %+v", got)
	}
	if pids := s.processes(); len(pids) > 0 {
		t.Errorf("left alive: %v", pids)
	}
}

// The keeper reaps: nothing of a foreground start becomes a zombie that waits
// for PID 1.
func TestKeeperLeavesNoZombie(t *testing.T) {
	s := describe(t, "life")
	r, worker := s.keep()
	keeper := r.cmd.Process.Pid
	if got, want := childrenOf(keeper), []int{worker}; !slices.Equal(got, want) {
		t.Errorf("children of the keeper: %v, want %v", got, want)
	}
	r.signal(syscall.SIGTERM)
	r.wait()
	if onDisk("/proc/" + strconv.Itoa(worker)) {
		t.Errorf("worker is %+v", testkit.Stat(worker))
	}
}
