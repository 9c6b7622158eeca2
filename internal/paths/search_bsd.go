//go:build darwin || freebsd

package paths

import "golang.org/x/sys/unix"

// A directory that cannot be read, only passed through, can be a base as well.
const search = unix.O_SEARCH
