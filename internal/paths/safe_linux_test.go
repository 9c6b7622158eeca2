package paths

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestSafe(t *testing.T) {
	dir := testkit.TempDir(t)
	root := os.Geteuid() == 0
	mk := func(path string, mode fs.FileMode, uid int) {
		t.Helper()
		must(t, os.Mkdir(dir+path, 0o755), os.Chmod(dir+path, mode))
		if uid >= 0 && root {
			must(t, os.Chown(dir+path, uid, uid))
		}
	}
	mk("/good", 0o755, -1)
	mk("/good/in", fs.ModeSetgid|0o775, -1)
	mk("/open", 0o777, -1)
	mk("/open/in", 0o755, -1)
	mk("/open/in/in", 0o755, -1)
	mk("/sticky", fs.ModeSticky|0o777, -1)
	mk("/sticky/in", 0o700, -1)
	mk("/theirs", 0o755, 12345)
	mk("/theirs/in", 0o755, -1)
	mk("/theirs/in/in", 0o755, -1)
	must(t, os.WriteFile(dir+"/file", nil, 0o600), os.Symlink("good", dir+"/mine"), os.Symlink("open", dir+"/bad"),
		os.Symlink(dir+"/nowhere", dir+"/dangling"))
	open := func(path string) *UnsafeError { return &UnsafeError{dir + path, os.Geteuid(), fs.ModeDir | 0o777} }
	theirs := &UnsafeError{dir + "/theirs", 12345, fs.ModeDir | 0o755}
	for _, tt := range []struct {
		path    string
		trusted []int
		root    bool // only then is somebody else the owner
		want    *UnsafeError
	}{
		{"/good", nil, false, nil},
		{"/good/in", nil, false, nil},
		{"/good/missing/too", nil, false, nil},
		{"/sticky", nil, false, nil},
		{"/sticky/in", nil, false, nil},
		{"/sticky/missing", nil, false, nil},
		{"/mine", nil, false, nil},
		{"/mine/missing", nil, false, nil},
		{"/open", nil, false, open("/open")},
		{"/open/../open/", nil, false, open("/open")},
		{"/open/in", nil, false, open("/open")},
		{"/open/in/in", nil, false, nil}, // not its business any more
		{"/open/missing/too", nil, false, open("/open")},
		{"/bad", nil, false, open("/bad")},
		{"/bad/in", nil, false, open("/bad")},
		{"/bad/missing", nil, false, open("/bad")},
		{"/theirs", nil, true, theirs},
		{"/theirs/in", nil, true, theirs},
		{"/theirs/in", []int{1, 12346}, true, theirs},
		{"/theirs/missing", nil, true, theirs},
		{"/theirs/in", []int{1, 12345}, true, nil},
		{"/theirs/in/in", nil, true, nil},
	} {
		if tt.root && !root {
			continue
		}
		noLeaks(t)
		err := Name{Path: dir + tt.path}.Safe(tt.trusted)
		var got *UnsafeError
		errors.As(err, &got)
		if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want || got == nil && err != nil {
			t.Errorf("%s, trusting %v: got %v, want %v", tt.path, tt.trusted, err, tt.want)
		}
	}
	// What cannot be looked at is a plain error.
	for path, want := range map[string]error{"/file": unix.ENOTDIR, "/file/in": unix.ENOTDIR} {
		var odd *UnsafeError
		if err := (Name{Path: dir + path}).Safe(nil); !errors.Is(err, want) || errors.As(err, &odd) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
}

func TestSafeLooksInsideTheRoot(t *testing.T) {
	noLeaks(t)
	root, outside := inRoot(t)
	must(t, os.Chmod(outside, 0o777))
	if err := (Name{Root: root, Path: "/absolute"}).Safe(nil); err != nil {
		t.Errorf("it is open outside only: got %v", err)
	}
	must(t, os.Chmod(outside, 0o755), os.Chmod(root+outside, 0o777))
	var odd *UnsafeError
	if err := (Name{Root: root, Path: "/absolute"}).Safe(nil); !errors.As(err, &odd) || odd.Path != root+"/absolute" {
		t.Errorf("it is open inside: got %v", err)
	}
	must(t, os.Chmod(root+outside, 0o755))
}

// What somebody else was faster to create must not become the user's: it can
// hold anything.
func TestMakeOneTellsWhoCreated(t *testing.T) {
	noLeaks(t)
	dir := testkit.TempDir(t)
	parent, err := unix.Open(dir, dirFlags, 0)
	must(t, err)
	defer unix.Close(parent)
	var undo Undo
	for _, want := range []bool{true, false} {
		fd, created, err := makeOne(parent, "new", 0o755, &undo)
		must(t, err, unix.Close(fd))
		if created != want {
			t.Errorf("created is %t, want %t", created, want)
		}
	}
	undo.Back()
	if !missing(dir + "/new") {
		t.Error("it is left")
	}
}
