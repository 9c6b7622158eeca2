//go:build !unix

package daemonocle

import (
	"errors"
	"os"

	"github.com/daemonocle/daemonocle/internal/usercode"
)

// setUp refuses what needs a Unix kernel rather than do without it silently.
func (l *life) setUp() error {
	d := l.d
	var problems []error
	for setting, set := range map[string]bool{"PIDFile": d.plan.PID != nil, "ChrootDir": d.plan.ChrootDir != ""} {
		if set {
			problems = append(problems, &ConfigError{Setting: setting, Err: ErrUnsupported, Hint: "leave it empty on this system"})
		}
	}
	if len(problems) > 0 {
		return l.fail(errors.Join(problems...))
	}
	if d.plan.WorkDir != `\` && d.plan.WorkDir != "/" {
		if err := os.Chdir(d.plan.WorkDir); err != nil {
			return l.fail(err)
		}
	}
	if hook := d.code.Hooks.Privileged; hook != nil {
		if err := usercode.Call("privileged hook", func() error { return hook(l.ctx) }); err != nil {
			return l.fail(err)
		}
	}
	return nil
}
