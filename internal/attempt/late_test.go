package attempt

import (
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/plan"
)

// TestHintOfALateStart names what the operator sets, or what a command line of the actions has.
func TestHintOfALateStart(t *testing.T) {
	for _, tt := range []struct {
		setBy    string
		optioned bool
		want     string
	}{
		{"", false, "StartTimeout"},
		{"", true, "--wait"},
		{"--patience", false, "--patience"},
		{"--patience", true, "--patience"},
	} {
		p := &plan.Plan{Name: "foo", SetBy: map[string]string{}}
		if tt.setBy != "" {
			p.SetBy["StartTimeout"] = tt.setBy
		}
		if hint := late(p, "start", "a process", tt.optioned).Hint; !strings.Contains(hint, "raise "+tt.want+" if") {
			t.Errorf("%+v: %q", tt, hint)
		}
	}
}
