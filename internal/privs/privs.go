// Package privs turns a process into somebody else for good: it looks the
// identity up, takes it on in the only order that works (supplementary groups,
// group, user), and then proves it instead of believing it.
//
// What it promises after a [Change.Drop] that returned nil: the user and group
// ids of every kind are the identity's; the supplementary groups are the
// identity's and never what the starter had; a process that came from root and
// is to be somebody else has no capability left and no way back to root.
//
// What it does not do: no_new_privs, the bounding set and securebits stay as
// they were; a set-user-ID program that the worker runs works as it does for
// any process of that user. A Drop that failed may have switched a part of the
// identity: all the process can do then is end.
//
// # Linux
//
// Ids, groups and capabilities belong to threads here. They are changed on all
// threads of the Go runtime at once (and, with cgo, on all that libc knows) and
// read back for every thread that the kernel shows. [Prepare] holds /proc open
// for that, so that it also works in a chroot. Where there is no /proc at all
// the proof is weaker: it covers the calling thread and the attempts to become
// root again, and takes it from the runtime that the other threads followed.
//
// # BSD and macOS
//
// Ids belong to the process. Real and effective ids and the groups are read
// back; the saved ids cannot be read everywhere and are proved only by failing
// to become root again. A user with more groups than the kernel can keep (16 on
// macOS, NetBSD and OpenBSD) gets the first of them, as at login.
//
// # Elsewhere
//
// [Lookup] and [Prepare] return [errors.ErrUnsupported] unless there is nothing
// to switch.
package privs

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Errors to branch on.
var (
	// ErrUnknown is in the error of a Lookup that did not find somebody.
	ErrUnknown = errors.New("unknown")

	// ErrUnproved is in the error of a Drop in which every call succeeded and
	// the process is still not what it was to become.
	ErrUnproved = errors.New("not proved")
)

// errorf is fmt.Errorf, whose code would be at each of the many places that call it.
//
//go:noinline
func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// Identity is who the daemon becomes. The zero value switches nothing.
type Identity struct {
	// SwitchUser makes UID count. It needs SwitchGroup: whoever changes the
	// user and keeps the group keeps the group's files, root's as a rule.
	SwitchUser bool
	UID        int

	// SwitchGroup makes GID and Groups count. Groups are the supplementary
	// groups; GID is always among them, so that nil means just GID.
	SwitchGroup bool
	GID         int
	Groups      []int

	// UserName and GroupName are for messages only and may be empty.
	UserName, GroupName string
}

// IsZero reports whether the identity switches nothing.
func (id Identity) IsZero() bool { return !id.SwitchUser && !id.SwitchGroup }

// String names the identity as in "www-data (uid 33, gid 33)".
func (id Identity) String() string {
	ids := fmt.Sprintf("gid %d", id.GID)
	name := id.GroupName
	switch {
	case id.IsZero():
		return "unchanged"
	case id.SwitchUser:
		ids = fmt.Sprintf("uid %d, gid %d", id.UID, id.GID)
		name = id.UserName
	case name != "":
		name = "group " + name
	}
	if name == "" {
		return ids
	}
	return name + " (" + ids + ")"
}

// normal checks the identity and gives it its own, complete list of groups,
// GID first: FreeBSD before 15 takes the first one for the effective group.
func (id Identity) normal() (Identity, error) {
	if id.SwitchUser && !id.SwitchGroup {
		return id, errors.New("a switch of the user needs a group")
	}
	if id.SwitchUser && !inRange(id.UID) {
		return id, errorf("uid %d is out of range", id.UID)
	}
	if !id.SwitchGroup {
		return id, nil
	}
	others := slices.DeleteFunc(slices.Clone(id.Groups), func(g int) bool { return g == id.GID })
	slices.Sort(others)
	id.Groups = append([]int{id.GID}, slices.Compact(others)...)
	for _, g := range id.Groups {
		if !inRange(g) {
			return id, errorf("gid %d is out of range", g)
		}
	}
	return id, nil
}

// Error is a switch that was refused or not proved. Its text is the one that
// users know; Step says where it was.
type Error struct {
	Step string // "setgroups", "setgid", "setuid" or "proof"
	Err  error
}

func (e *Error) Error() string { return "unable to setuid or setgid (" + e.Err.Error() + ")" }
func (e *Error) Unwrap() error { return e.Err }

// Hint says in a full sentence what can be done, or is empty. The settings are those of user
// and group, as the reader knows them.
func (e *Error) Hint(settings string) string {
	switch {
	case !errors.Is(e.Err, syscall.EPERM):
		return ""
	case e.Step == "setgroups":
		return "Only root can change the supplementary groups; start as root, or do without " + settings + "."
	}
	return "Only root can become somebody else; start as root, or do without " + settings + "."
}

// credentials are what a process runs with: real, effective and saved ids.
type credentials struct {
	uid, gid [3]int
	groups   []int
}

func (c credentials) root() bool { return slices.Contains(c.uid[:], 0) }

func all(id int) [3]int { return [3]int{id, id, id} }

// sameGroups compares two lists as the kernel does when it looks at a file:
// without order, and with the group gid in both.
func sameGroups(a, b []int, gid int) bool {
	return within(a, b, gid) && within(b, a, gid)
}

func within(a, b []int, gid int) bool {
	for _, g := range a {
		if g != gid && !slices.Contains(b, g) {
			return false
		}
	}
	return true
}

// calls are the three that change something; tests put half-hearted ones here.
type calls struct {
	setgroups func([]int) error
	setgid    func(int) error
	setuid    func(int) error
}

// Change is a switch that is about to be made. It is not safe for concurrent
// use.
type Change struct {
	id    Identity
	calls calls
	proc  procfs
	used  bool
}

// Prepare gets ready to become id. It is called before chroot, because it holds
// what the proof needs afterwards: on Linux an O_PATH descriptor of /proc, which
// is close-on-exec and lives until Drop or Close. A missing /proc is no error,
// see the package comment.
func Prepare(id Identity) (*Change, error) {
	id, err := id.normal()
	if err != nil {
		return nil, errorf("prepare %s: %w", id, err)
	}
	c := &Change{id: id, calls: kernel, proc: noProcfs}
	if id.IsZero() {
		return c, nil
	}
	if !supported {
		return nil, errorf("become %s: %w", id, errors.ErrUnsupported)
	}
	c.proc = openProcfs()
	return c, nil
}

// Close lets go of what Prepare holds; there is no Drop after it. It may be
// called twice and after Drop.
func (c *Change) Close() {
	c.used = true
	c.proc.close()
	c.proc = noProcfs
}

// Drop makes the process the identity and proves it; it closes c. What is so
// already is not done again: who names himself needs no privilege. It may be
// called once, by a process that starts no other one meanwhile. The error is an
// *[Error].
func (c *Change) Drop() error {
	if c.id.IsZero() {
		return nil
	}
	if c.used {
		// What the proof needs is gone.
		return &Error{"proof", errorf("%w: already dropped or closed", ErrUnproved)}
	}
	defer c.Close()

	// The proof reads this thread's view and tries on this thread to become
	// root. Only a proof that succeeded gives the thread back to others.
	runtime.LockOSThread()

	before, err := current()
	if err != nil {
		return &Error{"setuid", err}
	}
	after, changed, err := c.become(before)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	if err := c.prove(before, after, changed); err != nil {
		return &Error{"proof", errorf("%w: %w", ErrUnproved, err)}
	}
	runtime.UnlockOSThread()
	return nil
}

// become does the switch and returns what must now be so.
func (c *Change) become(before credentials) (after credentials, changed bool, err error) {
	id := c.id
	after = before
	if id.SwitchUser {
		after.uid = all(id.UID)
	}
	if id.SwitchGroup {
		after.gid = all(id.GID)
		after.groups = id.Groups[:min(len(id.Groups), maxGroups)]
	}
	sameIDs := before.uid == after.uid && before.gid == after.gid

	// An ordinary user who is himself already can do nothing about his groups,
	// and need not when he has fewer than the database now says (he was added to
	// one after his login), or has named only his group: then the others are
	// his. It is not even tried: a service manager's filter kills for it.
	if sameIDs && !before.root() &&
		(!id.SwitchUser || within(before.groups, after.groups, after.gid[1])) {
		after.groups = before.groups
	}
	// Groups first: without root's ids nobody may set them any more. And gid
	// before uid for the same reason.
	if !sameGroups(before.groups, after.groups, after.gid[1]) {
		if err := c.calls.setgroups(after.groups); err != nil {
			return after, changed, &Error{"setgroups", err}
		}
		changed = true
	}
	if before.gid != after.gid {
		if err := c.calls.setgid(id.GID); err != nil {
			return after, changed, &Error{"setgid", err}
		}
		changed = true
	}
	if before.uid != after.uid {
		if err := c.calls.setuid(id.UID); err != nil {
			return after, changed, &Error{"setuid", err}
		}
		changed = true
	}
	return after, changed, nil
}

// list prints ids as in "0, 4 and 27".
func list(ids []int) string {
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = strconv.Itoa(id)
	}
	if n := len(s); n > 1 {
		return strings.Join(s[:n-1], ", ") + " and " + s[n-1]
	}
	return strings.Join(s, "")
}
