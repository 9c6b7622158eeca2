//go:build unix && !linux && !darwin && !freebsd

package paths

import "golang.org/x/sys/unix"

// Each directory of a path must be readable here.
const search = unix.O_RDONLY
