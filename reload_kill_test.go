//go:build linux

package daemonocle_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

// upGated starts the daemon with a barrier for processes that have not come to the
// library yet.
func (s *reloader) upGated() (pid int, early *barrier) {
	s.t.Helper()
	early = s.barrier(s.path("early.gate"))
	s.with("TESTKIT_EARLY=daemon:" + early.path)
	opened := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(early.path, os.O_WRONLY, 0)
		if err == nil {
			err = f.Close()
		}
		opened <- err
	}()
	pid = s.up()
	must(s.t, <-opened)
	s.with("TESTKIT_EARLY=")
	return pid, early
}

// other is the one process beside that.
func (s *reloader) other(pid int) (other int) {
	s.t.Helper()
	var own []int
	defer func() {
		if other == 0 {
			s.t.Logf("processes %v; the one that is known is %d; log %q %q", own, pid, slurp(s.out), slurp(s.err))
		}
	}()
	testkit.WaitFor(s.t, "two processes", func() bool {
		own = s.daemons()
		if len(own) != 2 {
			return false
		}
		other = own[0] + own[1] - pid
		return own[0] == pid || own[1] == pid
	})
	return other
}

// daemons are processes that came from a start.
func (s *reloader) daemons() (pids []int) {
	for _, pid := range s.own() {
		args := slurp("/proc/" + itoa(pid) + "/cmdline")
		if strings.HasSuffix(args, "\x00start\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// phasesOfReload are those in which the old daemon is responsible still.
func phasesOfReload(order string) []string {
	all := []string{"early", "main", "privileged"}
	if order != orders["set up"] {
		all = append(all, "worker")
	}
	return all
}

func TestNewGenerationKilled(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order)
		pid, early := s.upGated()
		for _, phase := range phasesOfReload(order) {
			r, at := s.askHeld(phase, early)
			kill(t, s.other(pid))
			at.open()
			got := r.wait()
			line, _, _ := strings.Cut(got.err, "\n") // "immediately", or after the start window
			if got.out != "Reloading foo ... FAILED\n" || got.code != 1 || !strings.HasPrefix(line, "ERROR: Child exited ") || !strings.Contains(line, "with exit code -9") {
				t.Errorf("%s: got %+v", phase, got)
			}
			s.untouched(t, pid, "")
		}
		s.only(pid)
		s.down()
	})
}

// askHeld asks for a reload, which waits in that phase when it returns. early is the
// barrier of upGated.
func (s *reloader) askHeld(phase string, early *barrier) (asking *running, at *barrier) {
	s.t.Helper()
	at = early
	if phase != "early" {
		at = s.hold(phase)
	}
	asking = s.begin(s.command("reload"))
	if phase != "early" {
		early.reached()
		early.open()
	}
	at.reached()
	s.unplan(phase)
	return asking, at
}

// Until the new one is there, nobody finds the daemon not running.
func TestOldGenerationKilled(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		for _, phase := range append(phasesOfReload(order), "goodbye", "shutdown") {
			t.Run(phase, func(t *testing.T) {
				s := newReloader(t, mode, order)
				pid, early := s.upGated()
				r, at := s.askHeld(phase, early)
				next := s.other(pid)
				kill(t, pid)
				if phase != "early" { // see TestActionsBetweenTheGenerations
					if got := s.do("status"); got.err != "" || !strings.HasPrefix(got.out, "foo -- pid: "+itoa(next)+", ") {
						t.Errorf("meanwhile: %+v", got)
					}
				}
				at.open()
				if got := r.wait(); got != (ending{reloadedLine, "", 0}) {
					t.Errorf("got %+v", got)
				}
				s.only(next)
				s.tell("say here I am")
				out, _ := s.streams()
				waitText(t, out, "here I am\n")
				s.down()
			})
		}
	})
}

// In the order in which the old one goes first it makes sure that there is another.
func TestNewGenerationKilledWhileTheOldOneGoes(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range modes {
		for _, phase := range []string{"goodbye", "shutdown"} {
			t.Run(mode+" "+phase, func(t *testing.T) {
				s := newReloader(t, mode, orders["set up"])
				pid := s.up()
				at := s.hold(phase)
				r := s.begin(s.command("reload"))
				at.reached()
				s.unplan(phase)
				next := s.other(pid)
				kill(t, next)
				r.staysFor(testkit.Settle)
				at.open()
				if got := r.wait(); got != (ending{reloadedLine, "", 0}) {
					t.Errorf("got %+v", got)
				}
				testkit.WaitGone(t, pid)
				s.only(s.await(0))
				s.down()
			})
		}
	}
}

// So it does if the new one is there and says nothing: it may have given up, and be on its way out.
func TestNewGenerationThatDoesNotAnswer(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := newReloader(t, mode, orders["set up"])
			pid := s.up()
			at := s.hold("shutdown")
			r := s.begin(s.command("reload"))
			at.reached()
			s.unplan("shutdown")
			next := s.other(pid)
			testkit.Freeze(t, next)
			at.open()
			testkit.WaitGone(t, next)
			testkit.WaitGone(t, pid)
			if got := r.wait(); got != (ending{reloadedLine, "", 0}) {
				t.Errorf("got %+v", got)
			}
			s.only(s.holder())
			s.down()
		})
	}
}

// Who asks for the end does not wait for another one that does not come up.
func TestStopWhileAnotherSuccessorComesUp(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := newReloader(t, mode, orders["set up"])
			pid, early := s.upGated()
			at := s.hold("shutdown")
			must(t, syscall.Kill(pid, syscall.SIGHUP))
			early.reached()
			early.open()
			at.reached()
			s.unplan("shutdown")
			kill(t, s.other(pid))
			at.open()
			early.reached() // by another one, which stays there
			if s.keeper != nil {
				s.keeper.signal(syscall.SIGTERM)
			} else {
				must(t, syscall.Kill(pid, syscall.SIGTERM))
			}
			testkit.WaitGone(t, pid)
			if s.keeper != nil {
				if got := s.keeper.wait(); got.code != 0 {
					t.Errorf("the keeper: %+v", got)
				}
			}
			testkit.WaitFor(t, "nothing to be left", func() bool { return len(s.processes()) == 0 })
			if onDisk(s.pid) {
				t.Error("the PID file is there still")
			}
		})
	}
}

// After the hand-over the new one's death is the daemon's; the old one ends.
func TestNewGenerationKilledAfterTheHandOver(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := newReloader(t, mode, orders["ready first"])
			pid := s.up()
			at := s.hold("goodbye")
			if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
				t.Errorf("got %+v", r)
			}
			at.reached()
			s.unplan("goodbye")
			kill(t, s.await(pid))
			if r := s.do("status"); r != (ending{"foo -- not running\n", "", 1}) {
				t.Errorf("status: %+v", r)
			}
			at.open()
			testkit.WaitGone(t, pid)
			if s.keeper != nil {
				if got := s.keeper.wait(); got.code != 128+9 || strings.Count(got.out, childlessLine) != 1 {
					t.Errorf("the keeper: %+v", got)
				}
				s.keeper = nil
			}
			next := s.up()
			s.only(next)
			s.down()
		})
	}
}

// Before the new one has come to itself nobody is named, for the number is that of a dead
// process: nobody must take the place then.
func TestActionsBetweenTheGenerations(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s := newReloader(t, "detached", order)
		pid, early := s.upGated()
		must(t, syscall.Kill(pid, syscall.SIGHUP))
		early.reached()
		next := s.other(pid)
		d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: s.pid})
		must(t, err)
		waited := make(chan error, 1)
		go func() { waited <- d.Wait(t.Context()) }()
		time.Sleep(testkit.Settle)
		kill(t, pid)
		var all []*running
		for _, action := range []string{"start", "status", "stop"} {
			all = append(all, s.begin(s.command(action)))
		}
		start, status, stop := all[0].wait(), all[1].wait(), all[2].wait()
		if start != (ending{"", "WARNING: foo already running\n", 0}) {
			t.Errorf("start: %+v", start)
		}
		t.Logf("status: %+v", status)
		if err := <-waited; !errors.Is(err, daemonocle.ErrHeldElsewhere) {
			t.Errorf("wait: %v", err)
		}
		if stop.code != 1 || !strings.HasPrefix(stop.err, "ERROR: foo runs, but its process cannot be named from here\n") {
			t.Errorf("stop: %+v", stop)
		}
		// Who has patience hears more.
		again := s.begin(s.command("status"))
		early.open()
		if got := again.wait(); !strings.HasPrefix(got.out, "foo -- pid: "+itoa(next)+", ") {
			t.Errorf("status: %+v", got)
		}
		s.await(pid)
		s.only(next)
		s.down()
	})
}

// staysFor checks that the command has no answer yet.
func (r *running) staysFor(d time.Duration) {
	r.s.t.Helper()
	select {
	case <-r.done:
		r.s.t.Errorf("it has ended already: %+v", r.wait())
	case <-time.After(d):
	}
}

func TestBothGenerationsKilled(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		for _, phase := range phasesOfReload(order) {
			s := newReloader(t, "detached", order)
			pid, early := s.upGated()
			r, _ := s.askHeld(phase, early)
			next := s.other(pid)
			// The other way round the new one could be the daemon for a moment, and would
			// be told to reload: stopped processes that lose their parent get SIGHUP from
			// the kernel, setpgid(2).
			testkit.Freeze(t, pid)
			kill(t, next)
			kill(t, pid)
			if got := r.wait(); got.code != 1 || got.out != "Reloading foo ... FAILED\n" || got.err != "ERROR: The daemon has ended meanwhile\n" {
				t.Errorf("%s: got %+v", phase, got)
			}
			if r := s.do("status"); r != (ending{"foo -- not running\n", "", 1}) {
				t.Errorf("%s: status: %+v", phase, r)
			}
			s.only(s.up())
			s.down()
		}
	})
}

func itoa(n int) string { return strconv.Itoa(n) }

// A successor that has died before it had the lock takes nothing with it: the daemon can be
// asked, and so can the next generation while the old one is there still.
func TestNewGenerationKilledBeforeItHasTheLock(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := newReloader(t, mode, orders["ready first"])
			pid := s.up()
			ready := s.hold("listening")
			s.plan("doomed", "error x")
			r := s.begin(s.command("reload"))
			ready.reached()
			s.unplan("listening")
			next := s.other(pid)
			testkit.Freeze(t, pid) // or the lock could change hands before the new one is dead
			ready.open()
			testkit.WaitGone(t, next)
			must(t, syscall.Kill(pid, syscall.SIGCONT))
			got := r.wait()
			if got.out != "Reloading foo ... FAILED\n" || got.code != 1 || !strings.Contains(got.err, "did not take over") {
				t.Errorf("got %+v", got)
			}
			s.unplan("doomed")
			s.untouched(t, pid, "")
			at := s.hold("goodbye")
			if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
				t.Errorf("reload: %+v", r)
			}
			at.reached()
			s.unplan("goodbye")
			if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
				t.Errorf("reload while the first one goes: %+v", r)
			}
			at.open()
			testkit.WaitGone(t, pid)
			s.only(s.await(0))
			s.down()
		})
	}
}
