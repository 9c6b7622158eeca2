//go:build linux

package daemonocle_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// lockHint follows when a stranger's lock is in the way, pathHint when the file
// itself is.
const (
	lockHint = "hint: It is no daemon of this program; end that process, or set PIDFile to a path that others cannot read.\n"
	pathHint = "hint: Remove it, or set PIDFile to another path.\n"
	kindHint = "hint: Set PIDFile to another path.\n"
	nameHint = "hint: Try as root, and from the PID namespace in which it was started.\n"
)

func username(t *testing.T, uid int) string {
	t.Helper()
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func chown(t *testing.T, uid, gid int, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Lchown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// shape is all of a file that must stay as it is.
func shape(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	text := ""
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		text = content(t, path)
	}
	return fmt.Sprintf("inode %d mode %o owner %d:%d content %q", st.Ino, st.Mode, st.Uid, st.Gid, text)
}

// unharmed checks at the end of the test that a file is what it is now.
func unharmed(t *testing.T, path string) {
	t.Helper()
	want := shape(t, path)
	t.Cleanup(func() {
		if got := shape(t, path); got != want {
			t.Errorf("%s was %s and is %s", path, want, got)
		}
	})
}

// works checks that the daemon can be started and stopped.
func (r *rig) works() {
	r.t.Helper()
	pid := r.start()
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	r.gone(pid)
	if !missing(r.pidFile) {
		r.t.Errorf("%s is left", r.pidFile)
	}
}

func TestNumberOfAStaleFileIsNeverSignalled(t *testing.T) {
	testkit.Parallel(t)
	for _, action := range []string{"stop", "status", "start", "restart"} {
		t.Run(action, func(t *testing.T) {
			r := newRig(t)
			other := victim(t)
			mkdir(t, filepath.Dir(r.pidFile))
			put(t, r.pidFile, fmt.Sprintln(other))
			missed := result{err: "WARNING: foo is not running\n"}
			r.expect(r.do(action), map[string]result{
				"stop":    missed,
				"status":  {out: "foo -- not running\n", code: 1},
				"start":   {out: "Starting foo ... OK\n"},
				"restart": {out: "Starting foo ... OK\n", err: missed.err},
			}[action])
			if action == "stop" || action == "status" {
				r.clean()
			} else if pid := holder(t, r.pidFile); content(t, r.pidFile) != fmt.Sprintln(pid) {
				t.Errorf("the file of process %d holds %q", pid, content(t, r.pidFile))
			}
		})
	}
}

func TestForgedNumberOfARunningDaemonIsNotBelieved(t *testing.T) {
	r := newRig(t)
	pid, other := r.start(), victim(t)
	for _, number := range []int{other, 1, os.Getpid()} {
		put(t, r.pidFile, fmt.Sprintln(number))
		if s := r.status(); s.PID != pid {
			t.Errorf("with %d in the file: got %+v", number, s)
		}
		r.expect(r.do("start"), result{err: fmt.Sprintf("WARNING: foo already running with PID %d\n", pid)})
	}
	put(t, r.pidFile, fmt.Sprintln(other))
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	r.gone(pid)
	r.clean()
}

// garbage names no process.
var garbage = []string{"", "\n", "0\n", "-1\n", "+5\n", "12 34\n", " 1", "1\n\n", "99999999999999999999\n", "2147483648\n",
	"0x10\n", "1e3\n", "einundzwanzig\n", strings.Repeat("1", 100), "\x00\x00"}

func TestGarbageWithAFreeLockIsStale(t *testing.T) {
	r := newRig(t)
	mkdir(t, filepath.Dir(r.pidFile))
	warning := "WARNING: Empty or broken PID file " + r.pidFile + "; removing\n"
	for _, text := range garbage {
		put(t, r.pidFile, text)
		r.expect(r.do("status"), result{out: "foo -- not running\n", err: warning, code: 1})
		r.clean()
	}
	put(t, r.pidFile, "")
	r.expect(r.do("stop"), result{err: warning + "WARNING: foo is not running\n"})
	r.clean()
	put(t, r.pidFile, "")
	r.expect(r.do("start"), result{out: "Starting foo ... OK\n", err: warning})
}

func TestGarbageOfARunningDaemonIsRepaired(t *testing.T) {
	r := newRig(t)
	pid := r.start()
	warning := "WARNING: PID file " + r.pidFile + " does not name the running daemon; repairing\n"
	for _, text := range garbage {
		put(t, r.pidFile, text)
		got := r.do("status")
		if got.err != warning || got.code != 0 || !strings.HasPrefix(got.out, fmt.Sprintf("foo -- pid: %d,", pid)) {
			t.Errorf("with %q in the file: got %v", text, got)
		}
		if got := content(t, r.pidFile); got != fmt.Sprintln(pid) {
			t.Errorf("%q became %q", text, got)
		}
	}
	put(t, r.pidFile, "?")
	r.expect(r.do("start"), result{err: warning + fmt.Sprintf("WARNING: foo already running with PID %d\n", pid)})
	put(t, r.pidFile, "?")
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n", err: warning})
	r.clean()
}

// Who may not write the file does not claim to have repaired it.
func TestGarbageThatTheCallerMayNotRepair(t *testing.T) {
	r := newRig(t)
	who := ordinary(t)
	pid := r.start()
	put(t, r.pidFile, "?")
	r.user = who
	got := r.do("status")
	if want := "WARNING: PID file " + r.pidFile + " does not name the running daemon\n"; got.err != want || got.code != 0 {
		t.Errorf("got %v", got)
	}
	if !strings.HasPrefix(got.out, fmt.Sprintf("foo -- pid: %d,", pid)) {
		t.Errorf("got %v", got)
	}
}

func TestWhatIsNoPIDFileIsRefused(t *testing.T) {
	testkit.Parallel(t)
	for _, tt := range []struct {
		name, why, hint string
		make            func(t *testing.T, r *rig, target string) error
	}{
		{"symbolic link", "is a symbolic link", pathHint, func(_ *testing.T, r *rig, target string) error {
			return os.Symlink(target, r.pidFile)
		}},
		{"dangling link", "is a symbolic link", pathHint, func(_ *testing.T, r *rig, target string) error {
			return os.Symlink(target+".not", r.pidFile)
		}},
		{"hard link", "has more than one hard link", pathHint, func(_ *testing.T, r *rig, target string) error {
			return os.Link(target, r.pidFile)
		}},
		{"directory", "is a directory", kindHint, func(_ *testing.T, r *rig, _ string) error { return os.Mkdir(r.pidFile, 0o755) }},
		{"FIFO", "is a FIFO", kindHint, func(_ *testing.T, r *rig, _ string) error { return unix.Mkfifo(r.pidFile, 0o666) }},
		{"socket", "is not a regular file", kindHint, func(t *testing.T, r *rig, _ string) error {
			l, err := net.Listen("unix", r.pidFile)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}},
		{"device", "is not a regular file", kindHint, func(t *testing.T, r *rig, _ string) error {
			testkit.RequireRoot(t)
			return unix.Mknod(r.pidFile, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			mkdir(t, filepath.Dir(r.pidFile))
			target := filepath.Join(r.dir, "target")
			put(t, target, "precious\n")
			unharmed(t, target)
			must(t, tt.make(t, r, target))
			before := shape(t, r.pidFile)
			for _, action := range []string{"start", "stop", "restart", "status", "reload"} {
				r.expect(r.do(action), refused(action, "ERROR: PID file "+r.pidFile+" "+tt.why+"\n"+tt.hint))
			}
			if got := shape(t, r.pidFile); got != before {
				t.Errorf("it was %s and is %s", before, got)
			}
			if !missing(target + ".not") {
				t.Error("the link's target was created")
			}
			must(t, os.Remove(r.pidFile))
			r.works()
		})
	}
}

func (r *rig) lock(kind, mode string, start, length int) (pid int, let func()) {
	r.t.Helper()
	return held(r.t, r.command("locker", r.pidFile, kind, mode, strconv.Itoa(start), strconv.Itoa(length)), "locked")
}

// blocked is what start says when a process has a lock that no daemon has.
func (r *rig) blocked(pid, uid int) result {
	who := "a process that cannot be named from here"
	if pid > 0 {
		who = fmt.Sprintf("process %d of user %s", pid, username(r.t, uid))
	}
	return refused("start", "ERROR: PID file "+r.pidFile+" is locked by "+who+"\n"+lockHint)
}

// refused is an action that looked at the PID file and went no further.
func refused(action, err string) result {
	r := result{err: err, code: 1}
	if action == "start" {
		r.out = "Starting foo ... FAILED\n"
	}
	return r
}

func TestStrangersLockBlocksAndIsNoDaemon(t *testing.T) {
	testkit.Parallel(t)
	for _, tt := range []struct {
		name, kind, mode string
		start, length    int
	}{
		{"read lock of the file", "posix", "read", 0, 0},
		{"read lock of the first byte", "posix", "read", 0, 1},
		{"read lock of the second byte", "posix", "read", 1, 1},
		{"lockf of the file", "posix", "write", 0, 0},
		{"lockf of the first byte", "posix", "write", 0, 1},
		{"lockf of the second byte", "posix", "write", 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			mkdir(t, filepath.Dir(r.pidFile))
			put(t, r.pidFile, "123\n")
			unharmed(t, filepath.Dir(r.pidFile))
			before := shape(t, r.pidFile)
			pid, let := r.lock(tt.kind, tt.mode, tt.start, tt.length)
			blocked := r.blocked(pid, os.Getuid())
			r.expect(r.do("start"), blocked)
			r.expect(r.do("status"), result{out: "foo -- not running\n", code: 1})
			r.expect(r.do("stop"), result{err: "WARNING: foo is not running\n"})
			blocked.err = "WARNING: foo is not running\n" + blocked.err
			r.expect(r.do("restart"), blocked)
			if got := shape(t, r.pidFile); got != before {
				t.Errorf("it was %s and is %s", before, got)
			}
			let()
			r.works()
		})
	}
}

// The kernel names no holder of such a lock, which anybody takes who can open the file: it is in
// nobody's way.
func TestReaderWhomNobodyNamesBlocksNothing(t *testing.T) {
	testkit.Parallel(t)
	for name, at := range map[string][2]int{"file": {0, 0}, "first byte": {0, 1}, "second byte": {1, 1}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			mkdir(t, filepath.Dir(r.pidFile))
			put(t, r.pidFile, "123\n")
			_, let := r.lock("ofd", "read", at[0], at[1])
			r.expect(r.do("status"), result{out: "foo -- not running\n", code: 1})
			r.works()
			let()
		})
	}
}

func TestBlockedIsATypedError(t *testing.T) {
	testkit.Setenv(t, "prog")
	r := newRig(t)
	mkdir(t, filepath.Dir(r.pidFile))
	put(t, r.pidFile, "123\n")
	pid, _ := r.lock("posix", "read", 0, 0)
	t.Setenv("D_PIDFILE", r.pidFile)
	d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: r.pidFile, Worker: progWorker("alive")})
	must(t, err)
	_, err = d.Start(t.Context(), daemonocle.StartOptions{})
	var e *daemonocle.Error
	if !errors.Is(err, daemonocle.ErrBlocked) || !errors.As(err, &e) || e.PID != pid {
		t.Errorf("got %v", err)
	}
}

// Only a process that can write the file can hold both bytes like this, so a
// daemon is not denied; but nobody is named, and nobody is signalled.
func TestForeignLockLikeADaemonsNamesNobody(t *testing.T) {
	r := newRig(t)
	mkdir(t, filepath.Dir(r.pidFile))
	put(t, r.pidFile, fmt.Sprintln(victim(t)))
	pid, let := r.lock("ofd", "write", 0, 0)
	s := r.status()
	if !s.Running || s.PID != 0 || s.State != "unknown" {
		t.Errorf("got %+v", s)
	}
	hint := nameHint
	if os.Geteuid() == 0 {
		hint = "hint: The kernel names no process for it, and the number in the PID file proves nothing: " +
			"look who has the file open, as with fuser, and end what is the daemon's with kill.\n"
	}
	r.expect(r.do("stop"), result{err: "ERROR: foo runs, but its process cannot be named from here\n" + hint, code: 1})
	r.expect(r.do("start"), result{err: "WARNING: foo already running\n"})
	r.alive(pid)
	let()
	r.works()
}

func TestDaemonThatDropsItsNameIsFoundNevertheless(t *testing.T) {
	testkit.Parallel(t)
	check := func(t *testing.T, r *rig) {
		if got := r.do("start"); got != (result{out: "Starting foo ... OK\n"}) {
			t.Fatalf("start: %v", got)
		}
		if got := holder(t, r.pidFile); got != 0 {
			t.Fatalf("process %d holds the lock that should be lost", got)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(content(t, r.pidFile)))
		must(t, err)
		if got := r.do("status"); got.code != 0 || !strings.HasPrefix(got.out, fmt.Sprintf("foo -- pid: %d,", pid)) {
			t.Errorf("got %v", got)
		}
		r.expect(r.do("start"), result{err: fmt.Sprintf("WARNING: foo already running with PID %d\n", pid)})
		r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
		r.gone(pid)
		r.clean()
	}
	t.Run("this user", func(t *testing.T) { check(t, oddRig(t, "drop")) })
	t.Run("ordinary user", func(t *testing.T) {
		who := ordinary(t)
		r := oddRig(t, "drop")
		chown(t, int(who.Uid), int(who.Gid), r.dir)
		r.user = who
		check(t, r)
	})
}

// After an in-process change of user nothing proves it that is not the user's word: of what
// shows its descriptors only root can read anything, and root does not believe it.
func TestDaemonThatDropsItsNameIsNotGuessed(t *testing.T) {
	who := ordinary(t)
	r := oddRig(t, "drop", "D_USER="+strconv.Itoa(int(who.Uid)))
	r.expect(r.do("start"), result{out: "Starting foo ... OK\n"})
	number := content(t, r.pidFile)
	pid, err := strconv.Atoi(strings.TrimSpace(number))
	must(t, err)
	unnamed := result{err: "ERROR: foo runs, but its process cannot be named from here\n" + nameHint, code: 1}
	check := func() {
		t.Helper()
		r.expect(r.do("status"), result{out: "foo -- status: unknown, running as a process that cannot be named from here\n"})
		r.expect(r.do("start"), result{err: "WARNING: foo already running\n"})
		r.expect(r.do("stop"), unnamed)
		r.expect(r.do("restart"), unnamed)
		r.alive(pid)
	}
	r.user = who
	check()
	r.user = nil
	unnamed.err = "ERROR: foo runs, but its process cannot be named from here\nhint: The kernel names no process of user " + username(t, int(who.Uid)) +
		" for it, and what that user says is not believed: look for it, as with ps -u " + username(t, int(who.Uid)) + ", and end it with kill.\n"
	check()
	put(t, r.pidFile, fmt.Sprintln(victim(t)))
	check()
	d := r.daemon()
	r.expect(r.do("reload"), unnamed)
	if _, err := d.Stop(t.Context(), daemonocle.StopOptions{Force: true}); !errors.Is(err, daemonocle.ErrHeldElsewhere) {
		t.Errorf("stop: got %v", err)
	}
	if err := d.Wait(t.Context()); !errors.Is(err, daemonocle.ErrHeldElsewhere) {
		t.Errorf("wait: got %v", err)
	}
	signal(t, pid, syscall.SIGKILL)
	testkit.WaitGone(t, pid)
}

func TestGarbageCollectorDoesNotUnlock(t *testing.T) {
	r := oddRig(t, "collect")
	pid := r.start() // asks the kernel for the holder
	r.expect(r.do("start"), result{err: fmt.Sprintf("WARNING: foo already running with PID %d\n", pid)})
}

func TestChildrenDoNotInheritTheLock(t *testing.T) {
	r := newRig(t, "D_WORKER=sleeper")
	pid := r.start()
	child := members(t, pid)
	signal(t, pid, syscall.SIGKILL)
	testkit.WaitGone(t, pid)
	r.expect(r.do("status"), result{out: "foo -- not running\n", code: 1})
	if next := r.start(); next == pid {
		t.Errorf("the daemon is %d again", pid)
	}
	if len(child) != 1 {
		t.Fatalf("the group had %v", child)
	}
	r.alive(child[0])
}

func TestDaemonInAnotherPIDNamespace(t *testing.T) {
	r := newRig(t)
	cmd := testkit.InPIDNamespace(t, "prog", "start")
	cmd.Env = append(cmd.Env, r.env...)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "Starting foo ... OK" {
		t.Fatalf("start says %q", lines.Text())
	}
	pid := holder(t, r.pidFile)
	numbers := regexp.MustCompile(`(?m)^NSpid:\t(\d+)\t(\d+)$`).FindStringSubmatch(content(t, fmt.Sprintf("/proc/%d/status", pid)))
	if numbers == nil || numbers[1] != strconv.Itoa(pid) || numbers[2] != strings.TrimSpace(content(t, r.pidFile)) {
		t.Fatalf("process %d is %q, the file holds %q", pid, numbers, content(t, r.pidFile))
	}
	if s := r.status(); s.PID != pid {
		t.Errorf("got %+v, want %d", s, pid)
	}
	r.expect(r.do("start"), result{err: fmt.Sprintf("WARNING: foo already running with PID %d\n", pid)})
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	r.gone(pid)
	for lines.Scan() { // the keeper's last words, and its end
	}
	must(t, cmd.Wait())
}

func TestDaemonOutsideOfThePIDNamespace(t *testing.T) {
	r := newRig(t)
	pid := r.start()
	within := func(action string) result {
		t.Helper()
		cmd := testkit.InPIDNamespace(t, "prog", action)
		cmd.Env = append(cmd.Env, r.env...)
		return outcome(t, cmd)
	}
	r.expect(within("status"), result{out: "foo -- status: unknown, running as a process that cannot be named from here\n"})
	r.expect(within("start"), result{err: "WARNING: foo already running\n", code: 1}) // it is PID 1 there
	r.expect(within("stop"), result{err: "ERROR: foo runs, but its process cannot be named from here\n" + nameHint, code: 1})
	r.expect(within("reload"), result{err: "ERROR: foo runs, but its process cannot be named from here\n" +
		"hint: Do it where the daemon was started: in its container (podman exec, docker exec, kubectl exec), or send SIGHUP to its process by the number that it has there.\n", code: 1})
	r.alive(pid)
	if got := holder(t, r.pidFile); got != pid {
		t.Errorf("process %d holds the PID file, not %d", got, pid)
	}
}

func TestFailedStartTakesBackWhatItCreated(t *testing.T) {
	r := newRig(t)
	r.pidFile = filepath.Join(r.dir, "a", "b", "foo.pid")
	file := filepath.Join(r.dir, "file")
	put(t, file, "")
	r.env = []string{"D_PIDFILE=" + r.pidFile, "D_STDOUT=" + r.dir + "/log/out.log", "D_STDERR=" + file + "/err.log"}
	got := r.do("start")
	if got.out != "Starting foo ... FAILED\n" || got.code != 1 || !strings.Contains(got.err, file+"/err.log") && !strings.Contains(got.err, file) {
		t.Errorf("got %v", got)
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestPIDDirectoryThatMayNotBeWritten(t *testing.T) {
	r := newRig(t)
	dir := filepath.Dir(r.pidFile)
	mkdir(t, dir)
	if os.Geteuid() == 0 {
		r.user = ordinary(t)
	} else {
		must(t, os.Chmod(dir, 0o555))
	}
	r.expect(r.do("start"), result{
		out: "Starting foo ... FAILED\n",
		err: "ERROR: Unable to use PID file " + r.pidFile + " (permission denied)\n" +
			"hint: Run as a user who may use " + dir + ", or set PIDFile to another path.\n",
		code: 1,
	})
	r.clean()
	must(t, os.Chmod(dir, 0o755))
	r.user = nil
	r.works()
}

// The launcher reads the end of the daemon's log, which may be anything by then.
func TestStartDoesNotHangOnAFIFOForALog(t *testing.T) {
	r := oddRig(t, "fifolog")
	r.env = append(r.env, "D_STDERR="+filepath.Join(r.dir, "err.log"))
	got := r.do("start")
	if got.out != "Starting foo ... FAILED\n" || got.code != 3 {
		t.Errorf("got %v", got)
	}
}

// attack is a stranger, uid 65534, who shares a directory with the service's
// user, who is root in one case and uid 12345 in the other.
func attack(t *testing.T, mode os.FileMode, f func(t *testing.T, r *rig, stranger *syscall.Credential)) {
	stranger := ordinary(t)
	for name, service := range map[string]*syscall.Credential{"root": {}, "12345": {Uid: 12345, Gid: 12345}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.user = service
			mkdir(t, filepath.Dir(r.pidFile))
			must(t, os.Chmod(filepath.Dir(r.pidFile), mode))
			f(t, r, stranger)
		})
	}
}

const sticky = os.ModeSticky | 0o777

// precious is a file of root's, and of nobody else's business.
func precious(t *testing.T) string {
	t.Helper()
	path := filepath.Join(testkit.TempDir(t), "precious")
	put(t, path, "precious\n")
	must(t, os.Chmod(path, 0o600))
	unharmed(t, path)
	return path
}

func TestStrangerWhoMakesThePIDFileFirst(t *testing.T) {
	testkit.Parallel(t)
	attack(t, sticky, func(t *testing.T, r *rig, stranger *syscall.Credential) {
		put(t, r.pidFile, fmt.Sprintln(victim(t)))
		chown(t, int(stranger.Uid), int(stranger.Gid), r.pidFile)
		before := shape(t, r.pidFile)
		for _, action := range []string{"start", "stop", "status", "restart"} {
			r.expect(r.do(action), refused(action, "ERROR: PID file "+r.pidFile+" belongs to user "+username(t, int(stranger.Uid))+"\n"+pathHint))
		}
		if got := shape(t, r.pidFile); got != before {
			t.Errorf("it was %s and is %s", before, got)
		}
		must(t, os.Remove(r.pidFile))
		r.works()
	})
}

func TestStrangerWhoLinksThePIDFile(t *testing.T) {
	testkit.Parallel(t)
	for why, link := range map[string]func(from, to string) error{
		"is a symbolic link":          os.Symlink,
		"has more than one hard link": os.Link,
	} {
		t.Run(why, func(t *testing.T) {
			attack(t, sticky, func(t *testing.T, r *rig, stranger *syscall.Credential) {
				must(t, link(precious(t), r.pidFile))
				for _, action := range []string{"start", "stop", "status"} {
					r.expect(r.do(action), refused(action, "ERROR: PID file "+r.pidFile+" "+why+"\n"+pathHint))
				}
				must(t, os.Remove(r.pidFile))
				r.works()
			})
		})
	}
}

// readLocksStale gives a stranger a read lock on the file of a daemon that was killed.
func (r *rig) readLocksStale(stranger *syscall.Credential, kind string) (locker int, let func()) {
	pid := r.start()
	signal(r.t, pid, syscall.SIGKILL)
	testkit.WaitGone(r.t, pid)
	service := r.user
	defer func() { r.user = service }()
	r.user = stranger
	return r.lock(kind, "read", 0, 0)
}

func TestStrangerWhoReadLocksAStaleFile(t *testing.T) {
	testkit.Parallel(t)
	attack(t, sticky, func(t *testing.T, r *rig, stranger *syscall.Credential) {
		locker, let := r.readLocksStale(stranger, "posix")
		r.expect(r.do("start"), r.blocked(locker, int(stranger.Uid)))
		r.expect(r.do("status"), result{out: "foo -- not running\n", code: 1})
		let()
		r.works()
	})
}

// The daemon has crashed, and he has the file's locks before the next one can.
func TestStrangerWhomNobodyNamesReadLocksAStaleFile(t *testing.T) {
	testkit.Parallel(t)
	attack(t, sticky, func(t *testing.T, r *rig, stranger *syscall.Credential) {
		r.readLocksStale(stranger, "ofd")
		r.works()
	})
}

// The directory belongs to everybody, so the name of the running daemon's file
// cannot be kept; but nobody else is hit for it.
func TestStrangerWhoReplacesThePIDFile(t *testing.T) {
	testkit.Parallel(t)
	attack(t, 0o777, func(t *testing.T, r *rig, stranger *syscall.Credential) {
		pid := r.start()
		must(t, os.Remove(r.pidFile))
		put(t, r.pidFile, fmt.Sprintln(victim(t)))
		chown(t, int(stranger.Uid), int(stranger.Gid), r.pidFile)
		service := r.user
		r.user = stranger
		locker, let := r.lock("posix", "write", 0, 0)
		r.user = service
		for _, action := range []string{"stop", "restart", "start"} {
			r.expect(r.do(action), refused(action, "ERROR: PID file "+r.pidFile+" belongs to user "+username(t, int(stranger.Uid))+"\n"+pathHint))
		}
		r.alive(pid)
		r.alive(locker)
		let()
		signal(t, pid, syscall.SIGTERM)
		testkit.WaitGone(t, pid)
		if missing(r.pidFile) {
			t.Error("the daemon has removed a file that is not its own")
		}
		must(t, os.Remove(r.pidFile))
		r.works()
	})
}

// The service's own user owns the directory into which root writes.
func TestServiceUserWhoLinksItsLogFile(t *testing.T) {
	testkit.Parallel(t)
	for name, tt := range map[string]struct {
		link func(t *testing.T, path string) error
		why  string
	}{
		"symbolic link": {func(t *testing.T, path string) error { return os.Symlink(precious(t), path) },
			"is a symbolic link in a directory that others can write"},
		"hard link": {func(t *testing.T, path string) error { return os.Link(precious(t), path) },
			"has several hard links in a directory that others can write"},
		"dangling link": {func(t *testing.T, path string) error { return os.Symlink(precious(t)+".not", path) },
			"is a symbolic link in a directory that others can write"},
		"FIFO": {func(t *testing.T, path string) error { return unix.Mkfifo(path, 0o666) },
			"no such device or address"},
	} {
		t.Run(name, func(t *testing.T) {
			who := ordinary(t)
			log := filepath.Join(testkit.TempDir(t), "log", "out.log")
			r := newRig(t, "D_USER="+strconv.Itoa(int(who.Uid)), "D_STDOUT="+log)
			mkdir(t, filepath.Dir(log))
			chown(t, int(who.Uid), int(who.Gid), filepath.Dir(log))
			must(t, tt.link(t, log))
			target, _ := os.Readlink(log)
			r.expect(r.do("start"), result{
				out: "Starting foo ... FAILED\n", err: "ERROR: Unable to open log file " + log + " (" + tt.why + ")\n", code: 1,
			})
			if strings.HasSuffix(target, ".not") && !missing(target) {
				t.Error("the link's target was created")
			}
			if !missing(filepath.Dir(r.pidFile)) {
				t.Error("the directory of the PID file is left")
			}
			must(t, os.Remove(log))
			r.works()
		})
	}
}

func TestStrangerWhoMakesTheLogFileFirst(t *testing.T) {
	testkit.Parallel(t)
	for kind, make := range map[string]func(path string) error{
		"file": func(path string) error { return os.WriteFile(path, nil, 0o666) },
		"FIFO": func(path string) error { return unix.Mkfifo(path, 0o666) },
	} {
		t.Run(kind, func(t *testing.T) {
			who := ordinary(t)
			log := filepath.Join(testkit.TempDir(t), "tmp", "out.log")
			r := newRig(t, "D_STDERR="+log)
			mkdir(t, filepath.Dir(log))
			must(t, make(log), os.Chmod(filepath.Dir(log), os.ModeSticky|0o777))
			reader, err := os.OpenFile(log, os.O_RDONLY|unix.O_NONBLOCK, 0)
			must(t, err)
			defer reader.Close()
			chown(t, int(who.Uid), int(who.Gid), log)
			r.expect(r.do("start"), result{
				out: "Starting foo ... FAILED\n", code: 1,
				err: fmt.Sprintf("ERROR: Unable to open log file %s (belongs to user %d in a directory that others can write)\n", log, who.Uid),
			})
			must(t, os.Remove(log))
			r.works()
		})
	}
}

func TestServiceUserWhoLinksItsPIDFile(t *testing.T) {
	testkit.Parallel(t)
	for why, link := range map[string]func(from, to string) error{
		"is a symbolic link":          os.Symlink,
		"has more than one hard link": os.Link,
	} {
		t.Run(why, func(t *testing.T) {
			who := ordinary(t)
			r := newRig(t, "D_USER="+strconv.Itoa(int(who.Uid)))
			mkdir(t, filepath.Dir(r.pidFile))
			chown(t, int(who.Uid), int(who.Gid), filepath.Dir(r.pidFile))
			must(t, link(precious(t), r.pidFile))
			for _, action := range []string{"start", "stop", "status"} {
				r.expect(r.do(action), refused(action, "ERROR: PID file "+r.pidFile+" "+why+"\n"+pathHint))
			}
			must(t, os.Remove(r.pidFile))
			r.works()
		})
	}
}

// Root starts into a tree that somebody else has filled.
func TestAbsoluteLinksDoNotLeadOutOfTheRootDirectory(t *testing.T) {
	testkit.Parallel(t)
	testkit.RequireRoot(t)
	for _, linked := range []string{"log", "run"} {
		t.Run(linked, func(t *testing.T) {
			r := newRig(t)
			root, outside := filepath.Join(r.dir, "root"), testkit.TempDir(t)
			must(t, os.MkdirAll(root+"/dev", 0o755))
			must(t, unix.Mknod(root+"/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), os.Chmod(root+"/dev/null", 0o666))
			must(t, os.Symlink(outside, root+"/"+linked))
			r.pidFile = root + "/run/foo.pid"
			r.env = []string{"D_CHROOT=" + root, "D_PIDFILE=/run/foo.pid", "D_STDOUT=/log/out.log"}
			t.Cleanup(func() { // the mark of killAll is the same for all of these
				r.do("stop")
			})

			got := r.do("start")
			if got.out != "Starting foo ... FAILED\n" || got.code != 1 || !strings.Contains(got.err, root+"/"+linked) {
				t.Errorf("got %v", got)
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("outside there are %v, %v", entries, err)
			}

			// The same link to a place that is there inside.
			must(t, os.MkdirAll(filepath.Join(root, outside), 0o755))
			r.expect(r.do("start"), result{out: "Starting foo ... OK\n"})
			inside := map[string]string{"log": "out.log", "run": "foo.pid"}[linked]
			if missing(filepath.Join(root, outside, inside)) {
				t.Errorf("no %s in %s", inside, filepath.Join(root, outside))
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("outside there are %v, %v", entries, err)
			}
			r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
		})
	}
}

func TestCreatedDirectoriesHaveTheRightOwnerAndMode(t *testing.T) {
	r := newRig(t, "D_UMASK=027")
	uid, owner, pidMode := os.Getuid(), os.Getuid(), os.FileMode(0o640)
	if uid == 0 {
		owner, _ = testkit.Unprivileged(t)
		r.env = append(r.env, "D_USER="+strconv.Itoa(owner))
		pidMode |= os.ModeSticky
	}
	r.pidFile = filepath.Join(r.dir, "a", "run", "foo.pid")
	r.env = slices.Concat(r.env, []string{"D_PIDFILE=" + r.pidFile, "D_STDOUT=" + r.dir + "/b/log/out.log"})
	r.start()
	for path, want := range map[string]struct {
		mode os.FileMode
		uid  int
	}{
		"a":             {os.ModeDir | 0o750, uid},
		"a/run":         {os.ModeDir | 0o750, owner},
		"a/run/foo.pid": {pidMode, uid},
		"b":             {os.ModeDir | 0o750, uid},
		"b/log":         {os.ModeDir | 0o750, owner},
		"b/log/out.log": {0o640, owner},
	} {
		info, err := os.Lstat(filepath.Join(r.dir, path))
		must(t, err)
		if got := int(info.Sys().(*syscall.Stat_t).Uid); info.Mode() != want.mode || got != want.uid {
			t.Errorf("%s: %v of %d, want %v of %d", path, info.Mode(), got, want.mode, want.uid)
		}
	}
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	r.clean()
}
