//go:build unix

package limits

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Raise raises a hard limit, if it is lower than that, which only a privileged process can.
func Raise(resource int, hard uint64) error {
	var now unix.Rlimit
	err := unix.Getrlimit(resource, &now)
	if err == nil && hard > uint64(now.Max) {
		put(&now.Max, hard)
		err = unix.Setrlimit(resource, &now)
	}
	return err
}

// Set sets both limits of a resource.
func Set(resource int, soft, hard uint64) error {
	var r unix.Rlimit
	put(&r.Cur, soft)
	put(&r.Max, hard)
	return unix.Setrlimit(resource, &r)
}

// NoCoreDumps makes this process and its children leave none.
func NoCoreDumps() error { return Set(unix.RLIMIT_CORE, 0, 0) }

// put: the type differs between systems.
func put[T uint64 | int64](field *T, value uint64) { *field = T(value) }

// SpareFiles tells early that there are too few descriptors for anything to be done. Go's
// runtime makes two of its own when the program opens its first file, and gives no error
// if it cannot: it aborts.
func SpareFiles() error {
	const wanted = 6
	for range wanted {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
		if err == unix.EMFILE {
			return fmt.Errorf("find free descriptors: %w", err)
		}
		if err == nil {
			defer unix.Close(fd)
		}
	}
	return nil
}
