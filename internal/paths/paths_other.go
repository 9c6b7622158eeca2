//go:build !unix

package paths

import (
	"errors"
	"io/fs"
	"os"
)

// These need Unix descriptors.
func (n Name) Log(Owner, *Undo) (*os.File, error)        { return nil, errors.ErrUnsupported }
func (n Name) Read() (*os.File, error)                   { return os.Open(n.Path) }
func (n Name) MakeAll(uint32, Owner, *Undo) error        { return errors.ErrUnsupported }
func (n Name) Safe([]int) error                          { return errors.ErrUnsupported }
func (n Name) MakeDir(Owner, *Undo) (int, string, error) { return -1, "", errors.ErrUnsupported }
func (n Name) Stat() (isDir bool, err error) {
	info, err := os.Stat(n.Path)
	return err == nil && info.IsDir(), err
}
func (n Name) Dir() (int, string, error) { return -1, "", errors.ErrUnsupported }
func (n Name) Owned([]int) error         { return errors.ErrUnsupported }
func (n Name) Chdir() error              { return os.Chdir(n.Path) }
func (n Name) Chroot() error             { return errors.ErrUnsupported }
func (n Name) Absent() []Name            { return nil }
func (n Name) RemoveEmpty()              {}

func MayExecute(string) error { return nil }

// IsMine believes so: there is nothing to compare.
func IsMine(fs.FileInfo) bool { return true }
