//go:build !linux

package errand

import (
	"errors"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/privs"
	"github.com/daemonocle/daemonocle/internal/proc"
)

func send(privs.Identity, *proc.Handle, syscall.Signal) error { return errors.ErrUnsupported }
