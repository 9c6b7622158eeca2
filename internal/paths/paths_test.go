package paths

import (
	"slices"
	"testing"
)

func TestSplit(t *testing.T) {
	for path, want := range map[string][2]string{
		"/run/foo.pid":        {"/run", "foo.pid"},
		"foo.pid":             {"/", "foo.pid"},
		"/a/../../b//c/./d":   {"/b/c", "d"},
		"/..":                 {"", ""},
		"/":                   {"", ""},
		"":                    {"", ""},
		"/run/../../../x.pid": {"/", "x.pid"},
	} {
		dir, base, err := Name{Path: path}.split()
		if (err != nil) != (want == [2]string{}) || dir != want[0] || base != want[1] {
			t.Errorf("%q: got %q, %q, %v", path, dir, base, err)
		}
	}
	if got := (Name{"/srv/jail", "/run/foo.pid"}).String(); got != "/srv/jail/run/foo.pid" {
		t.Errorf("got %s", got)
	}
}

func TestUndoGoesBackwardsOnce(t *testing.T) {
	var done []string
	note := func(s string) func() { return func() { done = append(done, s) } }
	var u Undo
	u.add(note("undo 1"), note("release 1"))
	u.add(note("undo 2"), note("release 2"))
	u.Back()
	u.Back()
	if want := []string{"undo 2", "release 2", "undo 1", "release 1"}; !slices.Equal(done, want) {
		t.Errorf("back: %v", done)
	}
	done = nil
	u.add(note("undo"), note("release"))
	u.Keep()
	u.Back()
	(*Undo)(nil).add(note("undo"), note("release of nobody's"))
	if want := []string{"release", "release of nobody's"}; !slices.Equal(done, want) {
		t.Errorf("keep: %v", done)
	}
}
