package pidfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

// twoPlaces is a file with an earlier place in a private directory.
func twoPlaces(t *testing.T) (f *File, later, earlier string) {
	dir := testkit.TempDir(t)
	private := filepath.Join(dir, "private")
	later, earlier = filepath.Join(dir, "later", "foo.pid"), filepath.Join(private, "foo", "foo.pid")
	f = file(later)
	f.Earlier, f.Private = []paths.Name{{Path: earlier}}, private
	return f, later, earlier
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// A file system that does not name the holder of a lock cannot have the file.
func TestEarlierPlaceIsUsedWhereLocksAreNotNamed(t *testing.T) {
	for _, names := range []bool{true, false} {
		f, later, earlier := twoPlaces(t)
		if !names {
			f.names = func(int) bool { return false }
		}
		var undo paths.Undo
		h, err := f.Acquire(t.Context(), paths.Nobody, &undo)
		if err != nil {
			t.Fatal(err)
		}
		if there(later) != names || there(earlier) == names || f.Where().Path == later != names {
			t.Errorf("names %t: later is there %t, earlier %t, %v", names, there(later), there(earlier), f.Where())
		}
		if !names {
			if info, err := os.Stat(f.Private); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("got %v, %v", info, err)
			}
		}
		if r, err := f.Look(t.Context()); err != nil || r.State != Running || r.PID != os.Getpid() {
			t.Errorf("names %t: got %+v, %v", names, r, err)
		}
		if err := h.Remove(); err != nil || there(later) || there(earlier) {
			t.Errorf("it is left: %v", err)
		}
		h.Release()
		undo.Back()
		if there(filepath.Dir(later)) || there(f.Private) {
			t.Error("directories are left")
		}
	}
}

func TestDaemonInAnEarlierPlace(t *testing.T) {
	f, later, earlier := twoPlaces(t)
	if err := os.MkdirAll(filepath.Dir(earlier), 0o700); err != nil {
		t.Fatal(err)
	}
	p := holding(t, earlier)
	if r, err := f.Look(t.Context()); err != nil || r.State != Running || r.PID != p.pid() {
		t.Errorf("got %+v, %v", r, err)
	}
	var busy *BusyError
	if _, err := f.Acquire(t.Context(), paths.Nobody, nil); !errors.As(err, &busy) || busy.Report.PID != p.pid() || there(later) {
		t.Errorf("got %v; it is there: %t", err, there(later))
	}
	// Somebody else could have made that directory.
	if err := os.Chmod(f.Private, 0o777); err != nil {
		t.Fatal(err)
	}
	if r, err := f.Look(t.Context()); err != nil || r.State != Absent {
		t.Errorf("in a directory that is open: got %+v, %v", r, err)
	}
}

func TestStaleFileInAnEarlierPlaceIsRemoved(t *testing.T) {
	f, _, earlier := twoPlaces(t)
	if err := errors.Join(os.MkdirAll(filepath.Dir(earlier), 0o700), os.WriteFile(earlier, []byte("1\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if r, err := f.Look(t.Context()); err != nil || r.State != Free {
		t.Errorf("got %+v, %v", r, err)
	}
	if removed, err := f.Remove(); !removed || err != nil || there(earlier) {
		t.Errorf("got %t, %v", removed, err)
	}
}
