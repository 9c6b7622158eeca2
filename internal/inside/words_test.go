package inside

import (
	"errors"
	"os"
	"testing"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/plan"
)

// program is a host whose errors are its own words, but for one.
type program struct {
	Host
	ours error
}

// exit is how its workers leave.
type exit struct {
	error
	code    int
	message string
}

func (p program) Ours(err error) bool { return err == p.ours }

func (p program) Exit(err error) (code int, message string, is bool) {
	e, is := errors.AsType[exit](err)
	return e.code, e.message, is
}

// TestFirstWordOfAnOutcome: what the process says of its worker's end begins with our own word or
// with the worker's, and only ours is capitalised.
func TestFirstWordOfAnOutcome(t *testing.T) {
	banana, ours := errors.New("banana"), errors.New("ours")
	l := &Life{plan: &plan.Plan{Name: "myapp"}, host: program{ours: ours}, op: "start", phase: phase.ComingUp}
	for _, c := range []struct {
		o    outcome
		line string
		code int
	}{
		{l.panicked("coconut", nil), "Dying due to unhandled panic: coconut", 2},
		{l.abandoned(), "The worker was abandoned", 1},
		{l.outcomeFrom(banana), "banana", 1},
		{l.outcomeFrom(ours), "Ours", 1},
		{l.outcomeFrom(exit{banana, 42, ""}), "banana", 42},
		{l.outcomeFrom(exit{banana, 3, "peel"}), "banana", 3},
	} {
		f := c.o.err
		if f == nil {
			t.Errorf("%s: no error", c.line)
			continue
		}
		if line(f) != c.line || f.Code != c.code || c.o.Code != c.code || f.Op != "start" || f.PID != os.Getpid() {
			t.Errorf("got %q, code %d, from %+v, want %q, %d", line(f), f.Code, f, c.line, c.code)
		}
	}
	if o := l.outcomeFrom(exit{banana, 0, ""}); o.err != nil || fault.ExitStatus(o.Code) != 0 {
		t.Errorf("a worker that leaves with 0 has ended badly: %+v", o)
	}
}
