//go:build linux

package daemonocle_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// A signal reaches either the daemon that is about to become a program, or that program.
func TestNoSignalIsLostInTheMomentOfExec(t *testing.T) {
	testkit.Parallel(t)
	rounds := 100
	if testing.Short() {
		rounds = 14
	}
	for n, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			s := foreign(t, program("sleep", "1000"), "D_START_WINDOW=1h", "D_START_TIMEOUT=1h", fmt.Sprint("D_STOP_SIGNAL=", int(sig)))
			for i := range rounds {
				r := s.begin(s.command("start"))
				pid := 0
				testkit.WaitFor(t, "the PID file", func() bool {
					n, _ := fmt.Sscan(slurp(s.pid), &pid)
					return n == 1
				})
				time.Sleep(time.Duration((3*i+n)*37%1500) * time.Microsecond) // somewhere along the way
				must(t, syscall.Kill(pid, sig))
				testkit.WaitGone(t, pid)
				if got := r.wait(); got.code == 0 {
					t.Fatalf("start: %+v", got)
				}
			}
		})
	}
}
