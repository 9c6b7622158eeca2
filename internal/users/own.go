//go:build (!cgo && !darwin) || android || osusergo

package users

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// os/user is not asked here. Without cgo it answers from $USER and $HOME when our own uid has
// no entry: with USER=www-data in the environment of root in an image without /etc/passwd,
// "www-data" would be uid 0, and the switch to him would be none.
const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// How many fields a line of a file has at least.
const (
	passwdFields = 7
	groupFields  = 4
)

// ByName finds a user.
func ByName(name string) (*user.User, error) {
	return findUser(0, name, user.UnknownUserError(name))
}

// ByID finds a user.
func ByID(uid string) (*user.User, error) {
	id, err := strconv.Atoi(uid)
	if err != nil {
		return nil, fmt.Errorf("user id %q is not a number", uid)
	}
	return findUser(2, uid, user.UnknownUserIdError(id))
}

func findUser(at int, value string, unknown error) (*user.User, error) {
	data, err := os.ReadFile(passwdFile)
	if err != nil {
		return nil, err
	}
	if u := userIn(string(data), at, value); u != nil {
		return u, nil
	}
	return nil, unknown
}

// Group finds a group by its name.
func Group(name string) (*user.Group, error) {
	return findGroup(0, name, user.UnknownGroupError(name))
}

// GroupByID finds a group by its number.
func GroupByID(gid string) (*user.Group, error) {
	return findGroup(2, gid, user.UnknownGroupIdError(gid))
}

func findGroup(at int, value string, unknown error) (*user.Group, error) {
	data, err := os.ReadFile(groupFile)
	if err != nil {
		return nil, err
	}
	if g := groupIn(string(data), at, value); g != nil {
		return g, nil
	}
	return nil, unknown
}

// Groups are the groups of a user whose primary group is u.Gid, which is one of them.
func Groups(u *user.User) ([]string, error) {
	data, err := os.ReadFile(groupFile)
	if err != nil {
		return nil, err
	}
	return groupsIn(string(data), u), nil
}

func userIn(passwd string, at int, value string) *user.User {
	for line := range strings.Lines(passwd) {
		f := entry(line, passwdFields)
		if f != nil && f[at] == value && isNumber(f[3]) {
			name, _, _ := strings.Cut(f[4], ",")
			return &user.User{Username: f[0], Uid: f[2], Gid: f[3], Name: name, HomeDir: f[5]}
		}
	}
	return nil
}

func groupIn(group string, at int, value string) *user.Group {
	for line := range strings.Lines(group) {
		if f := entry(line, groupFields); f != nil && f[at] == value {
			return &user.Group{Name: f[0], Gid: f[2]}
		}
	}
	return nil
}

func groupsIn(group string, u *user.User) []string {
	list := []string{u.Gid}
	for line := range strings.Lines(group) {
		f := entry(line, groupFields)
		if u.Username != "" && len(f) == groupFields && slices.Contains(strings.Split(f[3], ","), u.Username) && !slices.Contains(list, f[2]) {
			list = append(list, f[2])
		}
	}
	return list
}

// entry gives the fields of a line; nil if it is not of one user or group: "+name" and
// "-name" ask for other databases.
func entry(line string, fields int) []string {
	f := strings.Split(strings.TrimSpace(line), ":")
	if len(f) < fields || f[0] == "" || strings.ContainsAny(f[0][:1], "#+-") || !isNumber(f[2]) {
		return nil
	}
	return f
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}
