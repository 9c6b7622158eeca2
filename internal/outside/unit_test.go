package outside

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/environ"
)

// What a unit wants of the process that it starts, for each Type= that systemd has, and
// whatever else is known of it.
func TestUnitPlace(t *testing.T) {
	const self, ours, theirs = 50, "/run/foo/foo.pid", "/run/bar.pid"
	types := []string{"", "simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"}
	for _, kind := range types {
		for _, env := range []string{"", ours, "/run//foo/./foo.pid", theirs} {
			for _, file := range []string{"", ours} {
				for _, foreground := range []bool{false, true} {
					for _, certain := range []bool{false, true} {
						for _, pids := range [][2]int{{self, 0}, {0, self}, {0, 0}, {49, 51}} {
							u := unit{name: "web.service", kind: kind, main: pids[0], control: pids[1], pidFile: env, certain: certain}
							got, err := u.place(self, file, foreground)
							forking := kind == "forking" || kind == "" && env != ""
							served := forking && !foreground && file != "" && env != "" && env != theirs
							switch {
							case kind != "" && !certain && !slices.Contains(pids[:], self):
								if got != environ.Shell || err != nil {
									t.Errorf("%+v: got %v, %v; it is an orphan", u, got, err)
								}
							case kind == "oneshot", forking && !served:
								if err == nil || !strings.HasPrefix(err.Error(), "web.service waits for ") {
									t.Errorf("%+v, %q, %v: got %v, %v; it cannot be served", u, file, foreground, got, err)
								}
							case served && (got != environ.Forking || err != nil),
								!served && (got != environ.Systemd || err != nil):
								t.Errorf("%+v, %q, %v: got %v, %v", u, file, foreground, got, err)
							}
						}
					}
				}
			}
		}
	}
}

// systemd says /run where the unit says /var/run.
func TestUnitPIDFileBehindALink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	u := unit{kind: "forking", certain: true, pidFile: filepath.Join(dir, "foo", "foo.pid")}
	if got, err := u.place(50, filepath.Join(dir, "link", "foo", "foo.pid"), false); got != environ.Forking || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// Where a daemon that runs already is a failure, for every place.
func TestStays(t *testing.T) {
	always := map[environ.Place]bool{environ.Init: true, environ.First: true, environ.Socket: true, environ.Systemd: true, environ.Supervisor: true,
		environ.Shell: false, environ.Unseen: false, environ.Forking: false}
	for p := environ.Shell; p <= environ.Supervisor; p++ {
		want, ok := always[p]
		if !ok {
			t.Errorf("place %d is in no row", p)
		}
		for _, foreground := range []bool{false, true} {
			for _, terminal := range []bool{false, true} {
				if got, want := stays(p, foreground, terminal), want || foreground && !terminal; got != want {
					t.Errorf("place %d, foreground %v, terminal %v: got %v", p, foreground, terminal, got)
				}
			}
		}
	}
}
