//go:build unix

package limits

import (
	"fmt"
	"sync/atomic"
	"time"

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

var polls atomic.Bool

// Poller makes Go's runtime open its poller's two descriptors, or tells that there is no room for
// them. The runtime does it for the program's first file or timer, and gives no error if it
// cannot: it aborts.
func Poller() error {
	if polls.Load() {
		return nil
	}
	err := spareFiles(2)
	if err == nil {
		time.AfterFunc(time.Hour, func() {}).Stop()
		polls.Store(true)
	}
	return err
}

// spareFiles tells whether there is room for so many descriptors more.
func spareFiles(wanted int) error {
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
