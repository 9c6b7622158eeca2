//go:build linux

package daemonocle_test

import (
	"strings"
	"syscall"
	"testing"
)

// Of a death by the runtime's hand the line that says why is shown, and no registers.
func TestDeathByTheRuntimeHasAReason(t *testing.T) {
	for sig, want := range map[syscall.Signal]string{
		syscall.SIGABRT: "reason: SIGABRT: abort\n",
		syscall.SIGTRAP: "reason: SIGTRAP: trace",
		syscall.SIGSEGV: "reason: ",
	} {
		s := describe(t, "life", "L_QUIET=1", "D_START_WINDOW=1h")
		r := s.begin(s.command("start"))
		s.tell("kill %d", int(sig))
		got := r.wait()
		if got.code == 0 || !strings.Contains(got.err, want) || strings.Contains(got.err, "rip ") || strings.Contains(got.err, "rflags") {
			t.Errorf("%v: %+v", sig, got)
		}
	}
}
