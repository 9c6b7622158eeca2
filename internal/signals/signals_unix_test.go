//go:build unix

package signals

import (
	"strings"
	"syscall"
	"testing"
)

// TestCheckStop goes through all numbers: what the kernel or this program takes for something
// else than an end is refused, and all else is the program's affair.
func TestCheckStop(t *testing.T) {
	never := map[syscall.Signal]bool{syscall.SIGSTOP: true, syscall.SIGCONT: true, syscall.SIGCHLD: true}
	for sig := syscall.Signal(-2); sig <= 70; sig++ {
		for _, goCode := range []bool{false, true} {
			want := ""
			switch {
			case sig < 0 || sig > 64:
				want = "is no signal"
			case never[sig] || sig == syscall.SIGUSR1 && goCode:
				want = "does not end a daemon"
			}
			err := CheckStop(sig, goCode)
			if (err == nil) != (want == "") || err != nil && err.Error() != want {
				t.Errorf("signal %d, Go code %v: got %v, want %q", sig, goCode, err, want)
			}
		}
	}
}

// No signal means two things to a daemon.
func TestSignalsMeanOneThing(t *testing.T) {
	seen := map[syscall.Signal]bool{}
	for _, list := range [][]syscall.Signal{{HangUp, Reopen, Continue}, {syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}, {syscall.SIGCHLD}} {
		for _, sig := range list {
			if seen[sig] {
				t.Errorf("%s means two things", Name(sig))
			}
			seen[sig] = true
		}
	}
	for _, s := range append(End, Child...) {
		if !seen[s.(syscall.Signal)] {
			t.Errorf("%v is not among them", s)
		}
	}
}

func TestName(t *testing.T) {
	for sig, want := range map[syscall.Signal]string{
		syscall.SIGTERM: "SIGTERM (15)", syscall.SIGKILL: "SIGKILL (9)", 0: "signal (0)", 1000: "signal (1000)",
	} {
		if got := Name(sig); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for sig := syscall.Signal(1); sig < 32; sig++ {
		if name := Name(sig); !strings.HasPrefix(name, "SIG") {
			t.Errorf("signal %d is called %q", sig, name)
		}
	}
}
