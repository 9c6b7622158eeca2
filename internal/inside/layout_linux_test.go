package inside

import (
	"os"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

// In /tmp somebody can make a directory between the look at what is there and the
// creation of what is missing, so that there is a second look.
func TestLayoutIsLookedAtAgainAfterCreation(t *testing.T) {
	dir := testkit.TempDir(t)
	p, problems := plan.Make(plan.Settings{Name: "faster", Layout: func(string) (plan.Paths, error) {
		return plan.Paths{PIDFile: dir + "/run/pid", StdoutFile: dir + "/log/out"}, nil
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, early := range []bool{true, false} {
		l := &Life{plan: p}
		if err := l.checkLayout(); err != nil {
			t.Fatal(err)
		}
		name := map[bool]string{true: "/run", false: "/log"}[early]
		for _, err := range []error{os.Mkdir(dir+name, 0o777), os.Chmod(dir+name, 0o777)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := l.makeLayoutDirs(early); err == nil || !strings.Contains(err.Error(), dir+name+" (everybody can write to it") {
			t.Errorf("%s: got %v", name, err)
		}
		if err := os.Remove(dir + name); err != nil {
			t.Fatal(err)
		}
	}
}
