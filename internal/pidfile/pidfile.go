// Package pidfile says who runs, by locks in the PID file, and never by the
// number that stands in it.
//
// Byte 1 carries an open-file-description write lock: a daemon is running. Byte
// 0 carries a POSIX record write lock: this process is it; the kernel names its
// holder to anybody who can open the file for reading. Nobody takes a lock to
// look. On systems without open-file-description locks both are POSIX locks.
package pidfile

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/daemonocle/daemonocle/internal/paths"
)

// File is a PID file that is to be judged or taken.
type File struct {
	paths.Name
	// Trusted are users, besides root and our own, whose file may stand here.
	Trusted []int
	// Earlier are other places at which a daemon may run: it is found there, and none is
	// started beside it. The first one is used where the file system of the file does
	// not name the holder of a lock; Private is a directory above it that is created for
	// this user alone.
	Earlier []paths.Name
	Private string
	Umask   int // this process's

	names func(fd int) bool // in the place of namesMe, for tests
	// Stranger means that the daemon changes its user to one who is neither root nor the
	// caller. What its processes alone can say is not believed then: a number that they
	// can write, a descriptor that they can hand to anybody.
	Stranger bool
}

// State is what the locks say.
type State int

const (
	Absent  State = iota // no file
	Free                 // a file that nobody holds: stale
	Running              // held by a daemon
	Blocked              // no daemon, but somebody else's lock is in the way
)

// Report is the answer of Look.
type Report struct {
	State State
	// PID of the daemon, or of the process that blocks the file; 0 if it cannot
	// be told, as for a daemon in another PID namespace.
	PID int
	// Number stands in the file; 0 if it is empty or garbage.
	Number int
	// UID of the process PID that blocks, or of Locker, -1 if unknown, and for any other state.
	UID int
	// Locker is a process that holds a read lock where the daemon's own lock belongs, so
	// that the kernel does not name the daemon; 0 if there is none.
	Locker int
	// Unproved means that a daemon runs, but that it has lost its own lock and
	// which process it is cannot be shown.
	Unproved bool
	// Severed means that the process which the kernel names has no such lock: it is gone, and
	// others, to whom nothing leads from here, have its table of descriptors. Unproved, too.
	Severed bool
	// Orphaned means that a file that is free is still open in processes that a
	// dead daemon, which was a foreign program, has left behind.
	Orphaned bool
	// Stranger means, to root, that the daemon changes its user, whatever File.Stranger
	// says, or that it may have done so.
	Stranger bool
	// Inode tells the file from every other that exists at the same time; empty
	// if there is none. All generations of a daemon have the same.
	Inode string

	passing bool // only in the middle of a look: it can be explained by a moment
}

// UntrustedError refuses a file that is not a PID file of ours.
type UntrustedError struct {
	Path string
	Why  string
	UID  int // owner if that is the reason, else -1
	Kind UntrustedKind
}

// UntrustedKind is what can be done about it.
type UntrustedKind int

const (
	InTheWay  UntrustedKind = iota // a file or a link, which can be removed
	OtherType                      // a directory or device, say, which serves somebody else
)

func (e *UntrustedError) Error() string { return fmt.Sprintf("PID file %s %s", e.Path, e.Why) }

// BusyError says why Acquire did not get the file.
type BusyError struct {
	Path   string
	Report *Report
}

func (e *BusyError) Error() string {
	if e.Report.State == Running {
		return fmt.Sprintf("PID file %s is held by process %d", e.Path, e.Report.PID)
	}
	return fmt.Sprintf("PID file %s is locked by process %d", e.Path, e.Report.PID)
}

// parse reads the whole content: digits and at most a newline.
func parse(b []byte) int {
	s, _ := strings.CutSuffix(string(b), "\n")
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n < 1 || s[0] < '0' || s[0] > '9' {
		return 0
	}
	return int(n)
}

// Named reports whether PID is the daemon's, as the kernel says it.
func (r *Report) Named() bool { return r.State == Running && r.PID > 0 && !r.Unproved }

// Broken reports whether the content names no process.
func (r *Report) Broken() bool { return r.State != Absent && r.Number == 0 }

func wrap(op string, n paths.Name, err error) error {
	if err == nil {
		return nil
	}
	if _, is := errors.AsType[*fs.PathError](err); is {
		return err
	}
	return &fs.PathError{Op: op, Path: n.String(), Err: err}
}
