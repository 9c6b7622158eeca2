//go:build unix

package fileid

import (
	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// Of is for what has been looked at. The types of the numbers differ between systems.
func Of(st *unix.Stat_t) ID { return ID{uint64(st.Dev), uint64(st.Ino)} }

// OfFD is for an open file.
func OfFD(fd int) (ID, error) {
	var st unix.Stat_t
	err := retried.Fstat(fd, &st)
	return Of(&st), err
}

// OfPath is for the file to which a path leads.
func OfPath(path string) (ID, error) {
	var st unix.Stat_t
	err := retried.Stat(path, &st)
	return Of(&st), err
}
