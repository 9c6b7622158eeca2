//go:build !unix

package privs

import (
	"errors"
	"math"
)

const (
	supported = false
	maxGroups = math.MaxInt
)

var kernel calls

type procfs struct{}

var noProcfs procfs

func openProcfs() procfs { return noProcfs }
func (procfs) close()    {}

func current() (credentials, error) { return credentials{}, errors.ErrUnsupported }

func (c *Change) prove(before, after credentials, changed bool) error {
	return errors.ErrUnsupported
}
