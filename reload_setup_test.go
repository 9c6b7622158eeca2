//go:build linux

package daemonocle_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// reloadWell does one reload and gives the new daemon's PID.
func (s *reloader) reloadWell(pid int) int {
	s.t.Helper()
	if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
		s.t.Fatalf("reload: %+v; log %q", r, slurp(s.err))
	}
	testkit.WaitGone(s.t, pid)
	return s.holder()
}

func TestReloadAfterAChangeOfUser(t *testing.T) {
	testkit.Parallel(t)
	uid, gid := testkit.Unprivileged(t)
	for _, who := range []string{fmt.Sprint(uid), "54321:54322"} {
		t.Run(who, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				user, group, other := strings.Cut(who, ":")
				uid, gid, at := uid, gid, 81
				if other {
					uid, gid, at = 54321, 54322, 82
				}
				if order == orders["ready first"] {
					at += 2
				}
				s := newReloader(t, "detached", order, "D_USER="+user, "D_GROUP="+group)
				s.withGroups()
				// Log files where only root may go, and a port that only root may have.
				closed := filepath.Join(s.dir, "closed")
				must(t, os.Mkdir(closed, 0o700))
				s.out, s.err = filepath.Join(closed, "out.log"), filepath.Join(closed, "err.log")
				port := fmt.Sprintf("127.%d.%d.77:%d", os.Getpid()>>8&0xff, os.Getpid()&0xff, at) // no other run's
				path := filepath.Join(closed, "sock")
				s.with("D_STDOUT="+s.out, "D_STDERR="+s.err, "N_PRIV=tcp "+port+";unix "+path, "N_WORKER=tcp "+port+";unix "+path)
				image := s.ownImage("prog")
				pid := s.upAs(image, image)
				for range 3 {
					pid = s.reloadWell(pid)
					checkIdentity(t, pid, uid, gid, gid)
					s.wantAnswer("tcp", port, pid, 0)
					s.wantAnswer("unix", path, pid, 1)
					s.tell("say process %d was here", pid)
					waitText(t, s.out, fmt.Sprintf("process %d was here\n", pid))
					from := len(slurp(s.out))
					s.tell("setuid")
					const eperm = "operation not permitted"
					testkit.WaitFor(t, "the way back to be closed", func() bool {
						return strings.Contains(slurp(s.out)[from:], fmt.Sprintf("setuid: %s %s %s\n", eperm, eperm, eperm))
					})
					s.only(pid)
				}
				if got := s.log("privileged"); got != "0\n" {
					t.Errorf("the privileged hook was called by users %q", got)
				}
				// One that fails does not take anything along.
				s.plan("main", "exit 3")
				if r := s.do("reload"); r.code != 1 {
					t.Errorf("reload: %+v", r)
				}
				s.unplan("main")
				s.wantAnswer("unix", path, pid, 1)
				// The user must be able to execute what takes its place.
				must(t, os.Chmod(image, 0o700))
				r := s.do("reload")
				if r.code != 1 || !strings.Contains(r.err, "permission denied\n") || !strings.Contains(r.err, "hint: The user that the daemon has become must be able to execute it. The daemon (PID ") {
					t.Errorf("reload: %+v", r)
				}
				s.untouched(t, pid, s.log("shutdown"))
				must(t, os.Chmod(image, 0o755))
				pid = s.reloadWell(pid)
				s.only(pid)
				s.stop()
				s.wantRefused("tcp", port)
				if r := s.do("status"); r != (ending{"foo -- not running\n", "", 1}) {
					t.Errorf("status: %+v", r)
				}
			})
		})
	}
}

// jail makes a root directory in which this program can run.
func (s *reloader) jail(proc bool) string {
	s.t.Helper()
	root := newRoot(s.t, s.described, true)
	for _, name := range []string{"lib", "lib64", "usr"} {
		to, err := os.Readlink("/" + name)
		inside := filepath.Join(root, name)
		switch {
		case err == nil:
			must(s.t, os.Symlink(to, inside))
		case onDisk("/" + name):
			must(s.t, os.Mkdir(inside, 0o755))
			s.mount("/"+name, inside, "", unix.MS_BIND)
		}
	}
	if proc {
		inside := filepath.Join(root, "proc")
		must(s.t, os.Mkdir(inside, 0o755))
		s.mount("proc", inside, "proc", 0)
	}
	// What the program of the test needs.
	inside := func(path string) string { return filepath.Join(root, path) }
	must(s.t, os.MkdirAll(inside(s.setting("R_DIR")), 0o777), os.Chmod(inside(s.setting("R_DIR")), 0o777),
		os.Link(s.setting("L_FIFO"), inside(s.setting("L_FIFO"))))
	return root
}

func (s *reloader) mount(what, where, kind string, flags uintptr) {
	s.t.Helper()
	if err := unix.Mount(what, where, kind, flags, ""); err != nil {
		testkit.Skip(s.t, "mount", err.Error())
	}
	s.t.Cleanup(func() {
		s.sweep()
		if err := unix.Unmount(where, unix.MNT_DETACH); err != nil {
			s.t.Error(err)
		}
	})
}

func TestReloadInAChroot(t *testing.T) {
	testkit.Parallel(t)
	for _, user := range []string{"", "65534", "nobody"} {
		t.Run("user="+user, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				if user != "" {
					testkit.Unprivileged(t)
				}
				s := newReloader(t, "detached", order)
				root := s.jail(true)
				if user == "nobody" {
					must(t, os.Mkdir(filepath.Join(root, "etc"), 0o755))
					b, err := os.ReadFile("/etc/passwd")
					must(t, err, os.WriteFile(filepath.Join(root, "etc/passwd"), b, 0o644))
					b, err = os.ReadFile("/etc/group")
					must(t, err, os.WriteFile(filepath.Join(root, "etc/group"), b, 0o644))
				}
				s.with("D_USER="+user, "N_PRIV=tcp 127.0.0.1:0", "N_WORKER=tcp 127.0.0.1:0").withGroups()
				pid := s.up()
				address := said(t, slurp(s.err), "N_WORKER", 0)
				for range 3 {
					pid = s.reloadWell(pid)
					if got := link(t, pid, "root"); got != root {
						t.Errorf("its root directory is %s, want %s", got, root)
					}
					if got := link(t, pid, "cwd"); got != filepath.Join(root, "work") {
						t.Errorf("its working directory is %s", got)
					}
					s.wantAnswer("tcp", address, pid, 0)
					s.only(pid)
				}
				if user != "" {
					checkIdentity(t, pid, 65534, 65534, 65534)
				}
				if got := slurp(filepath.Join(root, s.path("privileged.log"))); got != "" {
					t.Errorf("the privileged hook was called again: %q", got)
				}
				s.stop()
				if onDisk(s.pid) && user == "" {
					t.Error("the PID file is there still")
				}
			})
		})
	}
}

func TestReloadInAChrootWithoutProc(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s := newReloader(t, "detached", order)
		s.jail(false)
		pid := s.up()
		r := s.do("reload")
		if r.code != 1 || r.out != "Reloading foo ... FAILED\n" || !strings.Contains(r.err, "/proc") {
			t.Errorf("reload: %+v", r)
		}
		s.untouched(t, pid, "")
		s.down()
	})
}

// Who the user is, the first generation has found out outside.
func TestReloadInAChrootThatDoesNotKnowTheUser(t *testing.T) {
	testkit.Unprivileged(t)
	eachOrder(t, func(t *testing.T, order string) {
		s := newReloader(t, "detached", order)
		s.jail(true)
		s.with("D_USER=nobody").withGroups()
		pid := s.reloadWell(s.up())
		checkIdentity(t, pid, 65534, 65534, 65534)
		s.only(pid)
		s.stop()
	})
}

func TestListenersAreKept(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order)
		if mode != "PID 1" {
			s.asOrdinary()
		}
		path := filepath.Join(s.dir, "sock")
		s.with("N_WORKER=tcp 127.0.0.1:0;unix " + path)
		pid := s.up()
		out, errs := s.streams()
		waitText(t, out, "worker ")
		address := said(t, slurp(errs), "N_WORKER", 0)
		var before unix.Stat_t
		must(t, unix.Stat(path, &before))
		answered := func() {
			t.Helper()
			s.wantAnswer("tcp", address, insider(t, pid), 0)
			s.wantAnswer("unix", path, insider(t, pid), 1)
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil || st.Ino != before.Ino {
				t.Errorf("the socket's file is another one (%v)", err)
			}
		}
		for range 10 {
			pid = s.reloadWell(pid)
			answered()
		}
		// A new worker that fails closes its own.
		if order != orders["set up"] {
			s.plan("listening", "error coconut")
			if r := s.do("reload"); r.code != 1 {
				t.Errorf("reload: %+v", r)
			}
			s.unplan("listening")
			answered()
		}
		// What the new one does not ask for is closed.
		s.plan("listen", "unix "+path)
		pid = s.reloadWell(pid)
		s.awaitAnswer("unix", path, insider(t, pid), 0)
		s.awaitRefused("tcp", address)
		s.plan("listen", "tcp 127.0.0.1:0")
		pid = s.reloadWell(pid)
		s.awaitRefused("unix", path)
		s.plan("listen", "unix "+path)
		pid = s.reloadWell(pid)
		s.awaitAnswer("unix", path, insider(t, pid), 0)
		s.only(pid)
		s.down()
		if onDisk(path) {
			t.Error("the socket's file is there still")
		}
	})
}

// awaitRefused waits for the worker to be ready, when what it has not asked for is closed.
func (s *reloader) awaitRefused(network, address string) {
	s.t.Helper()
	testkit.WaitFor(s.t, "nobody to listen on "+address, func() bool {
		got := query(network, address)
		return strings.Contains(got, "refused") || strings.Contains(got, "no such file")
	})
}

// awaitAnswer is for a socket that the worker opens anew.
func (s *reloader) awaitAnswer(network, address string, pid, index int) {
	s.t.Helper()
	testkit.WaitFor(s.t, "an answer on "+address, func() bool {
		return query(network, address) == fmt.Sprintf("%d %d", pid, index)
	})
}

// A daemon that the worker starts is another one: nothing of ours is its own, whatever
// the time.
func TestReloadPassesNothingToAnotherDaemon(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s := newReloader(t, "detached", order)
		path := filepath.Join(s.dir, "sock")
		s.with("N_WORKER=tcp 127.0.0.1:0;unix " + path)
		self, err := os.Executable()
		must(t, err)
		// Those of a daemon that is started anywhere else; the last two are the runtime's.
		want := []string{"0 /dev/null", "1 /dev/null", "2 /dev/null", "3 " + s.dir, "3 anon_inode:", "3 anon_inode:", "3 its PID file", "3 socket:"}
		pid := s.up()
		starts := 0
		start := func() {
			t.Helper()
			starts++
			in := s.inner(fmt.Sprint("inner", starts))
			s.tell("sh %s %s start", strings.Join(in.env, " "), self)
			testkit.WaitFor(t, "the inner start to end", func() bool { return strings.Count(slurp(s.out), "sh: <nil>") == starts })
			if got := in.kinds(); !slices.Equal(got, want) {
				t.Errorf("the inner daemon has descriptors %q, want %q", got, want)
			}
			for _, kv := range strs(t, in.pid(), "environ") {
				if strings.HasPrefix(kv, "NOTIFY_SOCKET=") || strings.HasPrefix(kv, "LISTEN_") {
					t.Errorf("the inner daemon has %s", kv)
				}
			}
			in.end()
		}
		start()
		pid = s.reloadWell(pid)
		start()
		at := s.hold("privileged")
		must(t, syscall.Kill(pid, syscall.SIGHUP))
		at.reached()
		s.unplan("privileged")
		start() // by the old one
		at.open()
		next := s.await(pid)
		testkit.WaitGone(t, pid)
		start() // by the new one
		s.only(next)
		s.down()
	})
}

// inner is a daemon that a worker starts.
type inner struct {
	s       *reloader
	pidFile string
	env     []string
}

func (s *reloader) inner(name string) *inner {
	in := &inner{s: s, pidFile: filepath.Join(s.dir, name+".pid")}
	in.env = []string{"env", "TESTKIT_HELPER=prog", "L_FIFO=", "D_NAME=" + name, "D_PIDFILE=" + in.pidFile, "D_STDOUT=", "D_STDERR=", "N_WORKER=", "D_REQUIRE_READY="}
	s.t.Cleanup(func() {
		if onDisk(in.pidFile) {
			in.end()
		}
	})
	return in
}

func (in *inner) pid() int {
	in.s.t.Helper()
	who, _ := locks(in.s.t, in.pidFile)
	if who == 0 {
		in.s.t.Fatalf("no daemon holds %s", in.pidFile)
	}
	return who
}

// kinds are what its descriptors are.
func (in *inner) kinds() (kinds []string) {
	in.s.t.Helper()
	read := func() (all []string) {
		for fd, what := range testkit.FDs(in.pid()) {
			if strings.HasPrefix(what, "/sys/fs/cgroup/") { // the runtime's as well
				continue
			}
			what, _, _ = strings.Cut(what, "[")
			what = strings.ReplaceAll(what, in.pidFile, "its PID file")
			all = append(all, fmt.Sprint(min(fd, 3), " ", what))
		}
		slices.Sort(all)
		return all
	}
	// It has let go of its launcher when there are no more than these.
	for end := time.Now().Add(testkit.Patience); time.Now().Before(end); {
		if kinds = read(); len(kinds) <= 8 {
			break
		}
		time.Sleep(testkit.Settle / 20)
	}
	return kinds
}

func (in *inner) end() {
	in.s.t.Helper()
	pid := in.pid()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, fs.ErrNotExist) {
		in.s.t.Error(err)
	}
	testkit.WaitGone(in.s.t, pid)
}
