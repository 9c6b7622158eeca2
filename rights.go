package daemonocle

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/errand"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/privs"
	"github.com/daemonocle/daemonocle/internal/proc"
)

// With whose rights is a process signalled? The caller's own, if the caller is not root:
// the kernel judges. Root acts with its rights only on a process that the kernel names
// and whose user is the one it must be; on what only a stranger names, with that
// stranger's rights.

// rights are those with which root signals a process.
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

// target is a process that may be signalled, with the rights of the user as; the zero
// value means the caller's.
type target struct {
	*proc.Handle
	as privs.Identity
}

// Signal sends a signal to the process.
func (t target) Signal(sig syscall.Signal) error {
	if t.as.IsZero() {
		return t.Handle.Signal(sig)
	}
	return errand.Signal(t.as, t.Handle, sig)
}

// errStranger says that a process is not whose it must be.
var errStranger = errors.New("belongs to another user than the daemon's")

// named is for a process that the kernel names.
func (d *Daemon) named(h *proc.Handle) (target, error) {
	if os.Geteuid() != 0 {
		return target{Handle: h}, nil
	}
	ids, err := h.IDs()
	if errors.Is(err, proc.ErrGone) {
		return target{}, err
	}
	r := noRights
	if err == nil {
		r = rightsOver(d.plan.User(), ids, func() bool { return proc.SameImage(h.PID()) })
	}
	switch r {
	case allRights:
		return target{Handle: h}, nil
	case itsRights:
		return target{h, privs.Identity{SwitchUser: true, UID: ids.UID[0], SwitchGroup: true, GID: ids.GID[0]}}, nil
	}
	return target{}, fmt.Errorf("process %d %w", h.PID(), errStranger)
}

// claimed is for a process that only the daemon's own processes name: by a descriptor, or
// by their process group.
func (d *Daemon) claimed(h *proc.Handle) (target, error) {
	if d.plan.Stranger() {
		return target{h, d.plan.ID}, nil
	}
	return d.named(h)
}

// killClaimed ends such a process, if is says of it, after its handle was opened, that it
// is one. refused: it could not be ended, or not with the rights that it takes.
func (d *Daemon) killClaimed(pid int, is func() bool) (killed, refused bool) {
	h, err := proc.Open(pid)
	if err != nil {
		return false, !errors.Is(err, proc.ErrGone)
	}
	defer h.Close()
	if !is() || h.Gone() {
		return false, false
	}
	t, err := d.claimed(h)
	if err == nil {
		err = t.Signal(syscall.SIGKILL)
	}
	gone := errors.Is(err, proc.ErrGone)
	return err == nil, err != nil && !gone
}

// killGroup kills what is left of a process group whose leader is gone, each
// member through a handle that was checked after it was opened.
func (d *Daemon) killGroup(pgid int) (killed, refused []int) {
	if proc.Alive(pgid) {
		return nil, nil // nobody was left, and the number is somebody else's by now
	}
	members, _ := proc.Group(pgid)
	return d.killAll(members, func(pid int) bool {
		group, _, err := proc.GroupID(pid)
		return err == nil && group == pgid
	})
}

func (d *Daemon) killAll(pids []int, is func(pid int) bool) (killed, refused []int) {
	for _, pid := range pids {
		switch ended, not := d.killClaimed(pid, func() bool { return is(pid) }); {
		case ended:
			killed = append(killed, pid)
		case not:
			refused = append(refused, pid)
		}
	}
	return killed, refused
}

// couldBe are those of the processes that the daemon's user could end himself, which all
// are that have come from his: the others were only handed something.
func (d *Daemon) couldBe(pids []int) []int {
	if !d.plan.Stranger() {
		return pids
	}
	return slices.DeleteFunc(pids, func(pid int) bool {
		h, err := proc.Open(pid)
		if err != nil {
			return true
		}
		defer h.Close()
		ids, err := h.IDs()
		return err != nil || ids.UID[0] != d.plan.ID.UID && ids.UID[2] != d.plan.ID.UID
	})
}

// unnamedLeft is for what was left behind and could not be ended; pids may be empty.
func (d *Daemon) unnamedLeft(op string, pids []int) *fault.Fault {
	what := "what " + d.plan.Name + " has left behind cannot be named from here"
	if len(pids) > 0 {
		var who []string
		for _, pid := range pids {
			who = append(who, who1(pid))
		}
		what = plural(len(pids), "a process that "+d.plan.Name+" has left behind cannot be named from here: ",
			"%d processes that "+d.plan.Name+" has left behind cannot be named from here: ") + strings.Join(who, ", ")
	}
	e := d.plan.Fail(op, fault.Say(what, ErrHeldElsewhere))
	e.Hint = "Only processes of the daemon's own say that it belongs to them: look who has the PID file open, as with fuser, and end what is the daemon's with kill."
	if d.plan.Stranger() {
		e.Hint = "Only user " + proc.Username(d.plan.ID.UID) + ", who may not end it, says that it belongs to the daemon: look who has the PID file open, as with fuser, and end what is the daemon's with kill."
	}
	return e
}

// who1 names a process and its user.
func who1(pid int) string {
	if h, err := proc.Open(pid); err == nil {
		defer h.Close()
		if ids, err := h.IDs(); err == nil {
			return fmt.Sprintf("process %d of user %s", pid, proc.Username(ids.UID[1]))
		}
	}
	return fmt.Sprintf("process %d", pid)
}
