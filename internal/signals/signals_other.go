//go:build !unix

package signals

import (
	"errors"
	"os"
	"syscall"
)

var (
	End   = []os.Signal{os.Interrupt, syscall.SIGTERM}
	Child = []os.Signal{os.Interrupt}
)

// There is no signal 0 to be sent, so these never come, and nobody sends them.
const (
	HangUp   = syscall.Signal(0)
	Reopen   = syscall.Signal(0)
	Continue = syscall.Signal(0)
)

// CheckStop refuses all but the default.
func CheckStop(sig syscall.Signal, _ bool) error {
	if sig != 0 {
		return errors.ErrUnsupported
	}
	return nil
}

func word(sig syscall.Signal) string {
	switch sig {
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return ""
}
