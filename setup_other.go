//go:build !unix

package daemonocle

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/launch"
)

// There is no signal 0 to be sent, so these never come.
const (
	reopenSignal = syscall.Signal(0)
	hangUpSignal = syscall.Signal(0)
)

// What these are for is refused before they are used.
const (
	continueSignal = syscall.Signal(0)
	nonblock       = 0
)

var (
	endSignals  = []os.Signal{os.Interrupt, syscall.SIGTERM}
	childSignal = []os.Signal{os.Interrupt}
)

func signalText(sig syscall.Signal) string {
	switch sig {
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return ""
}

func checkStopSignal(sig syscall.Signal, _ bool) error {
	if sig != 0 {
		return ErrUnsupported
	}
	return nil
}

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

func spareFiles() error { return nil }

func failureMessage(err error) launch.Message        { return launch.Message{} }
func (d *Daemon) failureError(launch.Message) *Error { return d.fail("start", ErrUnsupported) }
