//go:build linux

package daemonocle_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

const reloadedLine = "Reloading foo ... OK\n"

// awaitReload waits until another process than that is the daemon, and returns its PID.
func (s *described) awaitReload(before int) (pid int) {
	s.t.Helper()
	testkit.WaitFor(s.t, "another generation", func() bool {
		pid = s.daemon()
		return pid != before
	})
	return pid
}

// alone checks that the process is the only one of the daemon, and that the actions
// know it.
func (s *described) alone(pid int) {
	s.t.Helper()
	testkit.WaitFor(s.t, "one process to be left", func() bool { return len(s.processes()) == 1 })
	if got := s.processes(); got[0] != pid {
		s.t.Errorf("process %d is left, want %d", got[0], pid)
	}
	if r := s.do("status", "--quiet"); r.code != 2 { // Do takes no options
		s.t.Fatalf("status: %+v", r)
	}
	r := s.do("status")
	if want := fmt.Sprintf("foo -- pid: %d, ", pid); r.code != 0 || !strings.HasPrefix(r.out, want) {
		s.t.Errorf("status: %+v, want process %d", r, pid)
	}
	if r := s.do("start"); r.err != fmt.Sprintf("WARNING: foo already running with PID %d\n", pid) {
		s.t.Errorf("start: %+v", r)
	}
}

var orders = map[string]string{"set up": "D_REQUIRE_READY=", "ready first": "D_REQUIRE_READY=1"}

func (s *described) with(settings ...string) *described {
	s.env = append(s.env, settings...)
	return s
}

// inTurn is for what does, such as on a port.
func inTurn(t *testing.T, f func(t *testing.T, order string)) {
	testkit.Alone(t)
	for name, order := range orders {
		t.Run(name, func(t *testing.T) { f(t, order) })
	}
}

// eachOrder is for what does not meet the other order's anywhere.
func eachOrder(t *testing.T, f func(t *testing.T, order string)) {
	testkit.Parallel(t)
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			testkit.Parallel(t)
			f(t, order)
		})
	}
}

func TestReloadFromWithin(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s := describe(t, "life", order)
		pid := s.start()
		waitText(t, s.out, workerLine(pid))
		for generation := 2; generation < 5; generation++ {
			s.tell("reload")
			next := s.awaitReload(pid)
			testkit.WaitGone(t, pid)
			waitText(t, s.out, workerLine(next))
			s.tell("generation")
			waitText(t, s.out, fmt.Sprintf("generation: %d\n", generation))
			s.alone(next)
			if got, want := s.hookLog(), strings.Repeat("Shutting down for reload|0|true\n", generation-1); got != want {
				t.Errorf("hook got %q, want %q", got, want)
			}
			pid = next
		}
		testkit.WaitFor(t, "the line of each reload", func() bool { return strings.Count(slurp(s.out), reloadedLine) == 3 })
		if got := slurp(s.err); got != "" {
			t.Errorf("stderr has %q", got)
		}
		s.stop()
		if onDisk(s.pid) {
			t.Error("the PID file is there still")
		}
	})
}

func TestReloadBySignal(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s := describe(t, "life", order)
		pid := s.start()
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.alone(s.awaitReload(pid))
		s.stop()
	})
}

func TestReloadByAction(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s := describe(t, "life", order)
		if r := s.do("reload"); r != (ending{"", "ERROR: foo is not running\n", 1}) {
			t.Errorf("got %+v", r)
		}
		pid := s.start()
		for range 3 {
			if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
				t.Fatalf("got %+v; log %q %q", r, slurp(s.out), slurp(s.err))
			}
			next := s.daemon()
			if next == pid {
				t.Fatal("it is the same process")
			}
			s.alone(next)
			pid = next
		}
		s.stop()
	})
}

// A daemon has not ended while an earlier generation has work to finish.
func TestStopWaitsForEarlierGenerations(t *testing.T) {
	s := describe(t, "life", "D_REQUIRE_READY=1")
	fifo := filepath.Join(s.side, "linger")
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	s.with("L_LINGER=" + fifo)
	first := s.start()
	if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
		t.Fatalf("got %+v", r)
	}
	// One between that has no work left does not wait; who comes after it does.
	between := s.daemon()
	if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
		t.Fatalf("got %+v", r)
	}
	testkit.WaitGone(t, between)
	second := s.daemon()
	r := s.begin(s.command("stop"))
	waitText(t, s.hooks, "Terminated by SIGTERM (15)")
	if r := s.do("start"); r.err != fmt.Sprintf("WARNING: foo already running with PID %d\n", second) {
		t.Errorf("start: %+v", r)
	}
	if testkit.Gone(first) || testkit.Gone(second) {
		t.Error("it has ended")
	}
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if r := r.wait(); r != (ending{"Stopping foo ... OK\n", "", 0}) {
		t.Errorf("stop: %+v", r)
	}
	if got := s.processes(); len(got) != 0 {
		t.Errorf("processes %v are left", got)
	}
}
