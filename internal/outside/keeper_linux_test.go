package outside

import (
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/proc"
)

// The number of a generation that is long gone can be that of a stranger's group: a keeper
// neither waits for its members nor ends them.
func TestMembersAreOfTheKeepersSession(t *testing.T) {
	for name, test := range map[string]struct {
		attr syscall.SysProcAttr
		ours bool
	}{
		"a generation's group": {syscall.SysProcAttr{Setpgid: true}, true},
		"a stranger's":         {syscall.SysProcAttr{Setsid: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sleep", "infinity")
			cmd.SysProcAttr = &test.attr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			defer cmd.Process.Kill()
			var want []int
			if test.ours {
				want = []int{cmd.Process.Pid}
			}
			met := 0
			if got := eachMember(cmd.Process.Pid, func(*proc.Handle) { met++ }); !slices.Equal(got, want) || met != len(want) {
				t.Errorf("got %v, and was called %d times; want %v", got, met, want)
			}
		})
	}
}
