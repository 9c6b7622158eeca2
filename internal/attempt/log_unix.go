//go:build unix

package attempt

import "syscall"

const nonblock = syscall.O_NONBLOCK
