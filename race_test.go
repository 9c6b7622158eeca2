//go:build linux

package daemonocle_test

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// together starts launchers that all wait in main, and lets them go at once.
func together(s *subject, actions ...string) []*launched {
	s.t.Helper()
	here := s.path("here")
	if err := os.Mkdir(here, 0o777); err != nil {
		s.t.Fatal(err)
	}
	s.set("D_HERE=" + here)
	g := s.gate("D_GATE_LAUNCHER")
	// Held open for writing, so that they all get in and none gets out; for
	// reading as well, so that this does not wait for the first.
	w, err := os.OpenFile(g.path, os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer w.Close()
	var all []*launched
	for _, action := range actions {
		all = append(all, s.begin(action))
	}
	testkit.WaitFor(s.t, "all launchers to be there", func() bool {
		arrived, err := os.ReadDir(here)
		return err == nil && len(arrived) == len(actions)
	})
	w.Close()
	s.ungated()
	return all
}

func times(n int, actions ...string) []string { return slices.Repeat(actions, n) }

func TestOfAHundredLaunchersOneStartsADaemon(t *testing.T) {
	testkit.Parallel(t)
	rounds, launchers := 5, 100
	if testing.Short() || testkit.Race {
		rounds = 2
	}
	for range rounds {
		// Each round has its own test, so that its files go before the next.
		t.Run("", func(t *testing.T) {
			s := newSubject(t, "gated")
			s.set("D_READY_LOG=" + s.path("ready"))
			all := together(s, times(launchers, "start")...)
			var got []printed
			for _, l := range all {
				got = append(got, l.wait())
			}
			pid := s.daemon()
			fine := 0
			for _, p := range got {
				switch p {
				case startedFine:
					fine++
				case alreadyRunning(pid):
				default:
					t.Errorf("got %+v, want it started or %+v", p, alreadyRunning(pid))
				}
			}
			if fine != 1 {
				t.Errorf("%d launchers say that they have started it", fine)
			}
			if ran, want := lines(t, s.path("ready")), []string{strconv.Itoa(pid)}; !slices.Equal(ran, want) {
				t.Errorf("the worker ran in processes %v, want %v", ran, want)
			}
			if left := s.processes(); !slices.Equal(left, []int{pid}) {
				t.Errorf("got processes %v, want %d alone", left, pid)
			}
			s.stop()
		})
	}
}

// Whatever the order was, what status says afterwards is so, and the actions work.
func TestStartsAndStopsAtOnceLeaveAConsistentState(t *testing.T) {
	testkit.Parallel(t)
	rounds := 5
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		t.Run("", func(t *testing.T) {
			s := newSubject(t, "gated")
			for _, l := range together(s, times(15, "start", "stop", "restart")...) {
				// A stop may meet a daemon that does not handle signals yet; its
				// start then says what it died of.
				killed := 128 + int(syscall.SIGTERM)
				if got := l.wait(); got.code > 1 && got.code != killed || strings.Contains(got.err, "malformed") {
					t.Errorf("%v: got %+v", l.cmd.Args[1:], got)
				}
			}
			switch left := s.processes(); len(left) {
			case 0:
				s.begin("status").want(printed{out: "foo -- not running\n", code: 1})
			case 1:
				s.running(left[0])
				s.stop()
			default:
				t.Errorf("got processes %v, want one daemon or none", left)
			}
			s.worksAgain()
		})
	}
}
