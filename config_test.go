//go:build linux

package daemonocle_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

// problems are what New finds wrong, by setting.
func problems(t *testing.T, c daemonocle.Config) []*daemonocle.ConfigError {
	t.Helper()
	d, err := daemonocle.New(c)
	if err == nil {
		return nil
	}
	if d != nil {
		t.Errorf("New gave both a daemon and %v", err)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T is no joined error: %v", err, err)
	}
	var list []*daemonocle.ConfigError
	for _, e := range joined.Unwrap() {
		var c *daemonocle.ConfigError
		if !errors.As(e, &c) {
			t.Errorf("%T is no *ConfigError: %v", e, e)
			continue
		}
		list = append(list, c)
	}
	return list
}

func idle(ctx context.Context) error { <-ctx.Done(); return nil }

func TestEachBadSettingIsNamedWithItsValueAndARemedy(t *testing.T) {
	dir := testkit.TempDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	umask := fs.FileMode(0o1022)
	private := func(string) (daemonocle.Paths, error) {
		return daemonocle.Paths{PIDFile: missing + "/pid", Private: missing}, nil
	}
	for _, tt := range []struct {
		setting, value, text string
		config               daemonocle.Config
	}{
		{"Name", "a/b", "slash", daemonocle.Config{Name: "a/b"}},
		{"Name", "a\nb", "control characters", daemonocle.Config{Name: "a\nb"}},
		{"Name", "..", "no name", daemonocle.Config{Name: ".."}},
		{"PIDFile", dir + "/", "does not name a file", daemonocle.Config{PIDFile: dir + "/"}},
		{"PIDFile", "..", "does not name a file", daemonocle.Config{PIDFile: ".."}},
		{"PIDFile", "a\x00b", "does not name a file", daemonocle.Config{PIDFile: "a\x00b"}},
		{"StdoutFile", "/", "does not name a file", daemonocle.Config{StdoutFile: "/"}},
		{"StderrFile", ".", "does not name a file", daemonocle.Config{StderrFile: "."}},
		{"StdoutFile", file, "is the PID file as well", daemonocle.Config{PIDFile: file, StdoutFile: file}},
		{"StderrFile", file, "is the PID file as well", daemonocle.Config{PIDFile: file, StderrFile: dir + "/./file"}},
		{"ChrootDir", dir, "layout's private directory", daemonocle.Config{ChrootDir: dir, Layout: private}},
		{"WorkDir", missing, "no such file or directory", daemonocle.Config{WorkDir: missing}},
		{"WorkDir", file, "is not a directory", daemonocle.Config{WorkDir: file}},
		{"ChrootDir", missing, "no such file or directory", daemonocle.Config{ChrootDir: missing}},
		{"ChrootDir", file, "is not a directory", daemonocle.Config{ChrootDir: file}},
		{"WorkDir", "/missing", "no such file or directory", daemonocle.Config{ChrootDir: dir, WorkDir: "/missing"}},
		{"WorkDir", "file", "is not a directory", daemonocle.Config{ChrootDir: dir, WorkDir: "file"}},
		{"User", "no-such-user", `unknown user "no-such-user"`, daemonocle.Config{User: "no-such-user"}},
		{"User", "-1", "unknown user", daemonocle.Config{User: "-1"}},
		{"Group", "no-such-group", `unknown group "no-such-group"`, daemonocle.Config{Group: "no-such-group"}},
		{"Group", "4294967295", "unknown group", daemonocle.Config{Group: "4294967295"}},
		{"Umask", "01022", "no mask", daemonocle.Config{Umask: &umask}},
		{"StopTimeout", "-1s", "is negative", daemonocle.Config{StopTimeout: -time.Second}},
		{"StartTimeout", "-1s", "is negative", daemonocle.Config{StartTimeout: -time.Second}},
		{"StartWindow", "-1ns", "is negative", daemonocle.Config{StartWindow: -1}},
		{"AbandonAfter", "-1s", "is negative", daemonocle.Config{AbandonAfter: -time.Second}},
	} {
		t.Run(tt.setting+" "+tt.text, func(t *testing.T) {
			if tt.config.Name == "" {
				tt.config.Name = t.Name()[strings.LastIndex(t.Name(), "/")+1:]
			}
			list := problems(t, tt.config)
			if len(list) != 1 {
				t.Fatalf("got %v, want one problem", list)
			}
			e := list[0]
			if e.Setting != tt.setting || e.Value != tt.value {
				t.Errorf("got setting %q, value %q, want %q, %q", e.Setting, e.Value, tt.setting, tt.value)
			}
			if !strings.Contains(e.Err.Error(), tt.text) {
				t.Errorf("got %q, want %q", e.Err, tt.text)
			}
			if want := fmt.Sprintf("setting %s %q: %v: %s", e.Setting, e.Value, e.Err, e.Hint); e.Error() != want || e.Hint == "" {
				t.Errorf("got %q, want %q with a hint", e, want)
			}
		})
	}
}

func TestAllProblemsAreReportedAtOnceAndInTheSameOrder(t *testing.T) {
	file := filepath.Join(testkit.TempDir(t), "file")
	umask := fs.FileMode(0o1000)
	c := daemonocle.Config{
		Name: "a/b", PIDFile: file, StdoutFile: file, StderrFile: file, WorkDir: file + "/x",
		User: "no-such-user", Group: "no-such-group", Umask: &umask,
		StopTimeout: -1, StartTimeout: -1, StartWindow: -1, AbandonAfter: -1,
	}
	want := []string{
		"Name", "WorkDir", "StdoutFile", "StderrFile", "User", "Group", "Umask",
		"StopTimeout", "StartTimeout", "StartWindow", "AbandonAfter",
	}
	var first []string
	for range 10 {
		var got []string
		for _, e := range problems(t, c) {
			got = append(got, e.Setting)
		}
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Fatalf("got %v after %v", got, first)
		}
	}
	slices.Sort(want)
	slices.Sort(first)
	if !slices.Equal(first, want) {
		t.Errorf("got problems of %v, want %v", first, want)
	}
}

func TestSystemErrorsOfSettingsCanBeBranchedOn(t *testing.T) {
	_, err := daemonocle.New(daemonocle.Config{Name: "branch", WorkDir: filepath.Join(testkit.TempDir(t), "missing")})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func TestDaemonsOfOneProgramMustDiffer(t *testing.T) {
	pid := filepath.Join(testkit.TempDir(t), "x.pid")
	one := daemonocle.Config{Name: "differ", PIDFile: pid, Worker: idle}
	for range 2 { // the same daemon may be described twice
		if _, err := daemonocle.New(one); err != nil {
			t.Fatal(err)
		}
	}
	other := one
	other.Worker = func(context.Context) error { return nil }
	if list := problems(t, other); len(list) != 1 || list[0].Setting != "Name" {
		t.Errorf("same name and PID file, other worker: got %v", list)
	}
	other = one
	other.Name = "differ2"
	if list := problems(t, other); len(list) != 1 || !strings.Contains(list[0].Error(), `"differ"`) {
		t.Errorf("same PID file, other name: got %v", list)
	}
}

func TestNewCreatesAndChangesNothing(t *testing.T) {
	dir := testkit.TempDir(t)
	before := tree(t, dir)
	mask := fs.FileMode(0o077)
	d, err := daemonocle.New(daemonocle.Config{
		Name: "nothing", Worker: idle, WorkDir: dir, Umask: &mask,
		PIDFile: filepath.Join(dir, "run/x.pid"), StdoutFile: filepath.Join(dir, "log/out"), StderrFile: filepath.Join(dir, "log/err"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := tree(t, dir); !slices.Equal(after, before) {
		t.Errorf("got %v, want %v", after, before)
	}
	// Nor does asking: there is nothing to be asked yet.
	s, err := d.Status(context.Background(), daemonocle.StatusOptions{})
	if err != nil || s.Running {
		t.Errorf("status: %+v, %v", s, err)
	}
	if after := tree(t, dir); !slices.Equal(after, before) {
		t.Errorf("after status: got %v, want %v", after, before)
	}
	if d.Name() != "nothing" {
		t.Errorf("name is %q", d.Name())
	}
}

// The daemon's files are where they were meant when it was described, wherever
// the program goes meanwhile.
func TestRelativePathsAreResolvedByNew(t *testing.T) {
	s := describe(t, "life", "D_PIDFILE=run/foo.pid", "D_STDOUT=log/out", "D_STDERR=./log/../err", "D_WORKDIR=.")
	s.pid, s.out, s.err = filepath.Join(s.dir, "run/foo.pid"), filepath.Join(s.dir, "log/out"), filepath.Join(s.dir, "err")
	cmd := s.command("start")
	cmd.Dir = s.dir
	if r := s.begin(cmd).wait(); r.code != 0 {
		t.Fatalf("start: %+v", r)
	}
	pid := s.daemon()
	for link, want := range map[string]string{"cwd": s.dir, "fd/1": s.out, "fd/2": s.err} {
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, link)); got != want {
			t.Errorf("%s is %q (%v), want %q", link, got, err, want)
		}
	}
	// Relative to another directory there is no such daemon.
	if got, want := s.do("status"), (ending{"foo -- not running\n", "", 1}); got != want {
		t.Errorf("from elsewhere: %+v, want %+v", got, want)
	}
	cmd = s.command("stop")
	cmd.Dir = s.dir
	if got, want := s.begin(cmd).wait(), (ending{"Stopping foo ... OK\n", "", 0}); got != want {
		t.Errorf("stop: %+v, want %+v", got, want)
	}
}
