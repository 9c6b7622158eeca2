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
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() { helpers["layout"] = layoutProgram }

// layoutProgram is prog with D_LAYOUT for a layout: fhs with D_PREFIX and
// D_LOG_PREFIX, or systemd with that as its fallback. D_REFUSE lets the privileged
// hook fail, D_DEBUG starts in the foreground, D_WORKERS makes a group.
func layoutProgram() {
	c := progConfig()
	c.Layout = daemonocle.FHS(os.Getenv("D_PREFIX"), os.Getenv("D_LOG_PREFIX"))
	if os.Getenv("D_LAYOUT") == "systemd" {
		c.Layout = daemonocle.Systemd(c.Layout)
	}
	if text := os.Getenv("D_REFUSE"); text != "" {
		c.Hooks.Privileged = func(context.Context) error { return errors.New(text) }
	}
	if n, _ := strconv.Atoi(os.Getenv("D_WORKERS")); n > 0 {
		g, err := daemonocle.NewGroup(c, n)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(daemonocle.ExitCode(g.Do(context.Background(), os.Args[1:]...)))
	}
	d, err := daemonocle.New(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv("D_DEBUG") != "" {
		os.Exit(daemonocle.ExitCode(d.DoWith(context.Background(), daemonocle.Output{}, "start", daemonocle.StartOptions{Debug: true})))
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

func TestFHSPaths(t *testing.T) {
	dir := testkit.TempDir(t)
	must(t, os.Symlink("/usr", dir+"/usr"), os.Symlink("/opt", dir+"/opt"), os.Mkdir(dir+"/app", 0o755), os.Symlink("app", dir+"/current"))
	t.Chdir(dir)
	for _, tt := range []struct{ prefix, logPrefix, home, run, log string }{
		{"", "", "/opt", "/var/opt/foo/run", "/var/opt/foo/log/"},
		{"/opt", "", "/opt", "/var/opt/foo/run", "/var/opt/foo/log/"},
		{"/opt/", "web-", "/opt", "/var/opt/foo/run", "/var/opt/foo/log/web-"},
		{"/usr/local", "", "/usr/local", "/var/local/run/foo", "/var/local/log/foo/"},
		{"/usr//./local", "", "/usr/local", "/var/local/run/foo", "/var/local/log/foo/"},
		{"/usr", "a.", "/usr", "/var/run/foo", "/var/log/foo/a."},
		{"/opt/foo", "", "/opt/foo", "/opt/foo/run", "/opt/foo/log/"},
		{"/usr/lib", "", "/usr/lib", "/usr/lib/run", "/usr/lib/log/"},
		{"/", "", "/", "/run", "/log/"},
		{"app", "x_", dir + "/app", dir + "/app/run", dir + "/app/log/x_"},
		{dir + "/missing/app", "", dir + "/missing/app", dir + "/missing/app/run", dir + "/missing/app/log/"},
		{"/srv/pool{n:0>4}", "", "/srv/pool{n:0>4}", "/srv/pool{n:0>4}/run", "/srv/pool{n:0>4}/log/"},
		{dir + "/current", "", dir + "/current", dir + "/current/run", dir + "/current/log/"},
		{dir + "/usr", "", dir + "/usr", "/var/run/foo", "/var/log/foo/"},
		{"opt", "", dir + "/opt", "/var/opt/foo/run", "/var/opt/foo/log/"},
		{dir + "/usr/local", "", dir + "/usr/local", "/var/local/run/foo", "/var/local/log/foo/"},
	} {
		got, err := daemonocle.FHS(tt.prefix, tt.logPrefix)("foo")
		want := daemonocle.Paths{PIDFile: tt.run + "/foo.pid", StdoutFile: tt.log + "out.log", StderrFile: tt.log + "err.log",
			Prefix: tt.home, System: true}
		if got != want || err != nil {
			t.Errorf("%q, %q: got %+v, %v, want %+v", tt.prefix, tt.logPrefix, got, err, want)
		}
	}
	for _, name := range []string{"", ".", "a/b"} {
		if got, err := daemonocle.FHS("", "")(name); err == nil {
			t.Errorf("name %q: got %+v", name, got)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 4 {
		t.Errorf("a layout has created something: %v, %v", entries, err)
	}
}

func TestFHSBadSettings(t *testing.T) {
	dir := testkit.TempDir(t)
	fhs := daemonocle.FHS(dir+"/app", "")
	for _, tt := range []struct {
		setting, text, hint string
		c                   daemonocle.Config
	}{
		{"Name", "is needed", "give the daemon a name", daemonocle.Config{Layout: fhs}},
		{"ChrootDir", "the whole system", "leave it empty", daemonocle.Config{Name: "fhs-bad", Layout: fhs, ChrootDir: dir}},
		{"Foreground", "detached", "start --debug", daemonocle.Config{Name: "fhs-bad", Layout: fhs, Foreground: true}},
		{"Foreground", "detached", "start --debug", daemonocle.Config{Name: "fhs-bad", Layout: daemonocle.Systemd(fhs), Foreground: true}},
		{"WorkDir", "no such file", "create it", daemonocle.Config{Name: "fhs-bad", Layout: fhs, WorkDir: dir + "/apps"}},
		{"WorkDir", "no such file", "create it", daemonocle.Config{Name: "fhs-bad", Layout: fhs, WorkDir: dir + "/app/run"}},
		{"StderrFile", "does not name a file", "give the path", daemonocle.Config{Name: "fhs-bad", StdoutFile: dir + "/out",
			Layout: daemonocle.FHS(dir, "a\x00b")}},
	} {
		list := problems(t, tt.c)
		if len(list) != 1 || list[0].Setting != tt.setting || !strings.Contains(list[0].Error(), tt.text) || !strings.Contains(list[0].Hint, tt.hint) {
			t.Errorf("want %s: ...%s...: ...%s...; got %v", tt.setting, tt.text, tt.hint, list)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("New has created %v, %v", entries, err)
	}
}

// newFHS is a daemon whose files are in s.dir/app, which is missing.
func newFHS(t *testing.T, settings ...string) (s *described, app string) {
	t.Helper()
	s = describe(t, "layout")
	app = filepath.Join(s.dir, "app")
	s.pid = filepath.Join(app, "run/foo.pid")
	s.out, s.err = filepath.Join(app, "log/out.log"), filepath.Join(app, "log/err.log")
	s.env = append(s.env, "D_PIDFILE=", "D_STDOUT=", "D_STDERR=", "D_PREFIX="+app,
		"RUNTIME_DIRECTORY=", "STATE_DIRECTORY=", "LOGS_DIRECTORY=")
	s.env = append(s.env, settings...)
	return s, app
}

func (s *described) isThere(paths ...string) {
	s.t.Helper()
	for _, path := range paths {
		if !onDisk(path) {
			s.t.Errorf("%s is not there", path)
		}
	}
}

func TestFHSDaemon(t *testing.T) {
	s, app := newFHS(t, "D_LOG_PREFIX=a-")
	for range 2 { // the second time the directories are there
		s.start()
		s.isThere(s.pid, app+"/log/a-out.log", app+"/log/a-err.log")
		s.stop()
	}
	if onDisk(s.pid) || !onDisk(app+"/run") {
		t.Errorf("left: %v", tree(t, s.dir))
	}
}

// What is set by hand wins, and is the program's own business.
func TestFHSDaemonWithPathsByHand(t *testing.T) {
	s, app := newFHS(t)
	mine := filepath.Join(s.dir, "mine")
	must(t, os.Mkdir(mine, 0o755), os.Chmod(mine, 0o777))
	s.pid = mine + "/foo.pid"
	s.env = append(s.env, "D_PIDFILE="+s.pid, "D_STDOUT="+mine+"/out", "D_STDERR="+mine+"/err")
	s.start()
	s.isThere(s.pid, mine+"/out", mine+"/err")
	if onDisk(app) {
		t.Errorf("%s was created needlessly", app)
	}
	s.stop()
}

func TestFHSDaemonStaysInTheForegroundWhenAsked(t *testing.T) {
	s, app := newFHS(t, "D_DEBUG=1")
	must(t, os.MkdirAll(app+"/log", 0o755), os.Chmod(app+"/log", 0o777)) // not used
	r := s.begin(s.command())
	waitText(t, r.out, "Starting foo ... OK")
	s.daemon()
	r.signal(syscall.SIGTERM)
	if got := r.wait(); got.code != 0 || onDisk(s.out) {
		t.Errorf("got %+v", got)
	}
	must(t, os.Chmod(app+"/run", 0o777))
	if got := s.do(); got.code != 1 || !strings.Contains(got.err, app+"/run (everybody can write to it") {
		t.Errorf("got %+v", got)
	}
}

// With umask 0 it does not create what it would refuse the next time.
func TestFHSDaemonWithoutAUmask(t *testing.T) {
	s, app := newFHS(t, "D_UMASK=0")
	s.env = append(s.env, "D_PREFIX="+app+"/deeper/still")
	s.pid = app + "/deeper/still/run/foo.pid"
	for range 2 {
		s.start()
		for _, dir := range []string{"", "/deeper", "/deeper/still", "/deeper/still/run", "/deeper/still/log"} {
			if mode, _, _ := stat(t, app+dir); mode != 0o775 {
				t.Errorf("%s has mode %v", app+dir, mode)
			}
		}
		s.stop()
	}
}

func TestFHSWorkDirIsCreated(t *testing.T) {
	testkit.Parallel(t)
	for _, through := range []string{"app", "link/app", "./app/"} {
		t.Run(through, func(t *testing.T) {
			s, app := newFHS(t, "D_UMASK=027")
			must(t, os.Symlink(".", s.dir+"/link"))
			s.env = append(s.env, "D_WORKDIR="+s.dir+"/"+through)
			if got := s.do("status"); got.code != 1 || onDisk(app) {
				t.Errorf("status: %+v; it is there: %t", got, onDisk(app))
			}
			pid := s.start()
			if got, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); got != app {
				t.Errorf("the working directory is %q (%v), want %q", got, err, app)
			}
			if mode, uid, _ := stat(t, app); mode != 0o750 || uid != os.Getuid() {
				t.Errorf("it has mode %v and belongs to %d", mode, uid)
			}
			s.stop()
		})
	}
}

// The one level that is created goes to the user, also where it holds the rest.
func TestFHSWorkDirBelongsToTheUser(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	s, app := newFHS(t, "D_UMASK=077", fmt.Sprintf("D_USER=%d", uid))
	prefix := s.dir + "/above/app"
	s.env = append(s.env, "D_PREFIX="+prefix, "D_WORKDIR="+prefix)
	must(t, os.Mkdir(s.dir+"/above", 0o755))
	s.pid = prefix + "/run/foo.pid"
	s.start()
	for _, dir := range []string{prefix, prefix + "/run", prefix + "/log"} {
		if mode, u, g := stat(t, dir); mode != 0o700 || u != uid || g != gid {
			t.Errorf("%s has mode %v and belongs to %d:%d", dir, mode, u, g)
		}
	}
	s.stop()
	s.start() // again: the user's directories are trusted
	s.stop()
	if onDisk(app) {
		t.Errorf("%s was created", app)
	}
}

func TestFailedFHSStartTakesEverythingBack(t *testing.T) {
	s, app := newFHS(t)
	s.env = append(s.env, "D_WORKDIR="+app, "D_REFUSE=banana")
	s.refused("banana", "")
	s.env = append(s.env, "D_REFUSE=", "D_WORKER=exit:3")
	before := tree(t, s.dir)
	if got := s.do("start"); got.code != 3 {
		t.Errorf("got %+v", got)
	}
	if after := tree(t, s.dir); !slices.Equal(after, before) {
		t.Errorf("left behind: %v", after)
	}
	// The working directory alone is the layout's.
	s.env = append(s.env, "D_PIDFILE="+s.dir+"/pid", "D_STDOUT="+s.dir+"/out", "D_STDERR="+s.dir+"/err")
	if got := s.do("start"); got.code != 3 {
		t.Errorf("got %+v", got)
	}
	if after := tree(t, s.dir); !slices.Equal(after, before) {
		t.Errorf("left behind: %v", after)
	}
}

// Those that lose take back what they have created, but not what the winner uses.
func TestManyFHSStartsAtOnce(t *testing.T) {
	for _, settings := range [][]string{nil, {"D_PIDFILE="}} {
		s, app := newFHS(t)
		s.env = append(s.env, "D_WORKDIR="+app)
		if settings != nil { // the working directory does not hold the PID file
			s.pid = s.dir + "/elsewhere/foo.pid"
			s.env = append(s.env, "D_PIDFILE="+s.pid)
		}
		var all []*running
		for range 8 {
			all = append(all, s.begin(s.command("start")))
		}
		started := 0
		for _, r := range all {
			switch got := r.wait(); {
			case got == ending{"Starting foo ... OK\n", "", 0}:
				started++
			case got.code != 0 || !strings.HasPrefix(got.err, "WARNING: foo already running"):
				t.Errorf("got %+v", got)
			}
		}
		if started != 1 {
			t.Errorf("%d have started it", started)
		}
		s.isThere(app, s.pid, s.out, s.err)
		s.stop()
	}
}

func TestFHSGroup(t *testing.T) {
	s, app := newFHS(t, "D_WORKERS=2", "D_NAME=foo{n}")
	prefix := app + "{n:0>2}"
	s.env = append(s.env, "D_PREFIX="+prefix, "D_WORKDIR="+prefix)
	if got, want := s.do("start"), (ending{"Starting foo0 ... OK\nStarting foo1 ... OK\n", "", 0}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, n := range []string{"0", "1"} {
		one := app + "0" + n
		s.isThere(one+"/log/out.log", one+"/log/err.log")
		s.pid = one + "/run/foo" + n + ".pid"
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", s.daemon())); got != one {
			t.Errorf("the working directory is %q (%v), want %q", got, err, one)
		}
	}
	if got, want := s.do("stop"), (ending{"Stopping foo0 ... OK\nStopping foo1 ... OK\n", "", 0}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// One that is refused hurts no other.
	must(t, os.Chmod(app+"01/run", 0o777))
	got := s.do("start")
	if got.code != 1 || got.out != "Starting foo0 ... OK\nStarting foo1 ... FAILED\n" || !strings.Contains(got.err, app+"01/run (everybody can write to it") {
		t.Errorf("got %+v", got)
	}
	s.do("stop")
}

// hostileDirs say what is done to a prefix "app" and what a start then says; %s is
// the prefix.
var hostileDirs = []struct {
	name    string
	root    bool // must be root to do this
	user    bool // with a User
	do      func(app string) error
	text    string // empty: it starts
	setting string
}{
	{"run is open", false, false, func(app string) error { return makeDir(app+"/run", 0o777) },
		"%s/run (everybody can write to it: mode 0777, owner ME)", "PIDFile"},
	{"run is open, with a set-group-ID bit", false, false, func(app string) error { return makeDir(app+"/run", fs.ModeSetgid|0o757) },
		"%s/run (everybody can write to it: mode 0757, owner ME)", "PIDFile"},
	{"prefix is open, and empty", false, false, func(app string) error { return makeDir(app, 0o777) },
		"%s (everybody can write to it: mode 0777, owner ME)", "PIDFile"},
	{"prefix is open, and holds all", false, false, func(app string) error {
		return errors.Join(makeDir(app+"/run", 0o755), makeDir(app+"/log", 0o755), os.Chmod(app, 0o777))
	}, "%s (everybody can write to it: mode 0777, owner ME)", "PIDFile"},
	{"log is open", false, false, func(app string) error { return makeDir(app+"/log", 0o777) },
		"%s/log (everybody can write to it: mode 0777, owner ME)", "StdoutFile"},
	{"log is open to some", false, false, func(app string) error { return makeDir(app+"/log", 0o775) }, "", ""},
	{"prefix is sticky", false, false, func(app string) error { return makeDir(app, fs.ModeSticky|0o777) }, "", ""},
	{"prefix is as /var/local on Debian", true, false, func(app string) error {
		return errors.Join(makeDir(app, fs.ModeSetgid|0o775), os.Chown(app, 0, 50), os.Chmod(app, fs.ModeSetgid|0o775))
	}, "", ""},
	{"run is a link of one's own", false, false, func(app string) error {
		return errors.Join(makeDir(app, 0o755), makeDir(app+"-run", 0o755), os.Symlink(app+"-run", app+"/run"))
	}, "", ""},
	{"run is a link to an open directory", false, false, func(app string) error {
		return errors.Join(makeDir(app, 0o755), makeDir(app+"-run", 0o777), os.Symlink(app+"-run", app+"/run"))
	}, "%s/run (everybody can write to it: mode 0777, owner ME)", "PIDFile"},
	{"run is a link of somebody's", true, false, func(app string) error {
		return errors.Join(makeDir(app, fs.ModeSticky|0o777), makeDir(app+"-run", 0o755), os.Symlink(app+"-run", app+"/run"), os.Lchown(app+"/run", 12345, 12345))
	}, "%s/run/foo.pid (symbolic link %s/run belongs to user 12345)", "PIDFile"},
	{"prefix is a link of somebody's", true, false, func(app string) error {
		return errors.Join(makeDir(app+"-run", 0o755), os.Symlink(app+"-run", app), os.Lchown(app, 12345, 12345))
	}, "%s/run/foo.pid (symbolic link %s belongs to user 12345)", "PIDFile"},
	{"run is somebody's", true, false, func(app string) error {
		return errors.Join(makeDir(app+"/run", 0o755), os.Chown(app+"/run", 12345, 12345))
	}, "%s/run (it belongs to 12345: mode 0755)", "PIDFile"},
	{"log is somebody's", true, true, func(app string) error {
		return errors.Join(makeDir(app+"/log", 0o700), os.Chown(app+"/log", 12345, 12345))
	}, "%s/log (it belongs to 12345: mode 0700)", "StdoutFile"},
	{"prefix is somebody's", true, false, func(app string) error {
		return errors.Join(makeDir(app+"/run", 0o755), makeDir(app+"/log", 0o755), os.Chown(app, 12345, 12345))
	}, "%s (it belongs to 12345: mode 0755)", "PIDFile"},
	{"prefix is somebody's, and empty", true, false, func(app string) error {
		return errors.Join(makeDir(app, 0o755), os.Chown(app, 12345, 12345))
	}, "%s (it belongs to 12345: mode 0755)", "PIDFile"},
	{"prefix is the user's", true, true, func(app string) error {
		return errors.Join(makeDir(app, 0o755), os.Chown(app, 65534, 65534))
	}, "", ""},
	{"prefix is the user's, who is not taken on", true, false, func(app string) error {
		return errors.Join(makeDir(app, 0o755), os.Chown(app, 65534, 65534))
	}, "%s (it belongs to NOBODY: mode 0755)", "PIDFile"},
	{"prefix and run are the user's", true, true, func(app string) error {
		return errors.Join(makeDir(app+"/run", 0o755), os.Chown(app, 65534, 65534), os.Chown(app+"/run", 65534, 65534))
	}, "", ""},
}

// makeDir makes it and its parents, whatever the umask.
func makeDir(dir string, mode fs.FileMode) error {
	return errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, mode))
}

func TestFHSDaemonRefusesDirectoriesOfOthers(t *testing.T) {
	testkit.Parallel(t)
	for _, tt := range hostileDirs {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root {
				testkit.Unprivileged(t)
			}
			s, app := newFHS(t)
			if tt.user {
				s.env = append(s.env, "D_USER=65534")
			}
			must(t, tt.do(app))
			if tt.text == "" {
				s.start()
				s.isThere(s.pid, s.out, s.err)
				s.stop()
				return
			}
			what, hint := "directory", "Give it to root or to the daemon's user (chown)"
			switch {
			case strings.Contains(tt.text, "everybody"):
				hint = "Take the right to write from others (chmod o-w)"
			case strings.Contains(tt.text, "link"):
				what, hint = "PID file", "Remove the link, give it to root"
			}
			text := strings.NewReplacer("%s", app, "ME", username(t, os.Getuid()), "NOBODY", username(t, 65534)).Replace(tt.text)
			touched := func() (times []string) {
				for _, dir := range []string{s.dir, app, app + "/run", app + "/log"} {
					if info, err := os.Stat(dir); err == nil {
						times = append(times, info.ModTime().String())
					}
				}
				return times
			}
			before := touched()
			s.refused("Unable to use "+what+" "+text, hint+", or set "+tt.setting+" to another path.")
			if after := touched(); !slices.Equal(after, before) {
				t.Errorf("something was created and taken back: %v, %v", before, after)
			}
		})
	}
}

// An ordinary user trusts root and himself.
func TestFHSDaemonOfAnOrdinaryUser(t *testing.T) {
	s, app := newFHS(t)
	s.asOrdinary()
	s.start()
	s.stop()
	testkit.RequireRoot(t)
	chown(t, 12345, 12345, app)
	if got := s.do("start"); got.code != 1 || !strings.Contains(got.err, app+" (it belongs to 12345") {
		t.Errorf("somebody else's: got %+v", got)
	}
	chown(t, 0, 0, app)
	s.start()
	s.stop()
}

// The three prefixes that are names of the real system.
func TestFHSDaemonsOfTheSystem(t *testing.T) {
	testkit.Parallel(t)
	testkit.RequireRoot(t)
	for _, tt := range []struct{ prefix, run, log string }{
		{"/opt", "/var/opt/NAME/run", "/var/opt/NAME/log"},
		{"/usr/local", "/var/local/run/NAME", "/var/local/log/NAME"},
		{"/usr", "/var/run/NAME", "/var/log/NAME"},
	} {
		for _, user := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.prefix, " user ", user), func(t *testing.T) {
				name := "tk" + strconv.Itoa(os.Getpid()) + "-" + filepath.Base(testkit.TempDir(t))
				s := describe(t, "layout", "D_NAME="+name, "D_PREFIX="+tt.prefix, "D_PIDFILE=", "D_STDOUT=", "D_STDERR=")
				uid := 0
				if user {
					uid, _ = testkit.Unprivileged(t)
					s.env = append(s.env, fmt.Sprintf("D_USER=%d", uid))
				}
				run, log := strings.Replace(tt.run, "NAME", name, 1), strings.Replace(tt.log, "NAME", name, 1)
				s.pid = run + "/" + name + ".pid"
				removeAfter(t, s.pid, log+"/out.log", log+"/err.log")
				if got, want := s.do("start"), (ending{"Starting " + name + " ... OK\n", "", 0}); got != want {
					t.Fatalf("start: got %+v, want %+v", got, want)
				}
				pid := s.daemon()
				s.isThere(log+"/out.log", log+"/err.log")
				for _, dir := range []string{run, log} {
					if _, u, _ := stat(t, dir); u != uid {
						t.Errorf("%s belongs to %d, want %d", dir, u, uid)
					}
				}
				if got, want := s.do("status"), fmt.Sprintf("%s -- pid: %d, ", name, pid); !strings.HasPrefix(got.out, want) {
					t.Errorf("status: got %+v, want %q", got, want)
				}
				if got, want := s.do("stop"), (ending{"Stopping " + name + " ... OK\n", "", 0}); got != want {
					t.Errorf("stop: got %+v, want %+v", got, want)
				}
				// Next to the PID file there is nothing, ever.
				if entries, err := os.ReadDir(run); err != nil || len(entries) > 1 || !user && len(entries) > 0 {
					t.Errorf("%s holds %v, %v", run, entries, err)
				}
			})
		}
	}
}

// removeAfter removes the files, and those directories above them that are not
// there now, when the test has ended.
func removeAfter(t *testing.T, files ...string) {
	t.Helper()
	var list []string
	for _, path := range files {
		for ; !onDisk(path); path = filepath.Dir(path) {
			list = append(list, path)
		}
	}
	t.Cleanup(func() {
		for _, path := range list {
			// What is not empty is in use by somebody else by now.
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
				t.Error(err)
			}
		}
	})
}

func TestSystemdPaths(t *testing.T) {
	broken := errors.New("banana")
	set := func(p daemonocle.Paths, err error) daemonocle.Layout {
		return func(string) (daemonocle.Paths, error) { return p, err }
	}
	other := daemonocle.Paths{PIDFile: "/x/pid", StdoutFile: "/x/out", StderrFile: "/x/err", WorkDir: "/x", Private: "/x/private", Prefix: "/x/prefix", System: true}
	with := func(change func(*daemonocle.Paths)) daemonocle.Paths {
		p := other
		change(&p)
		return p
	}
	for _, tt := range []struct {
		name                 string
		runtime, state, logs string
		fallback             daemonocle.Layout
		want                 daemonocle.Paths
		err                  error
	}{
		{"all", "/run/foo", "/var/lib/foo", "/var/log/foo", set(other, nil), with(func(p *daemonocle.Paths) {
			p.PIDFile, p.StdoutFile, p.StderrFile, p.Private = "/run/foo/foo.pid", "/var/log/foo/out.log", "/var/log/foo/err.log", ""
		}), nil},
		{"lists", "/run/a:/run/b", "", "/var/log/a:/var/log/b", nil, daemonocle.Paths{
			PIDFile: "/run/a/foo.pid", StdoutFile: "/var/log/a/out.log", StderrFile: "/var/log/a/err.log",
		}, nil},
		{"state", "", "/var/lib/a:/var/lib/b", "", set(other, nil), with(func(p *daemonocle.Paths) {
			p.StdoutFile, p.StderrFile = "/var/lib/a/out.log", "/var/lib/a/err.log"
		}), nil},
		{"runtime only", "/run/foo", "", "", set(other, nil), with(func(p *daemonocle.Paths) {
			p.PIDFile, p.Private = "/run/foo/foo.pid", ""
		}), nil},
		{"over one with earlier places", "/run/foo", "", "", set(daemonocle.Paths{PIDFile: "/st/foo.pid", Warning: "goes",
			Earlier: [3]string{"/rt/foo.pid", "/tmp/p/foo.pid"}, Private: "/tmp/p"}, nil), daemonocle.Paths{PIDFile: "/run/foo/foo.pid",
			Earlier: [3]string{"/st/foo.pid", "/rt/foo.pid", "/tmp/p/foo.pid"}, Private: "/tmp/p"}, nil},
		{"none", "", "", "", set(other, nil), other, nil},
		{"none, no fallback", "", "", "", nil, daemonocle.Paths{}, nil},
		{"relative", "foo", ":/var/lib/foo", ".", set(other, nil), other, nil},
		{"broken fallback", "/run/foo", "", "", set(other, broken), daemonocle.Paths{}, broken},
		{"broken fallback that is not needed", "/run/foo", "/var/lib/foo", "", set(daemonocle.Paths{}, broken), daemonocle.Paths{
			PIDFile: "/run/foo/foo.pid", StdoutFile: "/var/lib/foo/out.log", StderrFile: "/var/lib/foo/err.log",
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("RUNTIME_DIRECTORY", tt.runtime)
			t.Setenv("STATE_DIRECTORY", tt.state)
			t.Setenv("LOGS_DIRECTORY", tt.logs)
			got, err := daemonocle.Systemd(tt.fallback)("foo")
			if !errors.Is(err, tt.err) || err == nil && got != tt.want {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestSystemdDaemon(t *testing.T) {
	s, app := newFHS(t, "D_LAYOUT=systemd")
	rt, logs := s.dir+"/rt", s.dir+"/logs"
	must(t, makeDir(rt, 0o755), makeDir(logs, 0o755))
	// Somewhere else, then where the fallback leads as well.
	for _, runtime := range []string{rt + ":/nowhere", app + "/run"} {
		s.pid, _, _ = strings.Cut(runtime, ":")
		s.pid += "/foo.pid"
		terminal := s.env
		s.env = append(slices.Clone(s.env), "RUNTIME_DIRECTORY="+runtime, "STATE_DIRECTORY="+s.dir, "LOGS_DIRECTORY="+logs)
		s.start()
		s.isThere(s.pid, logs+"/out.log", logs+"/err.log")
		unit := s.env
		s.env = terminal
		if got := s.do("status"); (got.code == 0) != (runtime == app+"/run") {
			t.Errorf("%s: status without the variables: %+v", runtime, got)
		}
		s.env = unit
		s.stop()
		s.env = terminal
	}
}
