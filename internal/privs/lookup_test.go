//go:build unix

package privs

import (
	"errors"
	"io/fs"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// town is a database with a few inhabitants.
func town() database {
	users := []user.User{
		{Username: "root", Uid: "0", Gid: "0"},
		{Username: "www-data", Uid: "33", Gid: "33"},
		{Username: "nobody", Uid: "65534", Gid: "65534"},
		{Username: "operator", Uid: "37", Gid: "0"},
		{Username: "odd", Uid: "4294967295", Gid: "1"},
	}
	groups := []user.Group{{Name: "root", Gid: "0"}, {Name: "adm", Gid: "4"}, {Name: "www-data", Gid: "33"}}
	return database{
		user: func(name string) (*user.User, error) {
			name, _, _ = strings.Cut(name, "\x00") // as a C library does
			for _, u := range users {
				if u.Username == name {
					return &u, nil
				}
			}
			return nil, user.UnknownUserError(name)
		},
		userID: func(uid string) (*user.User, error) {
			for _, u := range users {
				if u.Uid == uid {
					return &u, nil
				}
			}
			n, _ := strconv.Atoi(uid)
			return nil, user.UnknownUserIdError(n)
		},
		group: func(name string) (*user.Group, error) {
			name, _, _ = strings.Cut(name, "\x00")
			for _, g := range groups {
				if g.Name == name {
					return &g, nil
				}
			}
			return nil, user.UnknownGroupError(name)
		},
		groupID: func(gid string) (*user.Group, error) {
			for _, g := range groups {
				if g.Gid == gid {
					return &g, nil
				}
			}
			return nil, user.UnknownGroupIdError(gid)
		},
		groups: func(u *user.User) ([]string, error) {
			if u.Username == "www-data" {
				return []string{"4", u.Gid, "1000", "4"}, nil
			}
			return []string{u.Gid}, nil
		},
	}
}

func TestLookup(t *testing.T) {
	tests := []struct {
		user, group string
		want        Identity
		text        string
	}{
		{"", "", Identity{}, "unchanged"},
		{"www-data", "", Identity{true, 33, true, 33, []int{33, 4, 1000}, "www-data", ""}, "www-data (uid 33, gid 33)"},
		{"33", "", Identity{true, 33, true, 33, []int{33, 4, 1000}, "www-data", ""}, "www-data (uid 33, gid 33)"},
		{"www-data", "adm", Identity{true, 33, true, 4, []int{4, 1000}, "www-data", "adm"}, "www-data (uid 33, gid 4)"},
		{"www-data", "5", Identity{true, 33, true, 5, []int{5, 4, 1000}, "www-data", ""}, "www-data (uid 33, gid 5)"},
		{"", "adm", Identity{false, 0, true, 4, []int{4}, "", "adm"}, "group adm (gid 4)"},
		{"", "4", Identity{false, 0, true, 4, []int{4}, "", "adm"}, "group adm (gid 4)"},
		{"", "123", Identity{false, 0, true, 123, []int{123}, "", ""}, "gid 123"},
		{"1234", "123", Identity{true, 1234, true, 123, []int{123}, "", ""}, "uid 1234, gid 123"},
		{"0", "", Identity{true, 0, true, 0, []int{0}, "root", ""}, "root (uid 0, gid 0)"},
		{"root", "0", Identity{true, 0, true, 0, []int{0}, "root", "root"}, "root (uid 0, gid 0)"},
		{"operator", "", Identity{true, 37, true, 0, []int{0}, "operator", ""}, "operator (uid 37, gid 0)"},
		// Root's group goes when another one is given in its place.
		{"operator", "adm", Identity{true, 37, true, 4, []int{4}, "operator", "adm"}, "operator (uid 37, gid 4)"},
		{"0033", "", Identity{true, 33, true, 33, []int{33, 4, 1000}, "www-data", ""}, "www-data (uid 33, gid 33)"},
	}
	for _, tt := range tests {
		t.Run(tt.user+":"+tt.group, func(t *testing.T) {
			got, err := town().lookup(tt.user, tt.group)
			if err != nil {
				t.Fatal(err)
			}
			if !equal(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if got.String() != tt.text {
				t.Errorf("got %q, want %q", got.String(), tt.text)
			}
			if got.IsZero() != (tt.user+tt.group == "") {
				t.Errorf("IsZero: got %v", got.IsZero())
			}
		})
	}
}

func equal(a, b Identity) bool {
	groups := slices.Equal(a.Groups, b.Groups)
	a.Groups, b.Groups = nil, nil
	return groups && a.SwitchUser == b.SwitchUser && a.UID == b.UID && a.SwitchGroup == b.SwitchGroup &&
		a.GID == b.GID && a.UserName == b.UserName && a.GroupName == b.GroupName
}

func TestLookupUnknown(t *testing.T) {
	limit := ": not a number from 0 to 4294967294"
	if strconv.IntSize == 32 {
		limit = ": not a number from 0 to 2147483647"
	}
	tests := []struct{ user, group, want string }{
		{"bob", "", `unknown user "bob"`},
		{"", "bobs", `unknown group "bobs"`},
		{"www-data", "bobs", `unknown group "bobs"`},
		{"bob", "bobs", `unknown user "bob"`},
		{" ", "", `unknown user " "`},
		{" root", "", `unknown user " root"`},
		{"root\n", "", `unknown user "root\n"`},
		{"root\x00x", "", `unknown user "root\x00x"`},
		{"", "adm ", `unknown group "adm "`},
		{"", "adm\x00", `unknown group "adm\x00"`},
		{"root:x:0", "", `unknown user "root:x:0"`},
		{"+33", "", `unknown user "+33"`},
		{"0x21", "", `unknown user "0x21"`},
		{"3_3", "", `unknown user "3_3"`},
		{" 33", "", `unknown user " 33"`},
		{"٣٣", "", `unknown user "٣٣"`},
		{"-", "", `unknown user "-"`},
		{"-1", "", `unknown user "-1"` + limit},
		{"-0", "", `unknown user "-0"` + limit},
		{"", "-1", `unknown group "-1"` + limit},
		{"4294967295", "4", `unknown user "4294967295"` + limit},
		{"4294967296", "4", `unknown user "4294967296"` + limit},
		{"", "4294967295", `unknown group "4294967295"` + limit},
		{"99999999999999999999999", "4", `unknown user "99999999999999999999999"` + limit},
		{"1234", "", `unknown group for user 1234: it has no passwd entry`},
	}
	for _, tt := range tests {
		t.Run(tt.user+":"+tt.group, func(t *testing.T) {
			id, err := town().lookup(tt.user, tt.group)
			if err == nil {
				t.Fatalf("got %s, want an error", id)
			}
			if err.Error() != tt.want || !errors.Is(err, ErrUnknown) {
				t.Errorf("got %q (%v), want %q", err, errors.Is(err, ErrUnknown), tt.want)
			}
			if !id.IsZero() {
				t.Errorf("got %s with the error", id)
			}
		})
	}
}

// A database that cannot be asked is not one in which nobody is.
func TestLookupDatabaseFails(t *testing.T) {
	broken := errors.New("directory server is down")
	for _, name := range []string{"user", "userID", "group", "groups"} {
		db := town()
		switch name {
		case "user":
			db.user = func(string) (*user.User, error) { return nil, broken }
		case "userID":
			db.userID = func(string) (*user.User, error) { return nil, broken }
		case "group":
			db.group = func(string) (*user.Group, error) { return nil, broken }
		case "groups":
			db.groups = func(*user.User) ([]string, error) { return nil, broken }
		}
		spec := "www-data"
		if name == "userID" {
			spec = "33"
		}
		if _, err := db.lookup(spec, "adm"); !errors.Is(err, broken) || errors.Is(err, ErrUnknown) {
			t.Errorf("%s: got %v, want %v", name, err, broken)
		}
	}
	if id, err := town().lookup("odd", ""); err == nil {
		t.Errorf("user whose uid is -1: got %s", id)
	}
}

// An image from scratch has no database: numbers work, names are unknown.
func TestLookupNoDatabase(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "/etc/passwd", Err: fs.ErrNotExist}
	db := database{
		user:    func(string) (*user.User, error) { return nil, missing },
		userID:  func(string) (*user.User, error) { return nil, missing },
		group:   func(string) (*user.Group, error) { return nil, missing },
		groupID: func(string) (*user.Group, error) { return nil, missing },
	}
	id, err := db.lookup("1000", "1000")
	if want := (Identity{SwitchUser: true, UID: 1000, SwitchGroup: true, GID: 1000, Groups: []int{1000}}); err != nil || !equal(id, want) {
		t.Errorf("got %+v, %v, want %+v", id, err, want)
	}
	if _, err := db.lookup("bob", ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want unknown", err)
	}
	if _, err := db.lookup("1000", "bob"); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v, want unknown", err)
	}
	db = town()
	db.groups = func(*user.User) ([]string, error) { return nil, missing }
	if id, err := db.lookup("www-data", ""); err != nil || !slices.Equal(id.Groups, []int{33}) {
		t.Errorf("without /etc/group: got %v, %v", id.Groups, err)
	}
}

// The machine's own database: root is everywhere.
func TestLookupSystem(t *testing.T) {
	for _, spec := range []string{"root", "0"} {
		id, err := Lookup(spec, "")
		if err != nil || !id.SwitchUser || id.UID != 0 || !id.SwitchGroup || id.GID != 0 || id.UserName != "root" {
			t.Errorf("%s: got %+v, %v", spec, id, err)
		}
	}
	if _, err := Lookup("no-such-user-here", ""); err == nil || err.Error() != `unknown user "no-such-user-here"` {
		t.Errorf("got %v", err)
	}
	if _, err := Lookup("", "no-such-group-here"); err == nil || err.Error() != `unknown group "no-such-group-here"` {
		t.Errorf("got %v", err)
	}
}

func TestNormal(t *testing.T) {
	for _, id := range []Identity{
		{SwitchUser: true, UID: 33},
		{SwitchUser: true, UID: -1, SwitchGroup: true, GID: 33},
		{SwitchUser: true, UID: 33, SwitchGroup: true, GID: -1},
		{SwitchGroup: true, GID: 33, Groups: []int{4, -1}},
	} {
		if _, err := Prepare(id); err == nil {
			t.Errorf("%+v: got no error", id)
		}
	}
	groups := []int{5, 4, 33, 5}
	id, err := Identity{SwitchGroup: true, GID: 33, Groups: groups}.normal()
	if err != nil || !slices.Equal(id.Groups, []int{33, 4, 5}) {
		t.Errorf("got %v, %v", id.Groups, err)
	}
	if !slices.Equal(groups, []int{5, 4, 33, 5}) {
		t.Errorf("the caller's list has changed: %v", groups)
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", "0", "33", "-1", "4294967294", "4294967295", "18446744073709551616", "root", " 1", "1 ", "+1", "1e3", "٣", "-", "--1", "007"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, number, err := parseID(s)
		switch {
		case err != nil && !number:
			t.Errorf("%q is a name and wrong: %v", s, err)
		case number && err == nil:
			if !inRange(id) {
				t.Errorf("%q: got %d", s, id)
			}
			digits := strings.TrimLeft(s, "0")
			if digits == "" {
				digits = "0"
			}
			if strconv.Itoa(id) != digits {
				t.Errorf("%q: got %d", s, id)
			}
		case !number:
			if n, err := strconv.Atoi(s); err == nil && s[0] != '+' {
				t.Errorf("%q is %d and was taken for a name", s, n)
			}
		}
	})
}
