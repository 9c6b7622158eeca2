//go:build linux || freebsd

package logtail

import (
	"errors"
	"os"
	"syscall"
)

// seekData is SEEK_DATA of lseek(2).
const seekData = 3

// skipHole is where the first data from at on is, end if there is none before it, and at
// where the file system does not tell.
func skipHole(f *os.File, at, end int64) int64 {
	switch data, err := f.Seek(at, seekData); {
	case err == nil:
		return data
	case errors.Is(err, syscall.ENXIO):
		return end
	}
	return at
}
