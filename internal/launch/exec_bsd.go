//go:build unix && !linux

package launch

import "syscall"

// Exec makes this process another program. It returns only if that fails. A mask
// that was inherited goes on; the death of a keeper is not noticed.
func Exec(path string, argv, env []string, _ bool) error {
	defaultSignals()
	return syscall.Exec(path, argv, env)
}
