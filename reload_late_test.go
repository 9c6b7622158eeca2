//go:build linux

package daemonocle_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// A reload that a stop has cut short does not say that the daemon goes on.
func TestReloadCutShortByStop(t *testing.T) {
	s := describe(t, "life", "D_REQUIRE_READY=1", "L_QUIET=1")
	r := s.begin(s.command("start"))
	s.tell("ready")
	if got := r.wait(); got.code != 0 {
		t.Fatalf("start: %+v", got)
	}
	r = s.begin(s.command("reload"))
	testkit.WaitFor(t, "the new worker", func() bool { return strings.Count(slurp(s.out), "worker ") == 2 })
	s.stop()
	want := ending{"Reloading foo ... FAILED\n", "WARNING: foo was told to stop, and is not reloaded\n", 0}
	if got := r.wait(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := s.processes(); len(got) != 0 {
		t.Errorf("processes %v are left", got)
	}
}

// A worker that fails while its successor comes up ends the daemon, whether the end of the
// worker or the successor is first: nobody has promised the successor the place.
func TestWorkerFailsDuringAReload(t *testing.T) {
	for _, first := range []string{"the end", "the successor"} {
		t.Run(first, func(t *testing.T) {
			eachMode(t, func(t *testing.T, mode, order string) {
				s := newReloader(t, mode, order, "D_STOP_TIMEOUT=300ms") // for a successor that does not hear
				pid := s.up()
				shutdown := s.hold("shutdown")
				asking, at := s.begins("reload")
				next := s.other(pid)
				s.tellGeneration(1, "return error:banana")
				shutdown.reached()
				s.unplan("shutdown")
				want := "ERROR: The reload was given up\n"
				if first == "the end" {
					shutdown.open()
				} else {
					want = "ERROR: The daemon is on its way out\n"
					at.open()
				}
				if got := asking.wait(); got != (ending{"Reloading foo ... FAILED\n", want, 1}) {
					t.Errorf("reload: %+v", got)
				}
				testkit.WaitGone(t, next)
				at.open()
				shutdown.open()
				testkit.WaitGone(t, pid)
				if s.keeper != nil {
					if got := s.keeper.wait(); got.code != 1 {
						t.Errorf("the keeper: %+v", got)
					}
				}
				testkit.WaitFor(t, "nothing to be left", func() bool { return len(s.processes()) == 0 })
				if onDisk(s.pid) {
					t.Error("the PID file is there still")
				}
				if _, stderr := s.streams(); !strings.Contains(slurp(stderr), "banana") {
					t.Errorf("stderr has %q", slurp(stderr))
				}
			})
		})
	}
}

// What SIGHUP asks of a process that waits for the end of the old one, it does then.
func TestHangUpBeforeTheTurn(t *testing.T) {
	s := describe(t, "life", "D_REQUIRE_READY=")
	fifo := filepath.Join(s.side, "linger")
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	s.with("L_LINGER=" + fifo)
	first := s.start()
	s.tell("reload")
	waitText(t, s.out, "cause: reloading")
	var second int
	for _, pid := range s.processes() {
		if pid != first {
			second = pid
		}
	}
	if second == 0 {
		t.Fatalf("there is no new process among %v", s.processes())
	}
	if err := syscall.Kill(second, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	testkit.WaitGone(t, first)
	testkit.WaitGone(t, second)
	s.tell("generation")
	waitText(t, s.out, "generation: 3\n")
	if got := slurp(s.err); got != "" {
		t.Errorf("stderr has %q", got)
	}
	s.stop()
}

// begins asks for a reload, whose new process waits when it has read all that it reads
// before it is set up.
func (s *reloader) begins(action string) (asking *running, at *barrier) {
	s.t.Helper()
	at = s.hold("privileged")
	asking = s.begin(s.command(action))
	at.reached()
	s.unplan("privileged")
	return asking, at
}

// What is said while a reload is on its way that somebody else has asked for means another
// one.
func TestHangUpDuringAReload(t *testing.T) {
	testkit.Parallel(t)
	for _, by := range []string{"signal", "worker"} {
		t.Run(by, func(t *testing.T) {
			eachMode(t, func(t *testing.T, mode, order string) {
				s := newReloader(t, mode, order)
				pid := s.up()
				asking, at := s.begins("reload")
				if by == "signal" {
					signalTo(t, pid, syscall.SIGHUP)
				} else {
					s.tell("reload")
				}
				asking.staysFor(testkit.Settle) // and it is heard meanwhile
				at.open()
				if got := asking.wait(); got != (ending{reloadedLine, "", 0}) {
					t.Errorf("got %+v", got)
				}
				out, _ := s.streams()
				testkit.WaitFor(t, "the other reload", func() bool { return strings.Count(slurp(out), "cause: reloading") == 2 })
				testkit.WaitFor(t, "one process to be left", func() bool { return len(s.own()) == 1 })
				if n := s.generation(); n != 3 {
					t.Errorf("it is generation %d", n)
				}
				s.down()
			})
		})
	}
}

// The new process may have read its configuration before the old one was told to read it
// again.
func TestReloadHookDuringAReload(t *testing.T) {
	testkit.Parallel(t)
	for _, by := range []string{"signal", "action"} {
		t.Run(by, func(t *testing.T) {
			eachMode(t, func(t *testing.T, mode, order string) {
				s := newReloader(t, mode, order, "R_RELOAD=1")
				pid := s.up()
				replacing, at := s.begins("replace")
				if by == "signal" {
					signalTo(t, pid, syscall.SIGHUP)
				} else if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
					t.Errorf("reload: %+v", r)
				}
				waitText(t, s.path("reload.log"), fmt.Sprintln(insider(t, pid)))
				at.open()
				if got := replacing.wait(); got.code != 0 {
					t.Errorf("replace: %+v", got)
				}
				testkit.WaitGone(t, pid)
				waitText(t, s.path("reload.log"), fmt.Sprintln(insider(t, s.holder())))
				s.down()
			})
		})
	}
}

// Nor does it know of a rotation of the log files that it has open already.
func TestRotationDuringAReload(t *testing.T) {
	testkit.Parallel(t)
	for _, when := range []string{"set-up", "goodbye"} {
		t.Run(when, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				s := newReloader(t, "detached", order)
				pid := s.up()
				asking, at := s.begins("reload")
				if when == "goodbye" {
					goodbye := s.hold("goodbye")
					at.open()
					goodbye.reached()
					s.unplan("goodbye")
					at = goodbye
				}
				must(t, os.Rename(s.out, s.out+".1"))
				signalTo(t, pid, syscall.SIGUSR1)
				testkit.WaitFor(t, "the new file", func() bool { return onDisk(s.out) })
				at.open()
				if got := asking.wait(); got != (ending{reloadedLine, "", 0}) {
					t.Errorf("got %+v", got)
				}
				testkit.WaitGone(t, pid)
				next := s.holder()
				testkit.WaitFor(t, "the new process to write to the new file", func() bool { return pointsTo(next, 1, s.out) })
				s.tell("say here I am")
				waitText(t, s.out, "here I am\n")
				s.down()
			})
		})
	}
}

// A start whose daemon is replaced before it is known what became of it has not failed.
func TestReloadDuringTheStart(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s := newReloader(t, "detached", order, "D_START_WINDOW=1h", "D_START_TIMEOUT=1h")
		at := s.hold("worker")
		start := s.begin(s.command("start"))
		at.reached()
		s.unplan("worker")
		pid := s.holder()
		signalTo(t, pid, syscall.SIGHUP)
		if got := start.wait(); got != (ending{startedLine, "", 0}) {
			t.Errorf("start: %+v", got)
		}
		at.open()
		testkit.WaitGone(t, pid)
		if n := s.generation(); n != 2 {
			t.Errorf("it is generation %d", n)
		}
		s.only(s.await(0))
		s.down()
	})
}

// What nobody waits for any more when its turn comes is not done: whoever asked has said so. A stopped daemon
// hears of both requests when it goes on.
func TestReloadThatNobodyWaitsFor(t *testing.T) {
	testkit.Parallel(t)
	for _, how := range []string{"process", "hook"} {
		t.Run(how, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				settings := []string{order}
				if how == "hook" {
					settings = append(settings, "R_RELOAD=1")
				}
				s := newReloader(t, "detached", settings...)
				pid := s.up()
				c := s.dialControl()
				c.Close()
				testkit.Freeze(t, pid)
				for range 3 {
					c := s.dialControl()
					if _, err := fmt.Fprintln(c, `"reload"`); err != nil {
						t.Error(err)
					}
					c.Close()
				}
				signalTo(t, pid, syscall.SIGCONT)
				if how == "hook" {
					if got := s.do("reload"); got != (ending{reloadedLine, "", 0}) {
						t.Errorf("reload: %+v", got)
					}
					if got, want := s.log("reload"), fmt.Sprintln(pid); got != want {
						t.Errorf("the hook has written %q, want %q", got, want)
					}
					s.only(pid)
				} else {
					if got := s.do("reload"); got != (ending{reloadedLine, "", 0}) {
						t.Errorf("reload: %+v", got)
					}
					testkit.WaitGone(t, pid)
					if n := s.generation(); n != 2 {
						t.Errorf("it is generation %d", n)
					}
					s.only(s.await(0))
				}
				s.down()
			})
		})
	}
}

// dialControl connects to where the daemon hears who asks it to reload, as soon as it listens.
func (s *reloader) dialControl() (c net.Conn) {
	s.t.Helper()
	testkit.WaitFor(s.t, "the daemon to listen", func() (ok bool) {
		var err error
		c, err = net.Dial("unix", s.controlName())
		return err == nil
	})
	return c
}
