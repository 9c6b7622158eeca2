//go:build linux

package daemonocle_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// What a stopped launcher does not read is in nobody's way: not in the worker's, and not in
// that of a signal.
func TestLauncherIsStoppedWhileTheWorkerSpeaks(t *testing.T) {
	testkit.Parallel(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGCONT} {
		t.Run(sig.String(), func(t *testing.T) {
			s := newSubject(t, "gated")
			ready := s.path("ready")
			s.set("D_WORKER=flood:" + ready)
			at := s.gate("D_GATE_WORKER")
			l := s.begin("start")
			at.reached()
			pid := s.only(l.pid())
			testkit.Freeze(t, l.pid())
			at.open()
			testkit.WaitFor(t, "the worker to have said that it is ready", func() bool { return slurp(ready) != "" })
			if sig != syscall.SIGCONT {
				must(t, syscall.Kill(pid, sig))
				testkit.WaitGone(t, pid) // state Z can be that of the first thread only
			}
			must(t, syscall.Kill(l.pid(), syscall.SIGCONT))
			got := l.wait()
			if sig == syscall.SIGCONT {
				if got != startedFine {
					t.Errorf("got %+v", got)
				}
				s.running(pid)
				s.stop()
			} else if got.code == 0 || !strings.Contains(got.err, "exit code 0") {
				t.Errorf("got %+v", got)
			}
			s.worksAgain()
		})
	}
}

// From the moment in which others can know the daemon's number on, the signals that are for
// it have their effect and no other.
func TestSignalsDuringTheSetUp(t *testing.T) {
	for _, gate := range []string{"D_GATE_PRIVILEGED", "D_GATE_WORKER"} {
		s := newSubject(t, "gated")
		log := s.path("log")
		s.set("D_STDOUT=" + log)
		at := s.gate(gate)
		l := s.begin("start")
		at.reached()
		pid := s.only(l.pid())
		must(t, os.Rename(log, log+".1"))
		must(t, syscall.Kill(pid, syscall.SIGUSR1))
		s.ungated()
		must(t, syscall.Kill(pid, syscall.SIGHUP))
		at.open()
		if got := l.wait(); got != startedFine {
			t.Fatalf("%s: %+v", gate, got)
		}
		testkit.WaitFor(t, "the log file to be opened again", func() bool { return onDisk(log) })
		if gate == "D_GATE_WORKER" { // whose worker begins then; the old one may be at the gate still
			testkit.WaitGone(t, pid)
		}
		at.reached() // by the new process
		at.open()
		testkit.WaitGone(t, pid)
		s.stop()
	}
}

func TestSignalsAsSoonAsTheDaemonCanBeNamed(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for i := range rounds {
		sig := []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1}[i%2]
		s := newSubject(t, "gated")
		if i%4 >= 2 { // in the very moment in which the worker begins
			s.set("D_WORKER=signal:" + fmt.Sprint(int(sig)))
		}
		l := s.begin("start")
		if i%4 < 2 {
			pid := 0
			testkit.WaitFor(t, "the PID file", func() bool {
				n, _ := fmt.Sscan(slurp(s.pidFile()), &pid)
				return n == 1
			})
			must(t, syscall.Kill(pid, sig))
		}
		if got := l.wait(); got != startedFine {
			t.Fatalf("%v: %+v", sig, got)
		}
		if code := s.begin("stop").wait().code; code != 0 {
			t.Fatalf("%v: stop: exit code %d", sig, code)
		}
		s.noProcess()
	}
}
