//go:build linux

package daemonocle

import (
	"os"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// In /tmp somebody can make a directory between the look at what is there and the
// creation of what is missing, so that there is a second look.
func TestLayoutIsLookedAtAgainAfterCreation(t *testing.T) {
	dir := testkit.TempDir(t)
	d, err := New(Config{Name: "faster", Layout: func(string) (Paths, error) {
		return Paths{PIDFile: dir + "/run/pid", StdoutFile: dir + "/log/out"}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, early := range []bool{true, false} {
		l := &life{plan: d.plan}
		if err := l.checkLayout(); err != nil {
			t.Fatal(err)
		}
		name := map[bool]string{true: "/run", false: "/log"}[early]
		for _, err := range []error{os.Mkdir(dir+name, 0o777), os.Chmod(dir+name, 0o777)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := l.makeLayoutDirs(early); err == nil || !strings.Contains(err.Error(), dir+name+" (everybody can write to it") {
			t.Errorf("%s: got %v", name, err)
		}
		if err := os.Remove(dir + name); err != nil {
			t.Fatal(err)
		}
	}
}

// In a network file system a lock may be another machine's.
func TestLayoutLeavesAHomeOnTheNetwork(t *testing.T) {
	p := Paths{PIDFile: "/st/foo/@0/foo.pid", Earlier: [3]string{"/rt/foo/foo.pid", "/tmp/d/foo/foo.pid"}}
	got := p.leaveHome("/st", true)
	if got.PIDFile != "/rt/foo/foo.pid" || got.Earlier != [3]string{"/tmp/d/foo/foo.pid"} || !strings.Contains(got.Warning, "last logout, for /st is") {
		t.Errorf("got %+v", got)
	}
	if got := p.leaveHome("/st", false); got.Warning != "" {
		t.Errorf("got %+v", got)
	}
}
