package outside

import (
	"testing"

	"github.com/daemonocle/daemonocle/internal/pidfile"
)

// TestDescent goes through all pairs of what was seen of a daemon and what is seen.
func TestDescent(t *testing.T) {
	var (
		none    = pidfile.Report{}
		one     = pidfile.Report{State: pidfile.Running, Inode: "a", PID: 1}
		two     = pidfile.Report{State: pidfile.Running, Inode: "a", PID: 2}
		hidden  = pidfile.Report{State: pidfile.Running, Inode: "a"}
		lost    = pidfile.Report{State: pidfile.Running, Inode: "a", PID: 2, Unproved: true}
		another = pidfile.Report{State: pidfile.Running, Inode: "b", PID: 1}
	)
	const started, reloaded, found, same = "started", "reloaded", "", "-"
	seen := []pidfile.Report{none, one, two, hidden, lost, another}
	for i, row := range [][]string{ // what is seen: one, two, hidden, lost, another
		{started, started, started, started, started},
		{same, reloaded, same, same, started},
		{reloaded, same, same, same, started},
		{found, found, same, same, started},
		{found, found, same, same, started},
		{started, started, started, started, same},
	} {
		for j, want := range row {
			before, now := seen[i], seen[j+1]
			how, other := descent(&before, &now)
			if wantOther := want != same; other != wantOther || other && how != want || !other && how != "" {
				t.Errorf("%+v, then %+v: got %q, %t, want %q", before, now, how, other, want)
			}
		}
	}
}
