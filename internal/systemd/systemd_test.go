package systemd

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// systemctl puts a script in the place of the program.
func systemctl(t *testing.T, script string) {
	t.Helper()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no shell")
	}
	file := filepath.Join(t.TempDir(), "systemctl")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	before := places
	places = []string{filepath.Join(t.TempDir(), "absent"), file}
	t.Cleanup(func() { places = before })
}

func TestShow(t *testing.T) {
	systemctl(t, `printf '%s|' "$@" >&2; printf 'Type=forking\nExecStart={ path=/bin/x ; a=b }\nnot a property\nMainPID=0\n'`)
	got, err := Show(context.Background(), Scope{}, "x.service", "Type", "MainPID", "ExecStart")
	want := map[string]string{"Type": "forking", "ExecStart": "{ path=/bin/x ; a=b }", "MainPID": "0"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

func TestShowPassesNothingOn(t *testing.T) {
	t.Setenv("SYSTEMD_TEST_LEAK", "1")
	systemctl(t, `echo "A=$SYSTEMD_TEST_LEAK$PATH_FROM_CALLER"; echo "B=$LC_ALL"; for a; do last=$a; done; echo "C=$last"`)
	got, err := Show(context.Background(), Scope{}, "-x.service")
	want := map[string]string{"A": "", "B": "C", "C": "-x.service"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

func TestShowFails(t *testing.T) {
	systemctl(t, `echo "Failed to connect to bus: No such file" >&2; exit 1`)
	_, err := Show(context.Background(), Scope{}, "x.service", "Type")
	if err == nil || err.Error() != "ask systemd about x.service: Failed to connect to bus: No such file" {
		t.Errorf("%v", err)
	}
	systemctl(t, `exit 3`)
	_, err = Show(context.Background(), Scope{}, "x.service", "Type")
	if err == nil || err.Error() != "ask systemd about x.service: systemctl: exit status 3" {
		t.Errorf("%v", err)
	}
	places = nil
	if _, err = Show(context.Background(), Scope{}, "x.service", "Type"); !errors.Is(err, ErrNone) {
		t.Errorf("%v, want ErrNone", err)
	}
}

// TestShowIsBounded: a manager that does not answer, and a helper that outlives systemctl
// and keeps its pipes. Both wait at a FIFO, so that they end with the test.
func TestShowIsBounded(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := exec.Command("mkfifo", fifo).Run(); err != nil {
		t.Skip("no FIFO: ", err)
	}
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, script := range []string{"read x <" + fifo, "{ read x <" + fifo + "; } &\nexit 0"} {
		systemctl(t, script)
		ctx, stop := context.WithTimeout(context.Background(), 100*time.Millisecond)
		got, err := Show(ctx, Scope{}, "x.service", "Type")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, %v, want the deadline's error", script, got, err)
		}
		stop()
	}
}

func TestScope(t *testing.T) {
	for _, c := range []struct {
		scope Scope
		want  []string
	}{
		{Scope{}, []string{"--system"}},
		{Scope{UID: 7}, []string{"--system"}},
		{Scope{User: true, UID: 7}, []string{"--user"}},
		{Scope{User: true, UID: 8}, []string{"--user", "--machine=8@.host"}},
		{Scope{User: true}, []string{"--user", "--machine=0@.host"}},
	} {
		if got := c.scope.arguments(7); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.scope, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("A=b\nC=\n=d\nE\n\x00=\n")
	f.Fuzz(func(t *testing.T, s string) {
		for name, value := range parse(s) {
			if len(name)+len(value) >= len(s) {
				t.Errorf("%q=%q out of %q", name, value, s)
			}
		}
	})
}
