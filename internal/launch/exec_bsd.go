//go:build unix && !linux

package launch

import (
	"os"
	"syscall"
)

// Exec makes this process another program. It returns only if that fails. A mask
// that was inherited goes on; the death of a keeper is not noticed.
func Exec(path string, argv, env []string, _ bool) error {
	defaultSignals()
	return syscall.Exec(path, argv, env)
}

// DefaultSignals: x/sys has no sigaction here. Go's runtime lets a signal have its default
// effect itself.
func DefaultSignals([]os.Signal) (revert func()) { return func() {} }
