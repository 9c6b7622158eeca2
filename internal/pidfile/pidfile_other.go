//go:build !unix

package pidfile

import (
	"context"
	"errors"

	"github.com/daemonocle/daemonocle/internal/paths"
)

// Held needs record locks.
type Held struct{}

func (f File) Look(context.Context) (Report, error) { return Report{UID: -1}, errors.ErrUnsupported }
func (f File) Remove() (bool, error)                { return false, errors.ErrUnsupported }
func (f File) Repair(int) error                     { return errors.ErrUnsupported }
func (f File) Acquire(context.Context, paths.Owner, *paths.Undo) (*Held, error) {
	return nil, errors.ErrUnsupported
}
func (h *Held) Remove() error  { return nil }
func (h *Held) Inherit() error { return errors.ErrUnsupported }
func (h *Held) Release()       {}
