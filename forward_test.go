//go:build linux

package daemonocle_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	ossignal "os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() { helpers["busy"] = busyKeeper }

// hearing is a shell's command to say each signal that it gets, by its number.
const hearing = `for s in $(seq 1 64); do [ $s = 17 ] || trap "echo got $s." $s 2>/dev/null; done; `

func requireBash(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		testkit.Skip(t, "bash", err.Error())
	}
}

// As PID 1 the keeper takes nothing for itself that is meant for the service.
func TestPID1PassesEverySignalOn(t *testing.T) {
	testkit.RequireRoot(t)
	requireBash(t)
	s := foreign(t, program("bash", "-c", "sleep 1000000 & "+hearing+"echo worker up; while :; do wait; done"))
	cmd := testkit.InPIDNamespace(t, s.helper, "start")
	cmd.Env = append(cmd.Env, s.env...)
	r := s.begin(cmd)
	waitText(t, r.out, "worker up\n")
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGPIPE, syscall.SIGTTIN, syscall.SIGTTOU,
			syscall.SIGTSTP, syscall.SIGPROF, syscall.SIGURG, 32, 33, 34:
			if sig != syscall.SIGKILL && sig != syscall.SIGSTOP {
				r.signal(sig)
			}
		default:
			r.signal(sig)
			waitText(t, r.out, fmt.Sprintf("got %d.\n", sig))
		}
	}
	for _, sig := range []int{13, 17, 20, 21, 22, 23, 27, 32, 33, 34} {
		if got := fmt.Sprintf("got %d.\n", sig); strings.Contains(slurp(r.out), got) {
			t.Errorf("the service %s", got)
		}
	}
	r.signal(syscall.SIGKILL)
	<-r.done
}

// busyKeeper is a program in the foreground whose keeper computes, so that Go's
// scheduler interrupts it by signals. It says when it has done so often enough.
func busyKeeper() {
	d, err := daemonocle.New(daemonocle.Config{
		Name: "foo", PIDFile: os.Getenv("D_PIDFILE"), Foreground: true,
		Worker: daemonocle.Exec("bash", "-c", "sleep 1000000 & "+hearing+"trap 'kill $!; exit 0' TERM; echo worker up; while :; do wait; done"),
		Hooks: daemonocle.Hooks{Start: func(context.Context, daemonocle.StartInfo) error {
			urgent := make(chan os.Signal, 1)
			ossignal.Notify(urgent, syscall.SIGURG)
			go func() {
				for range 40 {
					<-urgent
				}
				fmt.Println("busy enough")
			}()
			for range 2 {
				go func() {
					for {
						work.Add(1)
					}
				}()
			}
			return nil
		}},
	})
	if err != nil {
		panic(err)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), "start")))
}

var work atomic.Int64

func TestBusyKeeperSendsNothingOfItsOwn(t *testing.T) {
	requireBash(t)
	s := describe(t, "busy")
	r := s.begin(s.command())
	waitText(t, r.out, "worker up\n")
	waitText(t, r.out, "busy enough\n")
	r.signal(syscall.SIGUSR1) // the keeper passes on in the order in which it hears
	out := waitText(t, r.out, "got 10.\n")
	if strings.Count(out, "got ") != 1 {
		t.Errorf("the worker got more than what was sent: %q", out)
	}
	r.signal(syscall.SIGTERM)
	if got := r.wait(); got.code != 0 {
		t.Errorf("got %+v", got)
	}
}

// What the daemon has left in its group keeps the keeper, and gets what later asks
// for an end.
func TestLaterSIGTERMIsForWhatTheDaemonHasLeft(t *testing.T) {
	testkit.Parallel(t)
	for name, helper := range map[string]string{
		"gentle":   `trap "echo helper heard TERM; exit" TERM; echo helper up; while :; do sleep 0.01; done`,
		"stubborn": `trap "echo helper ignores TERM" TERM; echo helper up; while :; do sleep 0.01; done`,
	} {
		t.Run(name, func(t *testing.T) {
			s := describe(t, "life", "D_STOP_TIMEOUT=1ns")
			if name == "gentle" {
				s.env = append(s.env, "D_STOP_TIMEOUT=1h")
			}
			r, worker := s.keep()
			s.tell("sh (%s) 2>/dev/null &", helper)
			waitText(t, r.out, "helper up\n")
			s.tell("return nil")
			testkit.WaitGone(t, worker)
			r.signal(syscall.SIGTERM)
			got := r.wait()
			if got.code != 0 || got.err != "" || !strings.HasSuffix(got.out, childlessLine) || !strings.Contains(got.out, forwardedLine(syscall.SIGTERM)) {
				t.Errorf("got %+v", got)
			}
			if name == "gentle" && !strings.Contains(got.out, "helper heard TERM\n") {
				t.Errorf("the helper did not hear of it: %q", got.out)
			}
		})
	}
}

// When the terminal has gone, nobody asks a second time.
func TestHangUpEndsWhatTheDaemonHasLeft(t *testing.T) {
	for name, helper := range map[string]string{
		"stopped":  `echo "helper $$."; kill -STOP $$; :`,
		"stubborn": `trap "" HUP TERM; echo "helper $$."; while :; do sleep 0.01; done`,
	} {
		t.Run(name, func(t *testing.T) {
			timeout := map[string]string{"stopped": "1h", "stubborn": "1ns"}[name]
			s := describe(t, "life", "D_FOREGROUND=1", "D_STOP_TIMEOUT="+timeout)
			pty := testkit.Pty(t)
			cmd := s.command("start")
			pty.Attach(cmd)
			cmd.Stdout = nil
			r := s.begin(cmd)
			waitText(t, r.out, "worker ")
			s.tell("sh sh -c '%s' &", helper)
			out := waitText(t, r.out, ".\n")
			var left int
			if _, err := fmt.Sscanf(out[strings.Index(out, "helper "):], "helper %d.", &left); err != nil {
				t.Fatal(err)
			}
			if name == "stopped" {
				testkit.WaitFor(t, "the helper to stop", func() bool { return testkit.Stat(left).State == 'T' })
			}
			must(t, pty.Master.Close())
			if got := r.wait(); got.code != 0 {
				t.Errorf("got %+v", got)
			}
			if !testkit.Gone(left) {
				t.Error("the helper is alive")
			}
		})
	}
}

// Without a controlling terminal nobody's terminal has gone: SIGHUP is a message, as
// supervisors send it.
func TestHangUpWithoutATerminalIsPassedOn(t *testing.T) {
	s := describe(t, "life", "L_HEAR=1", "D_FOREGROUND=1")
	cmd := s.command("start")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r := s.begin(cmd)
	waitText(t, r.out, "worker ")
	r.signal(syscall.SIGHUP)
	waitText(t, r.out, "heard SIGHUP\n")
	waitText(t, r.out, reloadedLine)
	waitText(t, r.out, "cause: reloading")
	r.signal(syscall.SIGTERM)
	if got := r.wait(); got.code != 0 {
		t.Errorf("got %+v", got)
	}
}

// One that has a terminal gets SIGTERM, also where the terminal is none of its streams.
func TestHangUpOfATerminalThatIsNoStreamIsSIGTERM(t *testing.T) {
	s := describe(t, "life", "D_FOREGROUND=1")
	pty := testkit.Pty(t)
	cmd := s.command("start")
	pty.Attach(cmd)
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `exec "$0" start </dev/null >"$1" 2>&1`, cmd.Path, s.side + "/output"}
	r := s.begin(cmd)
	waitText(t, s.side+"/output", "worker ")
	worker := s.daemon()
	if err := pty.Master.Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.wait(); got.code != 0 {
		t.Errorf("got %+v", got)
	}
	if !testkit.Gone(worker) {
		t.Error("worker " + strconv.Itoa(worker) + " is alive")
	}
	if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}
