//go:build !((!cgo && !darwin) || android || osusergo)

package users

import "os/user"

// ByName finds a user.
func ByName(name string) (*user.User, error) { return user.Lookup(name) }

// ByID finds a user.
func ByID(uid string) (*user.User, error) { return user.LookupId(uid) }

// Group finds a group by its name.
func Group(name string) (*user.Group, error) { return user.LookupGroup(name) }

// GroupByID finds a group by its number.
func GroupByID(gid string) (*user.Group, error) { return user.LookupGroupId(gid) }

// Groups are the groups of a user whose primary group is u.Gid, which is one of them.
func Groups(u *user.User) ([]string, error) { return u.GroupIds() }
