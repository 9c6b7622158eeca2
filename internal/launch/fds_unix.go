//go:build unix

package launch

import (
	"os"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"golang.org/x/sys/unix"
)

func survives(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

// probe is for systems that do not list a process's descriptors reliably.
func probe(limit int) []int {
	var list []int
	for fd := 3; fd < limit; fd++ {
		if survives(fd) {
			list = append(list, fd)
		}
	}
	return list
}

// Identity tells a file from every other that is open at the same time.
func Identity(f *os.File) string {
	id, err := fileid.OfFD(int(f.Fd()))
	if err != nil {
		return ""
	}
	return id.String()
}

// Duplicate is another descriptor for an open file, which has that name.
func Duplicate(fd int, name string) (*os.File, error) {
	another, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(another), name), nil
}

// HasRoom reports an error if nothing can be added to a file, as on a full disk:
// opening it for appending does not tell.
func HasRoom(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	return reserve(int(f.Fd()), info.Size())
}
