//go:build !unix

package daemonocle

import (
	"errors"
	"io/fs"
	"os"

	"github.com/daemonocle/daemonocle/internal/launch"
)

const nonblock = 0 // what it is for is refused before

func owned(fs.FileInfo) bool { return true }

// setUp refuses what needs a Unix kernel rather than do without it silently.
func (l *life) setUp() error {
	c := l.d.cfg
	var problems []error
	for setting, set := range map[string]bool{
		"PIDFile": c.PIDFile != "", "ChrootDir": c.ChrootDir != "", "User": c.User != "", "Group": c.Group != "",
	} {
		if set {
			problems = append(problems, &ConfigError{Setting: setting, Err: ErrUnsupported, Hint: "leave it empty on this system"})
		}
	}
	if len(problems) > 0 {
		return l.d.fail("run", errors.Join(problems...))
	}
	if l.d.cfg.WorkDir != `\` && l.d.cfg.WorkDir != "/" {
		if err := os.Chdir(l.d.cfg.WorkDir); err != nil {
			return l.d.fail("run", err)
		}
	}
	if hook := c.Hooks.Privileged; hook != nil {
		if err := safely("privileged hook", func() error { return hook(l.ctx) }); err != nil {
			return l.d.fail("run", err)
		}
	}
	return nil
}

func (d *Daemon) pidFileError(op string, err error) *Error { return d.fail(op, err) }

func failureMessage(err error) launch.Message        { return launch.Message{} }
func (d *Daemon) failureError(launch.Message) *Error { return d.fail("start", ErrUnsupported) }
