// Package signals says what signals mean to a daemon, and what they are called.
package signals

import (
	"fmt"
	"syscall"
)

// Name is as in "SIGTERM (15)".
func Name(sig syscall.Signal) string {
	name := word(sig)
	if name == "" {
		name = "signal"
	}
	return fmt.Sprintf("%s (%d)", name, int(sig))
}
