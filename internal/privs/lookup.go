package privs

import (
	"errors"
	"io/fs"
	"math"
	"os/user"
	"strconv"
	"strings"

	"github.com/daemonocle/daemonocle/internal/users"
)

// maxID is the greatest id there is: the next one, -1, means "leave as it is"
// to the kernel, and a setuid(-1) that did nothing would look like success.
const maxID = math.MaxUint32 - 1

func inRange(id int) bool { return id >= 0 && uint64(id) <= maxID }

// Lookup finds a user and a group, each by name or by number; an empty one is
// not switched, except that a user without a group gets his own primary group:
// to keep the starter's, root's as a rule, would be a leak.
//
// Only digits are a number and then never a name. A number needs no entry in
// the database; then there are no supplementary groups but the group itself,
// which must be given. With both user and group the supplementary groups are
// those in which the database lists the user, and the group in place of his
// primary one, as initgroups(3) has it. A group alone is all there will be.
//
// Package users says which database that is.
func Lookup(userSpec, groupSpec string) (Identity, error) {
	if !supported && userSpec+groupSpec != "" {
		return Identity{}, errorf("look up user and group: %w", errors.ErrUnsupported)
	}
	return system.lookup(userSpec, groupSpec)
}

// database is the system's; tests have their own.
type database struct {
	user    func(name string) (*user.User, error)
	userID  func(uid string) (*user.User, error)
	group   func(name string) (*user.Group, error)
	groupID func(gid string) (*user.Group, error)
	groups  func(*user.User) ([]string, error)
}

var system = database{user: users.ByName, userID: users.ByID, group: users.Group, groupID: users.GroupByID, groups: users.Groups}

func (db database) lookup(userSpec, groupSpec string) (Identity, error) {
	var id Identity
	var entry *user.User
	if userSpec != "" {
		var err error
		if entry, err = db.findUser(userSpec); err != nil {
			return Identity{}, err
		}
		uid, err := entryID("user", entry.Username, entry.Uid)
		if err != nil {
			return Identity{}, err
		}
		id.SwitchUser, id.UID, id.UserName = true, uid, entry.Username
	}
	switch {
	case groupSpec != "":
		g, err := db.findGroup(groupSpec)
		if err != nil {
			return Identity{}, err
		}
		gid, err := entryID("group", g.Name, g.Gid)
		if err != nil {
			return Identity{}, err
		}
		id.SwitchGroup, id.GID, id.GroupName = true, gid, g.Name
	case entry == nil:
		return Identity{}, nil
	case entry.Gid == "":
		return Identity{}, errorf("%w group for user %d: it has no passwd entry", ErrUnknown, id.UID)
	default:
		gid, err := entryID("group of user", entry.Username, entry.Gid)
		if err != nil {
			return Identity{}, err
		}
		id.SwitchGroup, id.GID = true, gid
	}
	if id.UserName != "" {
		var err error
		if id.Groups, err = db.groupsOf(entry, id.GID); err != nil {
			return Identity{}, err
		}
	}
	return id.normal()
}

// findUser gives a user without name and group for a number that nobody has.
func (db database) findUser(spec string) (*user.User, error) {
	uid, number, err := parseID(spec)
	if err != nil {
		return nil, errorf("%w user %q: %w", ErrUnknown, spec, err)
	}
	if !number {
		u, err := byName(spec, db.user)
		if err != nil && unknown(err) {
			return nil, errorf("%w user %q", ErrUnknown, spec)
		} else if err != nil {
			return nil, errorf("look up user %q: %w", spec, err)
		}
		return u, nil
	}
	u, err := db.userID(strconv.Itoa(uid))
	if err != nil && unknown(err) {
		return &user.User{Uid: strconv.Itoa(uid)}, nil
	} else if err != nil {
		// Without his entry he would silently lose groups.
		return nil, errorf("look up user %d: %w", uid, err)
	}
	return u, nil
}

func (db database) findGroup(spec string) (*user.Group, error) {
	gid, number, err := parseID(spec)
	if err != nil {
		return nil, errorf("%w group %q: %w", ErrUnknown, spec, err)
	}
	if !number {
		g, err := byName(spec, db.group)
		if err != nil && unknown(err) {
			return nil, errorf("%w group %q", ErrUnknown, spec)
		} else if err != nil {
			return nil, errorf("look up group %q: %w", spec, err)
		}
		return g, nil
	}
	if g, err := db.groupID(strconv.Itoa(gid)); err == nil {
		return g, nil
	}
	return &user.Group{Gid: strconv.Itoa(gid)}, nil // the name is for messages only
}

// groupsOf asks for the groups of somebody whose primary group is gid: package
// users hands User.Gid on to getgrouplist(3), or does what that does.
func (db database) groupsOf(entry *user.User, gid int) ([]int, error) {
	u := *entry
	u.Gid = strconv.Itoa(gid)
	names, err := db.groups(&u)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no /etc/group, as in an image from scratch
	} else if err != nil {
		return nil, errorf("look up groups of user %q: %w", u.Username, err)
	}
	gids := make([]int, 0, len(names))
	for _, name := range names {
		g, err := entryID("group of user", u.Username, name)
		if err != nil {
			return nil, err
		}
		gids = append(gids, g)
	}
	return gids, nil
}

// byName keeps from the database what no name can hold. A C library would stop
// reading at a NUL and find "root" in "root\x00x".
func byName[T any](name string, find func(string) (*T, error)) (*T, error) {
	if strings.ContainsAny(name, "\x00\n:/") {
		return nil, user.UnknownUserError(name)
	}
	return find(name)
}

func unknown(err error) bool {
	switch err.(type) {
	case user.UnknownUserError, user.UnknownUserIdError, user.UnknownGroupError:
		return true
	}
	return errors.Is(err, fs.ErrNotExist) // no /etc/passwd: nobody is known
}

// entryID reads an id that the database gave.
func entryID(what, name, s string) (int, error) {
	id, number, err := parseID(s)
	if err == nil && !number {
		err = errors.New("not a number")
	}
	if err != nil {
		return 0, errorf("%s %q has id %q: %w", what, name, s, err)
	}
	return id, nil
}

// parseID tells a number from a name: decimal digits, perhaps with a minus sign
// that makes it out of range. Anything else is a name.
func parseID(s string) (id int, number bool, err error) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n > maxID || n > math.MaxInt {
		return 0, true, errorf("not a number from 0 to %d", min(uint64(maxID), math.MaxInt))
	}
	return int(n), true, nil
}

// Home is the home directory of a user in the database.
func Home(uid int) (string, error) {
	u, err := system.userID(strconv.Itoa(uid))
	if err != nil {
		return "", errorf("look up user %d: %w", uid, err)
	}
	return u.HomeDir, nil
}
