package outside

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// A child has the lock of a daemon that was killed while it was being made, until it is
// another program.
func TestChildOfADeadDaemonIsNoDaemon(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "foo.pid")
	if err := os.WriteFile(path, fmt.Appendln(nil, gone.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 1, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(4*timing.MomentPasses, func() { f.Close() })
	p := &plan.Plan{Name: "foo", Worker: plan.GoCode, PID: &pidfile.File{Name: paths.Name{Path: path}}}
	r, err := look(t.Context(), p, "status", &Watcher{})
	if err != nil || r.State != pidfile.Free || r.Orphaned {
		t.Errorf("got %+v, %v", r, err)
	}
}
