package outside

import (
	"context"
	"errors"
	"testing"

	"github.com/daemonocle/daemonocle/internal/control"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/rights"
)

// TestOnlyOurOwnWordsAreCapital: a fault that begins with the daemon's name is printed as it is.
func TestOnlyOurOwnWordsAreCapital(t *testing.T) {
	p := &plan.Plan{Name: "myapp"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	interrupted, _ := errors.AsType[*fault.Fault](Interrupted(ctx, p, 7, nil))
	for _, c := range []struct {
		f       *fault.Fault
		text    string
		capital bool
	}{
		{about(p, "stop", 7, errors.New("banana")), "banana", true},
		{unnamedLeft(p, "stop", nil), "what myapp has left behind cannot be named from here", true},
		{cannotAsk(p, 7, control.ErrNobody), "process 7 cannot be asked (the daemon does not listen)", true},
		{interrupted, "restart was cancelled: process 7 was stopped, and will not be started again", true},
		{unnamed(p, "stop", &pidfile.Report{}), "myapp runs, but its process cannot be named from here", false},
		{about(p, "stop", 7, rights.ErrStranger), "myapp runs, but its process cannot be named from here", false},
		{notReloaded(p, control.Answer{Err: "banana"}), "banana", false},
		{notReloaded(p, control.Answer{Err: " \n\t"}), "the daemon has not said why it is not reloaded", true},
		{ToldToStop(p, 7), "myapp was told to stop, and is not reloaded", false},
	} {
		if c.f.Err.Error() != c.text || c.f.Capital != c.capital {
			t.Errorf("got %q, capital %t, want %q, %t", c.f.Err, c.f.Capital, c.text, c.capital)
		}
	}
}
