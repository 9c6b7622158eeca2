//go:build unix && !linux

package privs

import (
	"syscall"
)

const supported = true

var kernel = calls{
	setgroups: syscall.Setgroups,
	setgid:    setgid,
	setuid:    setuid,
}

// setgid and setuid set real, effective and saved ids when root calls them;
// the second call is for who is not root but has two identities, as a
// set-user-ID program has.
func setgid(gid int) error {
	if err := syscall.Setgid(gid); err != nil {
		return err
	}
	return syscall.Setregid(gid, gid)
}

func setuid(uid int) error {
	if err := syscall.Setuid(uid); err != nil {
		return err
	}
	return syscall.Setreuid(uid, uid)
}

type procfs struct{}

var noProcfs procfs

func openProcfs() procfs { return noProcfs }
func (procfs) close()    {}

// current takes the effective ids for the saved ones, which not every system
// shows.
func current() (credentials, error) {
	groups, err := syscall.Getgroups()
	if err != nil {
		return credentials{}, err
	}
	uid, gid := syscall.Geteuid(), syscall.Getegid()
	return credentials{
		uid:    [3]int{syscall.Getuid(), uid, uid},
		gid:    [3]int{syscall.Getgid(), gid, gid},
		groups: groups,
	}, nil
}

func (c *Change) prove(before, after credentials, changed bool) error {
	now, err := current()
	if err != nil {
		return err
	}
	switch {
	case now.uid != after.uid:
		return errorf("uids are %s, not %s", list(now.uid[:]), list(after.uid[:]))
	case now.gid != after.gid:
		return errorf("gids are %s, not %s", list(now.gid[:]), list(after.gid[:]))
	case !sameGroups(now.groups, after.groups, after.gid[1]):
		return errorf("groups are %s, not %s", list(now.groups), list(after.groups))
	}
	if after.root() {
		return nil
	}
	// Tried even when nothing was switched, for the saved ids. One that succeeds has made this process root again: the caller must end.
	if syscall.Setuid(0) == nil || syscall.Setreuid(-1, 0) == nil {
		return errorf("uid 0 could be taken back")
	}
	if after.gid != all(0) && (syscall.Setgid(0) == nil || syscall.Setregid(-1, 0) == nil) {
		return errorf("gid 0 could be taken back")
	}
	return nil
}
