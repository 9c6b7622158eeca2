//go:build linux

package daemonocle_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// procStatus reads /proc/PID/task/TID/status.
func procStatus(t *testing.T, pid, tid int) map[string]string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(line, ":")
		status[k] = strings.Join(strings.Fields(v), " ")
	}
	return status
}

// withGroups gives root, who starts the daemon, groups that are not for it.
func (s *described) withGroups() *described {
	s.user = &syscall.Credential{Groups: []uint32{0, 4321}}
	return s
}

func threadsOf(t *testing.T, pid int) []int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	var tids []int
	for _, e := range entries {
		tid, _ := strconv.Atoi(e.Name())
		tids = append(tids, tid)
	}
	return tids
}

func fourTimes(id int) string {
	return strings.TrimSpace(strings.Repeat(strconv.Itoa(id)+" ", 4)) // real, effective, saved, file system
}

// checkIdentity looks at every thread from outside.
func checkIdentity(t *testing.T, pid, uid, gid int, groups ...int) {
	t.Helper()
	slices.Sort(groups)
	want := map[string]string{
		"Uid": fourTimes(uid), "Gid": fourTimes(gid), "Groups": strings.Trim(fmt.Sprint(groups), "[]"),
	}
	if uid != 0 {
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
			want[set] = strings.Repeat("0", 16)
		}
	}
	tids := threadsOf(t, pid)
	if len(tids) < 2 {
		t.Errorf("only threads %v: this test shows little", tids)
	}
	for _, tid := range tids {
		got := procStatus(t, pid, tid)
		for field, want := range want {
			if got[field] != want {
				t.Errorf("thread %d of %d: %s is %q, want %q", tid, pid, field, got[field], want)
			}
		}
	}
}

func TestUserIsTakenOnByAllThreadsAndForGood(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	s := describe(t, "life", fmt.Sprintf("D_USER=%d", uid)).withGroups()
	pid := s.start()
	s.tell("setuid")
	const eperm = "operation not permitted"
	waitText(t, s.out, fmt.Sprintf("setuid: %s %s %s\n", eperm, eperm, eperm))
	s.tell("sh id -u; id -G")
	out := waitText(t, s.out, "sh: <nil>")
	if want := fmt.Sprintf("\n%d\n%d\n", uid, gid); !strings.Contains(out, want) {
		t.Errorf("its child says %q, want %q", out, want)
	}
	checkIdentity(t, pid, uid, gid, gid)
	s.stop()
}

func TestUserGetsHisSupplementaryGroupsAndNobodyElses(t *testing.T) {
	testkit.RequireRoot(t)
	name, uid, gid, groups := userWithGroups(t)
	s := describe(t, "life", "D_USER="+name).withGroups()
	pid := s.start()
	checkIdentity(t, pid, uid, gid, groups...)
	s.stop()
}

// userWithGroups finds somebody with more groups than his own.
func userWithGroups(t *testing.T) (name string, uid, gid int, groups []int) {
	t.Helper()
	list := func(arg, name string) (ids []int) {
		out, err := exec.Command("id", arg, name).Output()
		if err != nil {
			return nil
		}
		for _, f := range strings.Fields(string(out)) {
			n, _ := strconv.Atoi(f)
			ids = append(ids, n)
		}
		return ids
	}
	for line := range strings.Lines(slurp("/etc/group")) {
		_, members, _ := strings.Cut(strings.TrimSpace(line[strings.LastIndex(line, ":"):]), ":")
		name, _, _ := strings.Cut(members, ",")
		if name == "" || name == "root" {
			continue
		}
		if groups := list("-G", name); len(groups) > 1 {
			return name, list("-u", name)[0], list("-g", name)[0], groups
		}
	}
	testkit.Skip(t, "groups", "no user of this system has supplementary groups")
	return
}

func TestNumbersNeedNoEntryInTheDatabase(t *testing.T) {
	testkit.Unprivileged(t)
	const uid, gid = 54321, 54322
	s := describe(t, "life", fmt.Sprintf("D_USER=%d", uid), fmt.Sprintf("D_GROUP=%d", gid)).withGroups()
	pid := s.start()
	checkIdentity(t, pid, uid, gid, gid)
	s.stop()
}

func TestGroupAloneKeepsTheUser(t *testing.T) {
	_, gid := testkit.Unprivileged(t)
	s := describe(t, "life", fmt.Sprintf("D_GROUP=%d", gid)).withGroups()
	pid := s.start()
	checkIdentity(t, pid, 0, gid, gid)
	if _, u, g := stat(t, s.out); u != 0 || g != gid {
		t.Errorf("the log belongs to %d:%d, want 0:%d", u, g, gid)
	}
	s.stop()
}

// newRoot makes a directory to be the root directory.
func newRoot(t *testing.T, s *described, null bool) string {
	t.Helper()
	testkit.RequireRoot(t)
	root := filepath.Join(s.dir, "root")
	for _, dir := range []string{"", "dev", "work"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if null {
		if err := unix.Mknod(filepath.Join(root, os.DevNull), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			testkit.Skip(t, "mknod", err.Error())
		}
	}
	s.env = append(s.env, "D_CHROOT="+root, "D_PIDFILE=/run/foo.pid", "D_STDOUT=logs/out", "D_STDERR=/logs/err", "D_WORKDIR=/work")
	s.pid, s.out, s.err = filepath.Join(root, "run/foo.pid"), filepath.Join(root, "logs/out"), filepath.Join(root, "logs/err")
	return root
}

func TestChroot(t *testing.T) {
	testkit.Parallel(t)
	for _, user := range []bool{false, true} {
		t.Run(fmt.Sprint("user ", user), func(t *testing.T) {
			s := describe(t, "life").withGroups()
			root := newRoot(t, s, true)
			uid, gid := 0, 0
			groups := []int(nil)
			if user {
				uid, gid = testkit.Unprivileged(t)
				groups = []int{gid}
				s.env = append(s.env, fmt.Sprintf("D_USER=%d", uid))
			}
			pid := s.start()
			for link, want := range map[string]string{"root": root, "cwd": filepath.Join(root, "work"), "fd/0": os.DevNull, "fd/1": s.out, "fd/2": s.err} {
				if got, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, link)); got != want {
					t.Errorf("%s is %q (%v), want %q", link, got, err, want)
				}
			}
			if user {
				checkIdentity(t, pid, uid, gid, groups...)
			}
			if got, want := s.do("status"), fmt.Sprintf("foo -- pid: %d, ", pid); !strings.HasPrefix(got.out, want) {
				t.Errorf("status %+v, want %q", got, want)
			}
			// The log files are found again from inside.
			if err := os.Rename(s.out, s.out+".1"); err != nil {
				t.Fatal(err)
			}
			s.tell("reopen")
			testkit.WaitFor(t, "the new log file", func() bool { return pointsTo(pid, 1, s.out) })
			waitText(t, s.out, "reopened: <nil>")
			// So is the PID file, by the one who holds it.
			s.tell("status")
			waitText(t, s.out, fmt.Sprintf("status: true %d", pid))
			s.stop()
			if onDisk(s.pid) {
				t.Error("the PID file is still there")
			}
		})
	}
}

func TestChrootWithoutDevNull(t *testing.T) {
	s := describe(t, "life")
	newRoot(t, s, false)
	s.refused(`The "/dev/null" device does not exist. It must be created within the chroot directory for the daemon to function correctly.`, "")
	// In the foreground nothing needs it.
	s.env = append(s.env, "D_FOREGROUND=1")
	r := s.begin(s.command("start"))
	waitText(t, r.out, "worker ")
	r.signal(syscall.SIGTERM)
	if got := r.wait(); got.code != 0 {
		t.Errorf("foreground: %+v", got)
	}
}

func TestWorkDir(t *testing.T) {
	for _, set := range []bool{false, true} {
		s := describe(t, "life")
		want := "/"
		if set {
			want = filepath.Join(s.dir, "work")
			if err := os.Mkdir(want, 0o755); err != nil {
				t.Fatal(err)
			}
			s.env = append(s.env, "D_WORKDIR="+want)
		}
		pid := s.start()
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); got != want {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
		s.stop()
	}
}

func TestCoreDumpsAreOff(t *testing.T) {
	s := describe(t, "life")
	pid := s.start()
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	if limit != (unix.Rlimit{}) {
		t.Errorf("got %+v, want zero", limit)
	}
	s.stop()
}

func TestWhatAnOrdinaryUserMayNotDoIsNamed(t *testing.T) {
	testkit.Parallel(t)
	rootHint := "Only root can become somebody else; start as root, or do without User and Group."
	if groups, _ := os.Getgroups(); os.Geteuid() != 0 && slices.ContainsFunc(groups, func(g int) bool { return g != 0 && g != os.Getgid() }) {
		rootHint = "Only root can change the supplementary groups; start as root, or do without User and Group."
	}
	for _, tt := range []struct {
		name, setting, text, hint string
	}{
		{"chroot", "D_CHROOT=%s/there", "Unable to change root directory (operation not permitted)",
			"Only root can change the root directory; start as root, or do without ChrootDir."},
		{"user", "D_USER=0", "Unable to setuid or setgid (operation not permitted)", rootHint},
		{"group", "D_GROUP=0", "Unable to setuid or setgid (operation not permitted)", rootHint},
		{"work dir", "D_WORKDIR=%s/closed", "Unable to change working directory (permission denied)", ""},
	} {
		for _, foreground := range []string{"", "1"} {
			t.Run(tt.name+" foreground "+foreground, func(t *testing.T) {
				s := describe(t, "life").asOrdinary()
				s.makeDirs(map[string]fs.FileMode{"there": 0o755, "there/dev": 0o755, "closed": 0o600})
				if err := os.WriteFile(filepath.Join(s.dir, "there", os.DevNull), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				// Directories to be created, and taken back.
				switch pid, out := "/a/run/foo.pid", "/b/logs/out"; tt.name {
				case "chroot":
					s.env = append(s.env, "D_PIDFILE="+pid, "D_STDOUT="+out, "D_STDERR=/err")
				default:
					s.env = append(s.env, "D_PIDFILE="+s.dir+pid, "D_STDOUT="+s.dir+out)
				}
				s.env = append(s.env, "D_FOREGROUND="+foreground, strings.ReplaceAll(tt.setting, "%s", s.dir))
				s.refused(tt.text, tt.hint)
			})
		}
	}
}

// makeDirs creates directories of the starter's in s.dir.
func (s *described) makeDirs(modes map[string]fs.FileMode) {
	s.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(modes)) {
		dir := filepath.Join(s.dir, name)
		err := os.Mkdir(dir, modes[name])
		if err == nil && s.user != nil {
			err = os.Chown(dir, int(s.user.Uid), int(s.user.Gid))
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}
