//go:build linux

package daemonocle_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

// Whatever the phase, a signal to the keeper ends the daemon and all that a reload has
// begun.
func TestKeeperIsSignalledDuringReload(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range []string{"foreground", "PID 1"} {
		t.Run(mode, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				for _, phase := range append(phasesOfReload(order), "goodbye", "shutdown") {
					for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
						t.Run(fmt.Sprint(phase, " ", sig), func(t *testing.T) {
							s := newReloader(t, mode, order)
							pid, early := s.upGated()
							at := early
							if phase != "early" {
								at = s.hold(phase)
							}
							must(t, syscall.Kill(pid, syscall.SIGHUP))
							if phase != "early" {
								early.reached()
								early.open()
							}
							at.reached()
							s.unplan(phase)
							s.keeper.signal(sig)
							waitText(t, s.keeper.out, forwardedLine(sig))
							at.open()
							got := s.keeper.wait()
							if got.code != 0 || strings.Count(got.out, childlessLine) != 1 || strings.Count(got.out, forwardedLine(sig)) != 1 {
								t.Errorf("got %+v", got)
							}
							testkit.WaitFor(t, "nothing to be left", func() bool { return len(s.processes()) == 0 })
							if onDisk(s.pid) {
								t.Error("the PID file is there still")
							}
						})
					}
				}
			})
		})
	}
}

// awaitIdle waits until the process has done all that a signal makes it do: none is on its
// way, and every thread sleeps. One that has ended has.
func awaitIdle(t *testing.T, pid int) {
	t.Helper()
	testkit.WaitFor(t, "the process to have nothing to do", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		for _, path := range threads {
			text := slurp(path)
			if !strings.Contains(text, "\nState:\tS") || !quiet.MatchString(text) {
				return testkit.Gone(pid)
			}
		}
		return true
	})
}

var quiet = regexp.MustCompile(`\nSigPnd:\t0+\nShdPnd:\t0+\n`)

// A signal to the new process is for that alone as long as the old one is the daemon, and
// does not count on it.
func TestNewGenerationIsSignalledBeforeItsTurn(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order)
		pid := s.up()
		phases := []string{"privileged"}
		if order != orders["set up"] {
			phases = append(phases, "worker")
		}
		for _, phase := range phases {
			at := s.hold(phase)
			asking := s.begin(s.command("reload"))
			at.reached()
			s.unplan(phase)
			// It ends by it at once, or when it hears of it: on a busy machine its handlers
			// may not be there yet.
			next := s.other(pid)
			signalTo(t, next, syscall.SIGTERM)
			awaitIdle(t, next)
			at.open()
			if got := asking.wait(); got.code != 1 || got.out != "Reloading foo ... FAILED\n" {
				t.Errorf("%s: %+v", phase, got)
			}
			s.untouched(t, pid, "")
		}
		s.only(pid)
		s.down()
	})
}

func TestKeeperEndsWithTheLastGenerationsCode(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range []string{"foreground", "PID 1"} {
		t.Run(mode, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				for command, want := range map[string]int{"return nil": 0, "return exit:42": 42, "kill 9": 128 + 9, "return panic:x": 2} {
					s := newReloader(t, mode, order)
					pid := s.up()
					for range 2 {
						if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
							t.Fatalf("reload: %+v", r)
						}
						testkit.WaitGone(t, pid)
						pid = s.holder()
					}
					if n := s.generation(); n != 3 {
						t.Errorf("it is generation %d", n)
					}
					s.tell("%s", command)
					got := s.keeper.wait()
					if got.code != want || strings.Count(got.out, childlessLine) != 1 || strings.Count(got.out, reloadedLine) != 2 || strings.Count(got.out, startedLine) != 1 {
						t.Errorf("%s: %+v, want exit code %d", command, got, want)
					}
					if !strings.HasSuffix(got.out, childlessLine) {
						t.Errorf("%s: it says more: %q", command, got.out)
					}
				}
			})
		})
	}
}

// The keeper's zombies are its own to take.
func TestKeeperTakesTheWaitStatusOfEachGeneration(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range []string{"foreground", "PID 1"} {
		t.Run(mode, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				s := newReloader(t, mode, order)
				pid := s.up()
				for range 5 {
					if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
						t.Fatalf("reload: %+v", r)
					}
					testkit.WaitFor(t, "the old one to be reaped", func() bool { return reaped(pid) })
					pid = s.holder()
					if st := testkit.Stat(pid); st.PPID != s.keeper.cmd.Process.Pid || st.PGrp != pid {
						t.Errorf("process %d is %+v; the keeper is %d", pid, st, s.keeper.cmd.Process.Pid)
					}
				}
				s.down()
			})
		})
	}
}

// Nor does one stay for ever that ended before the one that was its parent, and of none
// is anything held.
func TestKeeperTakesTheWaitStatusInTheEnd(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range []string{"foreground", "PID 1"} {
		t.Run(mode, func(t *testing.T) {
			s := newReloader(t, mode, orders["ready first"])
			first := s.up()
			at := s.lingers()
			ended := []int{first}
			for range 3 {
				next := s.holder()
				if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
					t.Fatalf("reload: %+v", r)
				}
				testkit.WaitGone(t, next)
				ended = append(ended, next)
			}
			at.open()
			for _, pid := range ended {
				testkit.WaitFor(t, "an old one to be reaped", func() bool { return reaped(pid) })
			}
			testkit.WaitFor(t, "one pidfd to be left", func() bool {
				n := 0
				for _, link := range fromThree(s.keeper.cmd.Process.Pid) {
					if strings.Contains(link, "[pidfd]") {
						n++
					}
				}
				return n == 1
			})
			s.down()
		})
	}
}

// lingers reloads the daemon; the old process does not end before the barrier opens.
func (s *reloader) lingers() (at *barrier) {
	s.t.Helper()
	at = s.hold("goodbye")
	if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
		s.t.Fatalf("reload: %+v", r)
	}
	at.reached()
	s.unplan("goodbye")
	if s.keeper != nil { // which may not have heard yet that another is the daemon
		next := fmt.Sprintf("Pid:\t%d\n", s.holder())
		testkit.WaitFor(s.t, "the keeper to hold the new process", func() bool {
			return slices.ContainsFunc(fdinfo(s.t, s.keeper.cmd.Process.Pid), func(info string) bool { return strings.Contains(info, next) })
		})
	}
	return at
}

// fdinfo is what the kernel says of each descriptor of the process.
func fdinfo(t *testing.T, pid int) (all []string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	must(t, err)
	for _, file := range files {
		all = append(all, slurp(file))
	}
	return all
}

// What cuts the end short does so for an old process, too, that is at work still.
func TestSignalsCutAnOldGenerationShort(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := newReloader(t, mode, orders["ready first"])
			first := s.up()
			at := s.lingers()
			defer at.open()
			next := s.holder()
			signal := func(sig syscall.Signal) {
				t.Helper()
				if s.keeper != nil {
					s.keeper.signal(sig)
				} else {
					signalTo(t, next, sig)
				}
			}
			signal(syscall.SIGINT)
			waitText(t, s.path("shutdown.log"), "Terminated by SIGINT")
			signal(syscall.SIGTERM) // is not enough
			time.Sleep(testkit.Settle)
			if testkit.Gone(first) || testkit.Gone(next) {
				t.Error("it has ended")
			}
			signal(syscall.SIGINT)
			testkit.WaitGone(t, first)
			testkit.WaitGone(t, next)
			if s.keeper != nil {
				if got := s.keeper.wait(); got.code != 0 || strings.Count(got.out, childlessLine) != 1 {
					t.Errorf("the keeper: %+v", got)
				}
			}
			if onDisk(s.pid) {
				t.Error("the PID file is there still")
			}
		})
	}
}

// Force is for all that is left of the daemon, of whichever generation.
func TestForceEndsEarlierGenerations(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := newReloader(t, mode, orders["ready first"])
			first := s.up()
			defer s.lingers().open()
			second := s.holder()
			defer s.lingers().open()
			last := s.holder()
			d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: s.pid})
			must(t, err)
			got, err := d.Stop(t.Context(), daemonocle.StopOptions{Timeout: testkit.Settle, Force: true})
			left := []int{first, second}
			slices.Sort(left) // the kernel begins with low numbers again at times
			if slices.Sort(got.Left); err != nil || got.PID != last || !got.Killed || !slices.Equal(got.Left, left) {
				t.Errorf("got %+v, %v, want %d killed and %v left", got, err, last, left)
			}
			for _, pid := range []int{first, second, last} {
				if !testkit.Gone(pid) {
					t.Errorf("process %d of %d, %d, %d is alive", pid, first, second, last)
				}
			}
			if s.keeper != nil {
				s.keeper.wait()
			}
			if onDisk(s.pid) {
				t.Error("the PID file is there still")
			}
		})
	}
}

// When nothing is left but such a process, the keeper's signals are for that.
func TestSignalsForTheGenerationThatIsLeft(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range []string{"foreground", "PID 1"} {
		t.Run(mode, func(t *testing.T) {
			s := newReloader(t, mode, orders["ready first"])
			first := s.up()
			at := s.lingers()
			defer at.open()
			kill(t, s.holder())
			s.keeper.signal(syscall.SIGTERM) // is not enough
			s.keeper.staysFor(testkit.Settle)
			if testkit.Gone(first) {
				t.Error("the old one has ended")
			}
			s.keeper.signal(syscall.SIGINT)
			if got := s.keeper.wait(); got.code != 128+9 || strings.Count(got.out, childlessLine) != 1 {
				t.Errorf("the keeper: %+v", got)
			}
		})
	}
}

func TestTerminalAfterAReload(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		testkit.Skip(t, "bash", err.Error())
	}
	eachOrder(t, func(t *testing.T, order string) {
		s := newReloader(t, "foreground", order, "D_FOREGROUND=1", "TERM=dumb", "PS1=prompt$ ", "HISTFILE=")
		pty := testkit.Pty(t)
		cmd := s.command()
		self := cmd.Path
		cmd.Path, cmd.Args = bash, []string{"bash", "--norc", "--noprofile", "--noediting", "-i"}
		pty.Attach(cmd)
		r := s.begin(cmd)
		pty.Expect(t, "prompt$ ")
		prompts := func() int { return strings.Count(pty.Output(), "prompt$ ") }

		pty.Type(t, self+" start\n")
		pty.Expect(t, "worker ")
		worker := s.daemon()
		keeper := testkit.Stat(worker).PPID
		for range 2 {
			if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
				t.Fatalf("reload: %+v", r)
			}
			testkit.WaitGone(t, worker)
			worker = s.holder()
			stopAndGoOn(t, pty, prompts, keeper, worker)
			s.tell("say back in %d", worker)
			pty.Expect(t, fmt.Sprintf("back in %d", worker))
		}
		before := prompts()
		pty.Type(t, "\x03")
		pty.Expect(t, strings.TrimSpace(childlessLine))
		testkit.WaitFor(t, "the prompt", func() bool { return prompts() > before })
		pty.Type(t, "echo code=$?\n")
		pty.Expect(t, "code=0")
		pty.Type(t, "exit\n")
		r.wait()
		if got := strings.Count(pty.Output(), "Reloading foo ... OK"); got != 2 {
			t.Errorf("the terminal shows the line %d times: %q", got, pty.Output())
		}
	})
}

func TestReloadHook(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order, "R_RELOAD=1")
		pid := s.up()
		calls := 0
		called := func(more int) {
			t.Helper()
			calls += more
			want := strings.Repeat(fmt.Sprintln(insider(t, pid)), calls)
			testkit.WaitFor(t, "the reload hook's calls", func() bool { return s.log("reload") == want })
			s.untouched(t, pid, "")
		}
		must(t, syscall.Kill(pid, syscall.SIGHUP))
		called(1)
		if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
			t.Errorf("reload: %+v", r)
		}
		called(1)
		s.plan("reload", "error bad coconut")
		r := s.do("reload")
		if r.code != 1 || r.out != "Reloading foo ... FAILED\n" || !strings.HasPrefix(r.err, "ERROR: bad coconut\n") {
			t.Errorf("reload: %+v", r)
		}
		called(1)
		_, errs := s.streams()
		must(t, syscall.Kill(pid, syscall.SIGHUP))
		waitText(t, errs, "ERROR: Reload: bad coconut\n")
		called(1)
		s.plan("reload", "panic coconut")
		if r := s.do("reload"); r.code != 1 || !strings.HasPrefix(r.err, "ERROR: Reload hook panicked: coconut\n") {
			t.Errorf("reload: %+v", r)
		}
		called(1)
		s.unplan("reload")

		// The process is replaced if that is asked for.
		if r := s.do("replace"); r.code != 0 || !strings.HasPrefix(r.out, fmt.Sprintf("replaced %d by ", pid)) {
			t.Errorf("replace: %+v", r)
		}
		next := s.await(pid)
		testkit.WaitGone(t, pid)
		s.only(next)
		must(t, syscall.Kill(next, syscall.SIGHUP))
		pid = next
		testkit.WaitFor(t, "the next generation's reload hook", func() bool {
			return strings.HasSuffix(s.log("reload"), fmt.Sprintln(insider(t, pid)))
		})
		s.only(pid)
		s.down()
	})
}

// A daemon whose StopSignal is SIGHUP ends by it, and is reloaded by the action only.
func TestHangUpThatIsTheStopSignal(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order, "D_STOP_SIGNAL=1")
		pid := s.up()
		asking, at := s.begins("reload")
		s.tell("reload") // it comes too early for the new one
		asking.staysFor(testkit.Settle)
		at.open()
		if r := asking.wait(); r != (ending{reloadedLine, "", 0}) {
			t.Fatalf("reload: %+v", r)
		}
		testkit.WaitGone(t, pid)
		pid = s.holder()
		s.only(pid)
		s.down()
		if got, want := s.log("shutdown"), fmt.Sprintf("%d Terminated by SIGHUP (1)\n", pid); mode != "PID 1" && !strings.HasSuffix(got, want) {
			t.Errorf("the hook got %q, want %q", got, want)
		}
	})
}

// A keeper that is slow to hear of the last generation still has how that ended.
func TestKeeperHearsOfAGenerationThatHasEnded(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range []string{"foreground", "PID 1"} {
		t.Run(mode, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				for range 10 {
					s := newReloader(t, mode, order)
					pid := s.up()
					testkit.Freeze(t, s.keeper.cmd.Process.Pid)
					if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
						t.Fatalf("reload: %+v", r)
					}
					testkit.WaitGone(t, pid)
					kill(t, s.holder())
					s.keeper.signal(syscall.SIGCONT)
					if got := s.keeper.wait(); got.code != 128+9 || strings.Count(got.out, childlessLine) != 1 {
						t.Errorf("the keeper: %+v", got)
					}
				}
			})
		})
	}
}
