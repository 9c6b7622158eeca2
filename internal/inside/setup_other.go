//go:build !unix

package inside

import (
	"errors"
	"os"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// setUp refuses what needs a Unix kernel rather than do without it silently.
func (l *Life) setUp() error {
	var problems []error
	for setting, set := range map[string]bool{"PIDFile": l.plan.PID != nil, "ChrootDir": l.plan.ChrootDir != ""} {
		if set {
			problems = append(problems, l.host.Refused(plan.Problem{Setting: setting, Err: fault.ErrUnsupported, Hint: "leave it empty on this system"}))
		}
	}
	if len(problems) > 0 {
		return l.fail(errors.Join(problems...))
	}
	if l.plan.WorkDir != `\` && l.plan.WorkDir != "/" {
		if err := os.Chdir(l.plan.WorkDir); err != nil {
			return l.fail(err)
		}
	}
	if hook := l.code.Privileged; hook != nil {
		if err := usercode.Call("privileged hook", func() error { return hook(l.ctx) }); err != nil {
			return l.fail(err)
		}
	}
	return nil
}
