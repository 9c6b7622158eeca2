//go:build !unix

package pidfile

import (
	"context"
	"errors"

	"github.com/daemonocle/daemonocle/internal/paths"
)

// Held needs record locks.
type Held struct{}

func (f *File) Look(context.Context) (*Report, error) { return &Report{UID: -1}, errors.ErrUnsupported }
func (f *File) Remove() (bool, error)                 { return false, errors.ErrUnsupported }
func (f *File) Left(*Report) []int                    { return nil }
func (f *File) IsLeft(*Report, int) bool              { return false }
func (f *File) Repair(int) error                      { return errors.ErrUnsupported }
func (f *File) Acquire(context.Context, paths.Owner, *paths.Undo) (*Held, error) {
	return nil, errors.ErrUnsupported
}
func (f *File) Where() paths.Name          { return f.Name }
func (f *File) Pin(*Report) (func(), bool) { return func() {}, false }
func (f *File) Draining(string) []int      { return nil }

func (h *Held) Remove() error  { return nil }
func (h *Held) Inherit() error { return errors.ErrUnsupported }
func (h *Held) Release()       {}

func (h *Held) Insist() error        { return errors.ErrUnsupported }
func (h *Held) Expect()              {}
func (h *Held) Unexpect()            {}
func (h *Held) Inode() string        { return "" }
func (h *Held) Retire(int)           {}
func (h *Held) FDs() (file, dir int) { return -1, -1 }
func (h *Held) Spare() int           { return -1 }
func (h *Held) Yield() error         { return errors.ErrUnsupported }
func (h *Held) Regain() error        { return errors.ErrUnsupported }

func Succeed(int, int, int, string) (*Held, <-chan struct{}, error) {
	return nil, nil, errors.ErrUnsupported
}
