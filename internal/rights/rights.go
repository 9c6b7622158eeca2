// Package rights decides with whose rights a process of a daemon is signalled, if at all,
// and signals it so. Whoever acts on a daemon's processes comes through here: a stop, a
// signal, and a start that takes back what has come of it.
package rights

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/errand"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/privs"
	"github.com/daemonocle/daemonocle/internal/proc"
)

// rights are those with which root signals a process. Root acts with its own only on a process
// that the kernel names and whose user is the one it must be; on what only a stranger names,
// with that stranger's. Of a caller who is not root the kernel judges.
type rights int

const (
	noRights  rights = iota // it is not signalled
	allRights               // root's
	itsRights               // those of the process's own user
)

// rightsOver judges a process that the kernel names as the daemon's. user is the one that
// the daemon changes to, -1 if it changes to none. image says whether the process is of
// this very program.
func rightsOver(user int, ids proc.IDs, image func() bool) rights {
	switch {
	case user > 0 && ids.Only(user):
		return allRights
	case user > 0 && ids.Only(0) && image(): // it has not changed its user yet
		return allRights
	case user <= 0 && ids.Only(0):
		return allRights
	case user < 0 && ids.Only(ids.UID[0]): // another user's daemon, or one that has changed its user by itself
		return itsRights
	}
	return noRights
}

// Target is a process that may be signalled, with the rights of the user as; the zero
// value means the caller's.
type Target struct {
	*proc.Handle
	as privs.Identity
}

// Signal sends a signal to the process.
func (t *Target) Signal(sig syscall.Signal) error {
	if t.as.IsZero() {
		return t.Handle.Signal(sig)
	}
	return errand.Signal(t.as, t.Handle, sig)
}

// ErrStranger says that a process is not whose it must be.
var ErrStranger = errors.New("belongs to another user than the daemon's")

// Named is for a process that the kernel names.
func Named(p *plan.Plan, h *proc.Handle) (*Target, error) {
	if os.Geteuid() != 0 {
		return &Target{Handle: h}, nil
	}
	ids, err := h.IDs()
	if errors.Is(err, proc.ErrGone) {
		return nil, err
	}
	r := noRights
	if err == nil {
		r = rightsOver(p.User(), ids, func() bool { return proc.SameImage(h.PID()) })
	}
	switch r {
	case allRights:
		return &Target{Handle: h}, nil
	case itsRights:
		return &Target{h, privs.Identity{SwitchUser: true, UID: ids.UID[0], SwitchGroup: true, GID: ids.GID[0]}}, nil
	}
	return nil, fmt.Errorf("process %d %w", h.PID(), ErrStranger)
}

// Claimed is for a process that only the daemon's own processes name: by a descriptor, or
// by their process group.
func Claimed(p *plan.Plan, h *proc.Handle) (*Target, error) {
	if p.Stranger() {
		return &Target{h, p.ID}, nil
	}
	return Named(p, h)
}

// killClaimed ends such a process, if is says of it, after its handle was opened, that it
// is one. refused: it could not be ended, or not with the rights that it takes.
func killClaimed(p *plan.Plan, pid int, is func() bool) (killed, refused bool) {
	h, err := proc.Open(pid)
	if err != nil {
		return false, !errors.Is(err, proc.ErrGone)
	}
	defer h.Close()
	if !is() || h.Gone() {
		return false, false
	}
	t, err := Claimed(p, h)
	if err == nil {
		err = t.Signal(syscall.SIGKILL)
	}
	gone := errors.Is(err, proc.ErrGone)
	return err == nil, err != nil && !gone
}

// KillGroup kills what is left of a process group whose leader is gone, each
// member through a handle that was checked after it was opened.
func KillGroup(p *plan.Plan, pgid int) (killed, refused []int) {
	if proc.Alive(pgid) {
		return nil, nil // nobody was left, and the number is somebody else's by now
	}
	members, _ := proc.Group(pgid)
	return KillAll(p, members, func(pid int) bool {
		group, _, err := proc.GroupID(pid)
		return err == nil && group == pgid
	})
}

// KillAll kills those of the processes of which is says, after their handles were opened, that
// they are the daemon's. refused could not be killed, or not with the rights that it takes.
func KillAll(p *plan.Plan, pids []int, is func(pid int) bool) (killed, refused []int) {
	for _, pid := range pids {
		switch ended, not := killClaimed(p, pid, func() bool { return is(pid) }); {
		case ended:
			killed = append(killed, pid)
		case not:
			refused = append(refused, pid)
		}
	}
	return killed, refused
}

// CouldBe are those of the processes that the daemon's user could end himself, which all
// are that have come from his: the others were only handed something.
func CouldBe(p *plan.Plan, pids []int) []int {
	if !p.Stranger() {
		return pids
	}
	return slices.DeleteFunc(pids, func(pid int) bool {
		h, err := proc.Open(pid)
		if err != nil {
			return true
		}
		defer h.Close()
		ids, err := h.IDs()
		return err != nil || ids.UID[0] != p.ID.UID && ids.UID[2] != p.ID.UID
	})
}
