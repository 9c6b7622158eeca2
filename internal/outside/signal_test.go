package outside

import (
	"errors"
	"testing"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/plan"
)

// TestSignalDoesNotFollowForEver: who makes processes faster than they can be signalled is not
// followed without end, as a signal has no time limit of its own.
func TestSignalDoesNotFollowForEver(t *testing.T) {
	enough := missedAtMost(&plan.Plan{Name: "foo"}, "signal")
	for pid := 1; pid < missesAtMost; pid++ {
		if err := enough(pid); err != nil {
			t.Fatalf("process %d is one too many: %v", pid, err)
		}
	}
	err := enough(missesAtMost)
	f, is := errors.AsType[*fault.Fault](err)
	if !is || f.PID != missesAtMost || !errors.Is(err, fault.ErrDied) {
		t.Errorf("got %v", err)
	}
}
