//go:build !linux

package app

import (
	"errors"
	"os"
	"syscall"
)

// handles cannot be known here.
func handles(int, syscall.Signal) bool { return true }

func writesTo(int, int) (os.FileInfo, error) { return nil, errors.ErrUnsupported }
