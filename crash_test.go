//go:build linux

package daemonocle_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// phases of a start, by the gate that holds it up there.
var phases = []struct{ name, gate string }{
	{"before anything", "TESTKIT_EARLY=daemon:"},
	{"in main", "D_GATE_MAIN"},
	{"with the PID file, not set up", "D_GATE_PRIVILEGED"},
	{"not ready", "D_GATE_WORKER"},
}

// worksAgain is what every test here ends with: nothing stands in the way of a
// start, a status and a stop.
func (s *subject) worksAgain() {
	s.t.Helper()
	s.ungated()
	s.running(s.start())
	s.stop()
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.WaitGone(t, pid)
}

func TestDaemonKilledWhileStarting(t *testing.T) {
	testkit.Parallel(t)
	for _, phase := range phases {
		t.Run(phase.name, func(t *testing.T) {
			s := newSubject(t, "gated")
			at := s.gate(phase.gate)
			l := s.begin("start")
			at.reached()
			kill(t, s.only(l.pid()))
			l.want(printed{"Starting foo ... FAILED\n", "ERROR: Child exited immediately with exit code -9\n", 137})
			s.noPIDFile()
			s.worksAgain()
		})
	}
}

func TestDaemonKilledWhileRunning(t *testing.T) {
	s := newSubject(t, "gated")
	kill(t, s.start())
	s.begin("status").want(printed{out: "foo -- not running\n", code: 1})
	s.worksAgain()
}

// That a daemon which was killed runs already is true for as long as the kernel takes to take it
// apart, and would leave whoever starts it with none.
func TestStartBesideADaemonThatEnds(t *testing.T) {
	s := newSubject(t, "gated")
	end := testkit.KillSlowly(t, s.start())
	l := s.begin("start")
	select {
	case err := <-l.done:
		t.Fatalf("it has ended already: %v, %q %q", err, &l.out, &l.err)
	case <-time.After(testkit.Settle):
	}
	end()
	l.want(startedFine)
	s.stop()
	s.worksAgain()
}

// Straight from the crash to the start, with the file as the dead have left it.
func TestStartOverTheFileOfAKilledDaemon(t *testing.T) {
	s := newSubject(t, "gated")
	for range 3 {
		kill(t, s.start())
	}
	s.worksAgain()
}

func TestDaemonKilledWhileEnding(t *testing.T) {
	s := newSubject(t, "gated")
	shutdown := s.gate("D_GATE_SHUTDOWN")
	pid := s.start()
	l := s.begin("stop")
	shutdown.reached()
	s.begin("start").want(alreadyRunning(pid))
	kill(t, pid)
	l.want(printed{out: "Stopping foo ... OK\n"})
	s.noPIDFile()
	s.worksAgain()
}

func TestLauncherKilledDoesNotHurtTheStart(t *testing.T) {
	testkit.Parallel(t)
	stage := struct{ name, gate string }{"stage", "TESTKIT_EARLY=stage:"}
	for _, phase := range append([]struct{ name, gate string }{stage}, phases...) {
		t.Run(phase.name, func(t *testing.T) {
			s := newSubject(t, "gated")
			at, ready := s.gate(phase.gate), s.gate("D_GATE_READY")
			l := s.begin("start")
			at.reached()
			l.signal(syscall.SIGKILL)
			l.wait()
			at.open()
			ready.reached() // so it has also written to its stderr
			pid := s.only()
			s.running(pid)
			s.begin("start").want(alreadyRunning(pid))
			ready.open()
			s.stop()
			s.worksAgain()
		})
	}
}

func TestStageKilled(t *testing.T) {
	s := newSubject(t, "gated")
	stage := s.gate("TESTKIT_EARLY=stage:")
	l := s.begin("start")
	stage.reached()
	kill(t, s.only(l.pid()))
	got := l.wait()
	if got.out != "Starting foo ... FAILED\n" || got.err != "ERROR: The process that was to start the daemon was killed\n" || got.code != 1 {
		t.Errorf("got %+v", got)
	}
	s.nothingLeft()
	s.worksAgain()
}

// Ctrl-C ends the stage as well while that is in the terminal's session; here the launcher is told of
// nothing else.
func TestStageEndedByTheTerminal(t *testing.T) {
	testkit.Parallel(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			s := newSubject(t, "gated")
			stage := s.gate("TESTKIT_EARLY=stage:")
			l := s.begin("start")
			stage.reached()
			pid := s.only(l.pid())
			signal(t, pid, sig)
			l.want(printed{"Starting foo ... FAILED\n", "ERROR: Start was cancelled\n", 130})
			s.nothingLeft()
			s.worksAgain()
		})
	}
}

// At whatever instant of its short life the stage is killed: either the daemon
// runs and is reported, or nothing does and the start has failed.
func TestStageKilledAtAnyInstant(t *testing.T) {
	s := newSubject(t, "gated")
	stage := s.gate("TESTKIT_EARLY=stage:")
	rounds, hits := 30, 0
	if testing.Short() {
		rounds = 5
	}
	for round := 0; round < rounds || hits == 0; round++ { // it may be through before this process goes on
		l := s.begin("start")
		stage.reached()
		p := testkit.Pin(t, s.only(l.pid()))
		stage.open()
		for end := time.Now().Add(time.Duration(round%10) * 200 * time.Microsecond); time.Now().Before(end); {
		}
		if !p.Gone() {
			hits++
		}
		p.Kill(t)
		switch got := l.wait(); {
		case got == startedFine:
			s.running(s.daemon())
			s.stop()
		case got.out == "Starting foo ... FAILED\n" && got.code != 0 && strings.HasPrefix(got.err, "ERROR: "):
			s.noProcess()
			s.noPIDFile()
		default:
			t.Fatalf("got %+v", got)
		}
	}
	t.Logf("killed %d stages", hits)
	s.worksAgain()
}

// killStage kills the launcher's child that leads a session, if it is there still. The
// launcher lives, and waits for it.
func killStage(t *testing.T, launcher int) {
	t.Helper()
	for _, pid := range childrenOf(launcher) {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if st := testkit.Stat(pid); st.PPID == launcher && st.Session == pid {
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
	}
}

// All of them at once, as when the machine's memory is gone.
func TestAllKilledWhileStarting(t *testing.T) {
	testkit.Parallel(t)
	for _, phase := range phases {
		t.Run(phase.name, func(t *testing.T) {
			s := newSubject(t, "gated")
			at := s.gate(phase.gate)
			l := s.begin("start")
			at.reached()
			pids := s.processes()
			if !slices.Contains(pids, l.pid()) {
				t.Fatalf("the launcher %d is not among %v", l.pid(), pids)
			}
			for _, pid := range pids {
				syscall.Kill(pid, syscall.SIGKILL)
			}
			l.wait()
			testkit.WaitFor(t, "all to be gone", func() bool { return len(s.processes()) == 0 })
			s.worksAgain()
		})
	}
}
