// Package proc knows who a process is: a handle that names one process and not
// a number, who is in a process group, what the group uses of the machine, and
// the facts that a status shows.
//
// A zombie is gone everywhere in this package: it runs no code, holds no
// descriptor and no lock, and only waits for its parent to ask. So whether
// somebody reaps it soon, late or never changes no answer here.
//
// # Linux
//
// A [Handle] is a pidfd, so a signal cannot reach a later process of the same
// number. Where pidfd_open(2) is missing (before Linux 5.3, or filtered), a
// Handle is the number and the start time: the two are compared just before
// each kill(2), and between the two calls the number can in theory change
// hands; Wait then looks every 50 ms.
//
// # macOS and the BSDs
//
// A [Handle] is a kqueue that was told of the process when it was opened and
// hears of its exit. It is asked just before each kill(2); a number that
// changes hands between the two calls is not noticed. A waiting goroutine
// holds a thread. OpenBSD and NetBSD let a process watch only its owner's: of
// others just the number is known. [Group], [StartTime] and the fields of
// [Snapshot] come from sysctl on macOS and FreeBSD and are ErrUnsupported on
// OpenBSD and NetBSD; [Measure] works on FreeBSD only, [Children] nowhere.
// This half is compiled and vetted but has not been run by its authors.
//
// # Others
//
// Everything that asks about a process is [errors.ErrUnsupported], and [Alive]
// is false.
package proc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/daemonocle/daemonocle/internal/users"
)

// ErrGone says that there is no such process, or no longer. A zombie is gone.
var ErrGone = errors.New("process is gone")

// errorf is fmt.Errorf, whose code would be at each of the many places that call it.
//
//go:noinline
func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// Alive reports whether there is a process of that number that is not a
// zombie. A process that belongs to somebody else is alive too.
func Alive(pid int) bool {
	return checkPID(pid) == nil && alive(pid)
}

// StartTime returns when the process started, in ticks that are only good for
// comparing: together with the number they name a process, except for one that
// got the same number within the same tick. On Linux it is field 22 of
// /proc/PID/stat. The start time of a zombie can still be read.
func StartTime(pid int) (ticks uint64, err error) {
	if err := checkPID(pid); err != nil {
		return 0, err
	}
	return startTime(pid)
}

// GroupID returns the process group and the session of a process, which may be
// a zombie.
func GroupID(pid int) (pgid, sid int, err error) {
	if err := checkPID(pid); err != nil {
		return 0, 0, err
	}
	return groupID(pid)
}

// Stopped reports whether the process is stopped by a signal.
func Stopped(pid int) bool { return stopped(pid) }

// Group returns the living members of a process group, zombies left out, in
// ascending order. No member is no error. Members that /proc hides from the
// caller (its mount option hidepid) are not found.
func Group(pgid int) ([]int, error) {
	// 0 would mean the caller's own group to the system calls below.
	if pgid < 1 || pgid > math.MaxInt32 {
		return nil, errorf("process group %d: not a group's number", pgid)
	}
	return group(pgid)
}

// Census is who was in which process group when it was made: for looking at many
// groups at the price of one.
type Census map[int][]int

// Groups looks through all processes once.
func Groups() Census { return groups() }

// Members is Group for a group of the Census, and Group for one that came later.
func (c Census) Members(pgid int) ([]int, error) {
	pids, ok := c[pgid]
	if !ok {
		return Group(pgid)
	}
	return livingMembers(pgid, slices.Clone(pids)), nil
}

// Children returns the children of a process, zombies included, in ascending
// order. Linux only. One that is born or dies during the call may be missed or
// listed; where the kernel was built without this list, the error is
// errors.ErrUnsupported.
func Children(pid int) ([]int, error) {
	if err := checkPID(pid); err != nil {
		return nil, err
	}
	return children(pid)
}

// Session returns the living members of a session, in ascending order. Linux only;
// elsewhere there are none.
func Session(sid int) ([]int, error) {
	if err := checkPID(sid); err != nil {
		return nil, err
	}
	return session(sid)
}

// AdoptOrphans makes this process the parent of its descendants whose own parents
// end, until stop is called; those that it has then are reaped when they end. It
// may be called more than once. Linux only; elsewhere, and in a process that
// adopts orphans anyway, it does nothing.
func AdoptOrphans() (stop func()) { return adoptOrphans() }

// OrphanParent is who becomes the parent of orphans while this process adopts them, and
// PID 1 where no process can do that.
func OrphanParent() int { return orphanParent() }

// Orphans returns the living processes that AdoptOrphans has brought, and that
// have left our session.
func Orphans() []int { return orphans() }

// Ending reports whether the process is gone, or will be without any doing of its own: it was
// killed, or has exited, and the kernel takes it apart, which takes long where it has
// much memory. Linux only; elsewhere it is false.
func Ending(pid int) bool { return ending(pid) }

// SameImage reports whether the process executes the file that this one does. Linux only;
// elsewhere it is false.
func SameImage(pid int) bool { return sameImage(pid) }

// Program is the path of the file that the process executes, empty if it cannot be told. A
// file that was replaced since has the same one. Linux only.
func Program(pid int) string { return programOf(pid) }

// Username returns the login name of a user, or the number in decimal if it
// has none.
func Username(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := users.ByID(id); err == nil && u.Username != "" {
		return u.Username
	}
	return id
}

// checkPID refuses what kill(2) and its relatives would not take for the
// number of one process: 0 and negative numbers are groups or everybody, and
// of a longer number the kernel would read the low 32 bits only.
func checkPID(pid int) error {
	if pid < 1 {
		return errorf("process %d: not a process's number", pid)
	}
	if pid > math.MaxInt32 {
		return errorf("process %d: %w", pid, ErrGone)
	}
	return nil
}

// gone is ErrGone with the number.
func gone(pid int) error { return errorf("process %d: %w", pid, ErrGone) }

// ended says why ctx ended. Callers may branch on context.Canceled and
// DeadlineExceeded as well as on the cause.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return errorf("%w: %w", err, cause)
}

func idsOf(uids, gids [3]int64) (i IDs) {
	for k := range uids {
		i.UID[k], i.GID[k] = int(uids[k]), int(gids[k])
	}
	return i
}
