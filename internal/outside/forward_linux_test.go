//go:build linux

package outside

import (
	"slices"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/signals"
)

func TestFateOfEverySignal(t *testing.T) {
	const stop = syscall.Signal(37) // SIGRTMIN+3, as init systems in containers have it
	never := []syscall.Signal{
		syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGTTIN, syscall.SIGTTOU,
		syscall.SIGPROF, syscall.SIGURG, 32, 33, 34,
	}
	faults := []syscall.Signal{
		syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGABRT,
	}
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		want := map[station]fate{offTerminal: passed, onTerminal: passed, firstProcess: passed}
		switch {
		case slices.Contains(never, sig):
			want = map[station]fate{offTerminal: unheard, onTerminal: unheard, firstProcess: unheard}
		case slices.Contains(faults, sig):
			want = map[station]fate{offTerminal: unheard, onTerminal: unheard, firstProcess: passed}
		case sig == syscall.SIGPIPE:
			want = map[station]fate{offTerminal: dropped, onTerminal: dropped, firstProcess: dropped}
		case sig == syscall.SIGTSTP:
			want = map[station]fate{offTerminal: stops, onTerminal: stops, firstProcess: unheard}
		case sig == syscall.SIGCONT:
			want = map[station]fate{offTerminal: continues, onTerminal: continues, firstProcess: continues}
		case sig == syscall.SIGHUP:
			want[onTerminal] = terminates
		case slices.Contains([]syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, stop}, sig):
			want = map[station]fate{offTerminal: announced, onTerminal: announced, firstProcess: announced}
		}
		for at, want := range want {
			if got := fateOf(sig, at, stop); got != want {
				t.Errorf("%s at station %d: %d, want %d", signals.Name(sig), at, got, want)
			}
		}
	}
	if got := fateOf(stop, firstProcess, syscall.SIGTERM); got != passed {
		t.Errorf("a signal that stops other daemons: %d, want %d", got, passed)
	}
}
