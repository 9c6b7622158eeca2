//go:build linux

package daemonocle_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// prober asks in a tight loop whether somebody holds the lock that says that a daemon
// runs, until the function is called that gives the number of times and of gaps.
func prober(t *testing.T, path string) (end func() (asked, gaps int)) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	asked, gaps := 0, 0
	wait.Go(func() {
		defer f.Close()
		for ; ctx.Err() == nil; asked++ {
			lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 1, Len: 1}
			if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil || lock.Type != unix.F_WRLCK {
				gaps++
			}
			if asked%100 == 0 {
				time.Sleep(time.Microsecond) // this machine has few processors
			}
		}
	})
	return func() (int, int) { stop(); wait.Wait(); return asked, gaps }
}

// generation asks the worker whose it is. One that goes would take the question away.
func (s *reloader) generation() (n int) {
	s.t.Helper()
	testkit.WaitFor(s.t, "one process to be left", func() bool { return len(s.own()) == 1 })
	out, _ := s.streams()
	from := len(slurp(out))
	s.tell("generation")
	testkit.WaitFor(s.t, "the worker to say its generation", func() bool {
		_, text, found := strings.Cut(slurp(out)[from:], "generation: ")
		if found {
			fmt.Sscan(text, &n)
		}
		return found && strings.Contains(text, "\n")
	})
	return n
}

func TestLockIsHeldAllTheTime(t *testing.T) {
	reloads := 20
	if testing.Short() {
		reloads = 3
	}
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order)
		s.up()
		end := prober(t, s.pid)
		for range reloads {
			if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
				t.Fatalf("reload: %+v", r)
			}
		}
		asked, gaps := end()
		if gaps > 0 || asked < 100 {
			t.Errorf("asked %d times, nobody held the lock %d times", asked, gaps)
		}
		if got := s.generation(); got != reloads+1 {
			t.Errorf("it is generation %d, want %d", got, reloads+1)
		}
		s.only(s.await(0))
		s.down()
	})
}

// A hundred signals at once: at least one generation more, and one daemon.
func TestStormOfHangUps(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order)
		pid := s.up()
		to := pid
		if mode == "PID 1" {
			to = s.keeper.cmd.Process.Pid // which passes it on to whoever is the daemon
		}
		end := prober(t, s.pid)
		p := testkit.Pin(t, to) // the daemon ends on the way
		for range 100 {
			p.Signal(syscall.SIGHUP)
		}
		s.await(pid)
		// Those that came while one was on its way mean another one, which comes by
		// itself; a reload that is asked for now comes after that.
		r := s.do("reload")
		if r != (ending{reloadedLine, "", 0}) {
			t.Errorf("reload: %+v", r)
		}
		if _, gaps := end(); gaps > 0 {
			t.Errorf("nobody held the lock %d times", gaps)
		}
		testkit.WaitFor(t, "one process to be left", func() bool { return len(s.own()) == 1 })
		if n := s.generation(); n < 3 {
			t.Errorf("it is generation %d", n)
		}
		s.only(s.await(0))
		s.down()
	})
}

// Each of many who ask at one time hears how it went, and gets a generation that was born
// after the question.
func TestStormOfActions(t *testing.T) {
	n := 50
	if testing.Short() {
		n = 10
	}
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order)
		pid := s.up()
		var all []*running
		for range n {
			all = append(all, s.begin(s.command("reload")))
		}
		for _, r := range all {
			if got := r.wait(); got != (ending{reloadedLine, "", 0}) {
				t.Errorf("got %+v", got)
			}
		}
		if next := s.holder(); next == pid {
			t.Error("it is the same process")
		}
		testkit.WaitFor(t, "one process to be left", func() bool { return len(s.own()) == 1 })
		s.only(s.await(0))
		s.down()
	})
}

// And if it cannot be done, each of them hears that.
func TestStormOfActionsThatFail(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s := newReloader(t, "detached", order)
		pid := s.up()
		s.plan("main", "exit 3")
		var all []*running
		for range 20 {
			all = append(all, s.begin(s.command("reload")))
		}
		for _, r := range all {
			got := r.wait()
			if got.code != 1 || got.out != "Reloading foo ... FAILED\n" || !strings.HasPrefix(got.err, "ERROR: Child exited immediately with exit code 3\n") {
				t.Errorf("got %+v", got)
			}
		}
		s.untouched(t, pid, "")
		s.unplan("main")
		s.only(pid)
		s.down()
	})
}

func TestStatusDuringReloads(t *testing.T) {
	reloads := 30
	if testing.Short() {
		reloads = 5
	}
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order)
		pid := s.up()
		known := map[int]bool{pid: true}
		var mu sync.Mutex
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range reloads {
				if r := s.begin(s.command("reload")).wait(); r != (ending{reloadedLine, "", 0}) {
					t.Errorf("reload: %+v", r)
				}
				mu.Lock()
				known[s.await(0)] = true // it may wait for the lock still
				mu.Unlock()
			}
		}()
		var seen []int
		for over := false; !over; {
			select {
			case <-done:
				over = true
			default:
			}
			cmd := s.command("status")
			out, err := cmd.CombinedOutput()
			var n int
			if _, scan := fmt.Sscanf(string(out), "foo -- pid: %d, status: ", &n); err != nil || scan != nil {
				t.Errorf("status: %q, %v", out, err)
				break
			}
			seen = append(seen, n)
		}
		<-done
		for _, n := range seen {
			if !known[n] {
				t.Errorf("status has named process %d, which was no generation of %v", n, known)
			}
		}
		t.Logf("status was asked %d times", len(seen))
		s.only(s.await(0))
		s.down()
	})
}

// A stop that comes in any phase of a reload stops the daemon, and says so only then.
func TestStopDuringReload(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		for _, phase := range append(phasesOfReload(order), "goodbye", "shutdown") {
			t.Run(phase, func(t *testing.T) {
				s := newReloader(t, mode, order)
				pid, early := s.upGated()
				asking, at := s.askHeld(phase, early)
				next := s.other(pid)
				stop := s.begin(s.command("stop"))
				switch {
				case phase != "goodbye" && phase != "shutdown":
					out, _ := s.streams()
					waitText(t, out, "cause: terminated by SIGTERM")
				case order == orders["set up"]: // the old one hears of it, and ends the new one
					testkit.WaitGone(t, next)
				default:
					stop.staysFor(testkit.Settle)
				}
				at.open()
				s.stopped(stop)
				if got := asking.wait(); strings.HasSuffix(got.out, "OK\n") && (order == orders["set up"] || phase != "goodbye" && phase != "shutdown") {
					t.Errorf("reload: %+v", got)
				}
			})
		}
	})
}

// stopped checks what is true when a stop has said OK.
func (s *reloader) stopped(stop *running) {
	s.t.Helper()
	got := stop.wait()
	left := s.daemons()
	if got != (ending{"Stopping foo ... OK\n", "", 0}) {
		s.t.Errorf("stop: %+v", got)
	}
	for _, pid := range left {
		// A keeper's group may be a moment longer.
		s.t.Errorf("after the stop there is process %d", pid)
	}
	if s.keeper != nil {
		if got := s.keeper.wait(); got.code != 0 || strings.Count(got.out, childlessLine) != 1 {
			s.t.Errorf("the keeper: %+v", got)
		}
	}
	testkit.WaitFor(s.t, "nothing to be left", func() bool { return len(s.processes()) == 0 })
	if onDisk(s.pid) {
		s.t.Error("the PID file is there still")
	}
	if r := s.do("status"); r != (ending{"foo -- not running\n", "", 1}) {
		s.t.Errorf("status: %+v", r)
	}
}

func TestReloadDuringStop(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		for _, phase := range []string{"goodbye", "shutdown"} {
			s := newReloader(t, mode, order)
			pid := s.up()
			at := s.hold(phase)
			stop := s.begin(s.command("stop"))
			at.reached()
			s.unplan(phase)
			must(t, syscall.Kill(pid, syscall.SIGHUP))
			r := s.do("reload")
			if r != (ending{"Reloading foo ... FAILED\n", "WARNING: foo was told to stop, and is not reloaded\n", 0}) {
				t.Errorf("%s: %+v", phase, r)
			}
			if own := s.daemons(); !slices.Equal(own, []int{pid}) {
				t.Errorf("%s: processes %v, want %d", phase, own, pid)
			}
			at.open()
			s.stopped(stop)
		}
	})
}

func TestStartDuringReload(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		for _, phase := range append(phasesOfReload(order), "goodbye", "shutdown") {
			t.Run(phase, func(t *testing.T) {
				s := newReloader(t, mode, order)
				pid, early := s.upGated()
				asking, at := s.askHeld(phase, early)
				want := pid
				if order != orders["set up"] && (phase == "goodbye" || phase == "shutdown") {
					want = s.other(pid)
				}
				code := 0
				if mode == "foreground" { // where the process was to be the daemon's keeper
					code = 1
				}
				if got, want := s.again(), (ending{"", fmt.Sprintf("WARNING: foo already running with PID %d\n", want), code}); got != want {
					t.Errorf("start: %+v, want %+v", got, want)
				}
				at.open()
				if got := asking.wait(); got != (ending{reloadedLine, "", 0}) {
					t.Errorf("reload: %+v", got)
				}
				testkit.WaitGone(t, pid)
				s.only(s.await(0))
				s.down()
			})
		}
	})
}

func TestRestartDuringReload(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		for _, phase := range append(phasesOfReload(order), "goodbye") {
			t.Run(phase, func(t *testing.T) {
				s := newReloader(t, "detached", order)
				pid, early := s.upGated()
				asking, at := s.askHeld(phase, early)
				next := s.other(pid)
				done := phase == "goodbye" && order == orders["ready first"]
				if !done { // whom it asks next must not be the daemon that it has asked
					testkit.Freeze(t, asking.cmd.Process.Pid)
				}
				cmd := s.command("restart")
				cmd.Env = append(cmd.Env, "TESTKIT_EARLY=")
				restart := s.begin(cmd)
				switch {
				case done:
					restart.staysFor(testkit.Settle)
				case phase == "goodbye":
					testkit.WaitGone(t, next)
				default:
					waitText(t, s.out, "cause: terminated by SIGTERM")
				}
				at.open()
				if got := restart.wait(); got != (ending{"Stopping foo ... OK\nStarting foo ... OK\n", "", 0}) {
					t.Errorf("restart: %+v", got)
				}
				if !done {
					must(t, syscall.Kill(asking.cmd.Process.Pid, syscall.SIGCONT))
				}
				if got := asking.wait(); got.code != 0 || strings.HasSuffix(got.out, "OK\n") != done {
					t.Errorf("reload: %+v", got)
				}
				testkit.WaitGone(t, pid)
				s.only(s.await(0))
				if got := s.generation(); got != 1 {
					t.Errorf("it is generation %d", got)
				}
				s.down()
			})
		}
	})
}
