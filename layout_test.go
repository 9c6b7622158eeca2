//go:build linux

package daemonocle_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() {
	helpers["xdg"] = func() {
		c := progConfig()
		c.Layout = daemonocle.XDG
		if os.Getenv("D_PRIVATE") != "" {
			c.Layout = func(name string) (daemonocle.Paths, error) {
				p, err := daemonocle.XDG(name)
				p.PIDFile, p.Earlier = p.Earlier[0], [3]string{}
				return p, err
			}
		}
		if text := os.Getenv("D_WARNING"); text != "" {
			c.Layout = func(name string) (daemonocle.Paths, error) {
				p, err := daemonocle.XDG(name)
				p.Warning = text
				return p, err
			}
		}
		if path := os.Getenv("D_EARLIER"); path != "" { // as an earlier version had it
			c.Layout = nil
			c.PIDFile = path
		}
		d, err := daemonocle.New(c)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
	}
}

func TestXDGFollowsTheVariables(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/rt")
	t.Setenv("XDG_STATE_HOME", "/st")
	got, err := daemonocle.XDG("foo")
	want := daemonocle.Paths{PIDFile: "/st/foo/" + machine(t) + "/foo.pid", StdoutFile: "/st/foo/out.log", StderrFile: "/st/foo/err.log",
		Earlier: got.Earlier}
	if got.Earlier[0] != "/rt/foo/foo.pid" {
		t.Errorf("earlier %v", got.Earlier)
	}
	if got != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// The specification says that a relative path is to be ignored.
func TestXDGWithoutUsableVariables(t *testing.T) {
	runUser := filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	if onDisk(runUser) {
		testkit.Skip(t, "noxdg", runUser+" exists")
	}
	for _, value := range []string{"", "relative/dir"} {
		t.Setenv("XDG_RUNTIME_DIR", value)
		t.Setenv("XDG_STATE_HOME", value)
		t.Setenv("HOME", "/home/foo")
		t.Setenv("TMPDIR", "/elsewhere")
		private := filepath.Join("/elsewhere", "daemonocle-"+strconv.Itoa(os.Getuid()))
		got, err := daemonocle.XDG("foo")
		want := daemonocle.Paths{
			PIDFile:    "/home/foo/.local/state/foo/" + machine(t) + "/foo.pid",
			StdoutFile: "/home/foo/.local/state/foo/out.log",
			StderrFile: "/home/foo/.local/state/foo/err.log",
			Private:    private,
			Earlier:    [3]string{private + "/foo/foo.pid"},
		}
		if got != want || err != nil {
			t.Errorf("%q: got %+v, %v, want %+v", value, got, err, want)
		}
	}
	t.Setenv("HOME", "relative/dir")
	list := problems(t, daemonocle.Config{Name: "homeless", Layout: daemonocle.XDG})
	if len(list) != 1 || list[0].Setting != "Layout" {
		t.Errorf("got %v", list)
	}
	// Without the variable the database knows, as under some service managers.
	t.Setenv("HOME", "")
	me, err := user.Current()
	must(t, err)
	if got, err := daemonocle.XDG("foo"); err != nil || got.StdoutFile != me.HomeDir+"/.local/state/foo/out.log" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// machine is the directory of this machine.
func machine(t *testing.T) string {
	t.Helper()
	p, err := daemonocle.XDG("x")
	must(t, err)
	return filepath.Base(filepath.Dir(p.PIDFile))
}

// newXDG is a daemon with that layout, and a home and a temporary directory of
// its own.
func newXDG(t *testing.T, settings ...string) (s *described, private string) {
	t.Helper()
	s = describe(t, "xdg", settings...)
	tmp := filepath.Join(s.dir, "tmp")
	if err := os.Mkdir(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "D_PIDFILE=", "D_STDOUT=", "D_STDERR=", "XDG_RUNTIME_DIR=", "XDG_STATE_HOME=", "HOME="+s.dir, "TMPDIR="+tmp)
	s.env = append(s.env, settings...)
	private = filepath.Join(tmp, "daemonocle-"+strconv.Itoa(os.Getuid()))
	s.pid = filepath.Join(s.dir, ".local/state/foo", machine(t), "foo.pid")
	s.out, s.err = filepath.Join(s.dir, ".local/state/foo/out.log"), filepath.Join(s.dir, ".local/state/foo/err.log")
	return s, private
}

func TestXDGDaemonWithVariables(t *testing.T) {
	s, private := newXDG(t)
	rt, st := filepath.Join(s.dir, "rt"), filepath.Join(s.dir, "st")
	s.env = append(s.env, "XDG_RUNTIME_DIR="+rt, "XDG_STATE_HOME="+st)
	s.pid, s.out, s.err = filepath.Join(st, "foo", machine(t), "foo.pid"), filepath.Join(st, "foo/out.log"), filepath.Join(st, "foo/err.log")
	s.start()
	for _, file := range []string{s.pid, s.out, s.err} {
		if !onDisk(file) {
			t.Errorf("%s is not there", file)
		}
	}
	if onDisk(private) {
		t.Error("the private directory was created needlessly")
	}
	s.stop()
}

// newPrivate is a daemon whose layout has its PID file in a private directory, as XDG
// has where nothing else is left.
func newPrivate(t *testing.T, settings ...string) (s *described, private string) {
	t.Helper()
	s, private = newXDG(t, append(settings, "D_PRIVATE=1")...)
	s.pid = filepath.Join(private, "foo", "foo.pid")
	return s, private
}

func TestXDGDaemonMakesAPrivateDirectory(t *testing.T) {
	for _, umask := range []string{"022", "0"} {
		s, private := newPrivate(t, "D_UMASK="+umask)
		if s.do("status").code != 1 || onDisk(private) {
			t.Error("a status has created the directory")
		}
		for range 2 { // the second time it is there
			s.start()
			if mode, uid, _ := stat(t, private); mode != 0o700 || uid != os.Getuid() {
				t.Errorf("%s has mode %v and belongs to %d", private, mode, uid)
			}
			if !onDisk(s.out) || !onDisk(s.err) {
				t.Error("no log files")
			}
			s.stop()
		}
	}
}

func TestXDGDaemonRefusesAPrivateDirectoryOfOthers(t *testing.T) {
	testkit.Parallel(t)
	for name, hostile := range map[string]func(private string) error{
		"is open to others":     func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o770)) },
		"is open to others; ch": func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o701)) },
		"is not a directory":    func(p string) error { return os.Symlink(os.TempDir(), p) },
		"is not a directory; r": func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"belongs to somebody else": func(p string) error {
			return errors.Join(os.Mkdir(p, 0o700), os.Chown(p, 12345, -1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, private := newPrivate(t)
			if strings.HasPrefix(name, "belongs") {
				testkit.RequireRoot(t)
			}
			if err := hostile(private); err != nil {
				t.Fatal(err)
			}
			before := tree(t, s.dir)
			got := s.do("start")
			if got.code != 1 || !strings.Contains(got.err, private+" "+name) || !strings.Contains(got.err, "set PIDFile") {
				t.Errorf("got %+v, want %q", got, name)
			}
			if after := tree(t, s.dir); strings.Join(after, "\n") != strings.Join(before, "\n") {
				t.Errorf("got %v, want %v", after, before)
			}
			// Who says where the file goes needs no such directory.
			s.pid = filepath.Join(s.dir, "mine.pid")
			s.env = append(s.env, "D_PIDFILE="+s.pid)
			s.start()
			s.stop()
		})
	}
}

func TestLayoutFillsOnlyWhatIsEmpty(t *testing.T) {
	s, private := newXDG(t)
	pid, out := s.pid, filepath.Join(s.dir, "mine.out")
	s.env = append(s.env, "D_STDOUT="+out)
	s.start()
	if !onDisk(pid) || !onDisk(out) || !onDisk(s.err) || onDisk(s.out) {
		t.Errorf("got %v", tree(t, s.dir))
	}
	s.stop()

	s.pid = filepath.Join(s.dir, "mine.pid")
	s.env = append(s.env, "D_PIDFILE="+s.pid)
	if err := os.RemoveAll(private); err != nil {
		t.Fatal(err)
	}
	s.start()
	if onDisk(private) {
		t.Error("the private directory was created needlessly")
	}
	s.stop()
}

// A directory that others can write to is refused in every layout.
func TestXDGDaemonRefusesAStateDirectoryThatIsOpen(t *testing.T) {
	s, _ := newXDG(t)
	open := filepath.Dir(s.out)
	must(t, os.MkdirAll(open, 0o755), os.Chmod(open, 0o777))
	s.refused("Unable to use directory "+open+" (everybody can write to it: mode 0777, owner "+username(t, os.Getuid())+")",
		"Take the right to write from others (chmod o-w), or set PIDFile to another path.")
}

func TestLayoutOfOnesOwn(t *testing.T) {
	dir := testkit.TempDir(t)
	broken := errors.New("banana")
	_, err := daemonocle.New(daemonocle.Config{Name: "own", Layout: func(string) (daemonocle.Paths, error) {
		return daemonocle.Paths{}, broken
	}})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v in it", err, broken)
	}
	var asked string
	_, err = daemonocle.New(daemonocle.Config{Name: "own", Layout: func(name string) (daemonocle.Paths, error) {
		asked = name
		return daemonocle.Paths{WorkDir: filepath.Join(dir, "missing")}, nil
	}})
	if asked != "own" || err == nil || !strings.Contains(err.Error(), "WorkDir") {
		t.Errorf("asked for %q; got %v, want a complaint about WorkDir", asked, err)
	}
}

// The file is not where a logout removes it, and each way to come finds the same daemon.
func TestXDGDaemonIsFoundFromEverySession(t *testing.T) {
	s, _ := newXDG(t)
	login := filepath.Join(s.dir, "rt")
	must(t, os.Mkdir(login, 0o700))
	cron := s.env
	s.env = append(cron[:len(cron):len(cron)], "XDG_RUNTIME_DIR="+login)
	pid := s.start()
	must(t, os.RemoveAll(login)) // the last logout
	for name, env := range map[string][]string{
		"cron": cron, "the same session": s.env,
		"another login": append(cron[:len(cron):len(cron)], "XDG_RUNTIME_DIR="+filepath.Join(s.dir, "rt2")),
	} {
		s.env = env
		if got := s.do("status"); got.code != 0 || !strings.Contains(got.out, fmt.Sprintf("pid: %d,", pid)) {
			t.Errorf("%s: status: %+v", name, got)
		}
		if got := s.do("start"); got.code != 0 || got.out != "" || !strings.Contains(got.err, fmt.Sprintf("foo already running with PID %d", pid)) {
			t.Errorf("%s: start: %+v", name, got)
		}
	}
	s.env = cron
	s.stop()
}

// A daemon of an earlier version is found where that had its PID file.
func TestXDGDaemonOfAnEarlierVersion(t *testing.T) {
	testkit.Parallel(t)
	for _, place := range []string{"runtime", "private"} {
		t.Run(place, func(t *testing.T) {
			s, private := newXDG(t)
			rt := filepath.Join(s.dir, "rt")
			at := filepath.Join(rt, "foo", "foo.pid")
			env := append(s.env[:len(s.env):len(s.env)], "XDG_RUNTIME_DIR="+rt)
			if place == "private" {
				at = filepath.Join(private, "foo", "foo.pid")
				env = s.env
			}
			must(t, os.MkdirAll(filepath.Dir(at), 0o700), os.Chmod(filepath.Dir(filepath.Dir(at)), 0o700))
			later := s.pid
			s.pid = at
			s.env = append(env[:len(env):len(env)], "D_EARLIER="+at, "D_PIDFILE="+at)
			pid := s.start()
			s.env = env
			if got := s.do("status"); got.code != 0 || !strings.Contains(got.out, fmt.Sprintf("pid: %d,", pid)) {
				t.Errorf("status: %+v", got)
			}
			if got := s.do("start"); got.code != 0 || !strings.Contains(got.err, fmt.Sprintf("foo already running with PID %d", pid)) {
				t.Errorf("start: %+v", got)
			}
			if got := s.do("restart"); got.code != 0 || got.out != "Stopping foo ... OK\nStarting foo ... OK\n" || onDisk(at) || !onDisk(later) {
				t.Errorf("restart: %+v, %v", got, tree(t, s.dir))
			}
			s.pid = later
			s.stop()
		})
	}
}

// What a layout warns of, a start says, and a restart, and nothing else.
func TestWarningOfALayout(t *testing.T) {
	s, _ := newXDG(t, "D_WARNING=goes with the moon")
	const warning = "WARNING: The PID file of foo goes with the moon\n"
	for _, tt := range []struct {
		action string
		want   ending
	}{
		{"start", ending{"Starting foo ... OK\n", warning, 0}},
		{"restart", ending{"Stopping foo ... OK\nStarting foo ... OK\n", warning, 0}},
		{"stop", ending{"Stopping foo ... OK\n", "", 0}},
	} {
		if got := s.do(tt.action); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.action, got, tt.want)
		}
	}
}
