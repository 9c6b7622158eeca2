//go:build !linux

package app

import "errors"

// reopen needs to know what another process has open.
func reopen(name string, _ []logFile) error {
	return failure("logs", name, errors.ErrUnsupported, "Restart it, or rotate with copytruncate.")
}
