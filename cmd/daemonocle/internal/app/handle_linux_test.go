package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// Whose process it must be is known of a daemon that is remembered, and so is what is said of
// one whose process the kernel does not name.
func TestHandleKnowsTheUser(t *testing.T) {
	testkit.RequireRoot(t)
	dir := testkit.TempDir(t)
	t.Setenv("XDG_STATE_HOME", dir)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	at, err := findPlaces()
	if err != nil {
		t.Fatal(err)
	}
	path := at.pidFile("web")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("999999999\n"); err != nil { // nobody's
		t.Fatal(err)
	}
	// The lock by which a daemon runs, without the one that names it.
	running := unix.Flock_t{Type: unix.F_WRLCK, Start: 1, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &running); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]string{"nobody": "ps -u nobody", "": "fuser"} {
		d, err := (&definition{Name: "web", User: text(user)}).handle("stop")
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Stop(context.Background(), daemonocle.StopOptions{})
		e, is := errors.AsType[*daemonocle.Error](err)
		if !is || !errors.Is(err, daemonocle.ErrHeldElsewhere) || !strings.Contains(e.Hint, want) {
			t.Errorf("user %q: got %v, %+v, want a hint with %q", user, err, e, want)
		}
	}
}

// One whose user is no more can be stopped nevertheless.
func TestHandleOfAUserWhoIsNoMore(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", testkit.TempDir(t))
	if _, err := (&definition{Name: "web", User: "nobody-of-this-name"}).handle("stop"); err != nil {
		t.Error(err)
	}
}
