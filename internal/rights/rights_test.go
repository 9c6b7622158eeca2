package rights

import (
	"testing"

	"github.com/daemonocle/daemonocle/internal/proc"
)

// TestRightsOver goes through all users that a process can have, out of root, the daemon's
// and another.
func TestRightsOver(t *testing.T) {
	const daemon, other = 5, 6
	users := []int{0, daemon, other}
	for _, user := range []int{-1, 0, daemon} {
		for _, real := range users {
			for _, effective := range users {
				for _, saved := range users {
					for _, image := range []bool{true, false} {
						ids := proc.IDs{UID: [3]int{real, effective, saved}}
						one := real == effective && effective == saved
						want := noRights
						switch {
						case !one: // such as a set-user-ID program
						case user <= 0 && real == 0, user == daemon && real == daemon, user == daemon && real == 0 && image:
							want = allRights
						case user < 0:
							want = itsRights
						}
						if got := rightsOver(user, ids, func() bool { return image }); got != want {
							t.Errorf("user %d, process %v, image %v: got %d, want %d", user, ids.UID, image, got, want)
						}
					}
				}
			}
		}
	}
}
