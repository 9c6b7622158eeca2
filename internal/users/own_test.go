//go:build (!cgo && !darwin) || android || osusergo

package users

import (
	"errors"
	"os/user"
	"slices"
	"strings"
	"testing"
)

const passwd = `# users
root:x:0:0:root:/root:/bin/sh

  www-data:x:33:34:Web, who else,1:/var/www:/bin/false
+nis:x:7:7::/:/bin/sh
-nis:x:8:8::/:/bin/sh
:x:9:9::/:/bin/sh
broken:x:10
letters:x:ten:10::/:/bin/sh
no-group:x:11:ten::/:/bin/sh
twice:x:0:1:other:/other:/bin/sh
last:x:12:12::/home/last:/bin/sh`

func TestUsers(t *testing.T) {
	tests := []struct {
		name, uid string
		want      *user.User
	}{
		{"root", "0", &user.User{Username: "root", Uid: "0", Gid: "0", Name: "root", HomeDir: "/root"}},
		{"www-data", "33", &user.User{Username: "www-data", Uid: "33", Gid: "34", Name: "Web", HomeDir: "/var/www"}},
		{"last", "12", &user.User{Username: "last", Uid: "12", Gid: "12", HomeDir: "/home/last"}},
		{"www", "3", nil},
		{"", "", nil},
		{"# users", "1", nil},
		{"+nis", "7", nil},
		{"nis", "8", nil},
		{"", "9", nil},
		{"broken", "10", nil},
		{"letters", "ten", nil},
		{"no-group", "11", nil},
	}
	for _, tt := range tests {
		for at, value := range map[int]string{0: tt.name, 2: tt.uid} {
			got := userIn(passwd, at, value)
			if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
				t.Errorf("%q: got %+v, want %+v", value, got, tt.want)
			}
		}
	}
}

const group = `root:x:0:
# adm:x:4:www
www:x:34:
adm:x:4:root,www,last
 tape:x:26:www
video:x:44:wwwx,xwww
+x:x:45:www
colon:x:46:a:www
letters:x:ten:www
short:x:47
adm2:x:4:www
primary:x:34:www`

func TestGroups(t *testing.T) {
	for name, gid := range map[string]string{"root": "0", "www": "34", "adm": "4", "tape": "26", "colon": "46"} {
		for at, value := range map[int]string{0: name, 2: gid} {
			if g := groupIn(group, at, value); g == nil || g.Name != name || g.Gid != gid {
				t.Errorf("%q: got %+v", value, g)
			}
		}
	}
	for _, name := range []string{"", "adm:x", "# adm", "+x", "x", "letters", "short"} {
		if g := groupIn(group, 0, name); g != nil {
			t.Errorf("%q: got %+v", name, g)
		}
	}
	for name, want := range map[string][]string{
		"www":  {"34", "4", "26"},
		"last": {"34", "4"},
		"a":    {"34"},
		"none": {"34"},
		"":     {"34"},
	} {
		if got := groupsIn(group, &user.User{Username: name, Gid: "34"}); !slices.Equal(got, want) {
			t.Errorf("groups of %q: got %v, want %v", name, got, want)
		}
	}
}

// In an image without an entry for us the environment is not asked.
func TestEnvironmentIsNotBelieved(t *testing.T) {
	const nobody = "nobody-of-this-name"
	t.Setenv("USER", nobody)
	t.Setenv("HOME", "/home/"+nobody)
	if u, err := ByName(nobody); !errors.Is(err, user.UnknownUserError(nobody)) {
		t.Errorf("got %+v, %v", u, err)
	}
}

func FuzzEntry(f *testing.F) {
	for line := range strings.Lines(passwd + "\n" + group) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, fields := range []int{passwdFields, groupFields} {
			got := entry(line, fields)
			if got == nil {
				continue
			}
			if len(got) < fields || got[0] == "" || strings.Contains("#+-", got[0][:1]) || !isNumber(got[2]) {
				t.Errorf("%q: got %q", line, got)
			}
		}
		userIn(line, 0, "root")
		groupIn(line, 2, "0")
		if g := groupsIn(line, &user.User{Username: "root", Gid: "0"}); len(g) < 1 || g[0] != "0" {
			t.Errorf("%q: got %q", line, g)
		}
	})
}
