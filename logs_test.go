//go:build linux

package daemonocle_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// tree lists what is in a directory, with modes, owners and sizes.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%s %v %d:%d", path, info.Mode(), st.Uid, st.Gid)
		if info.Mode().IsRegular() {
			line += fmt.Sprintf(" %d bytes", info.Size())
		}
		list = append(list, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// refused starts the daemon, which must fail with that text and hint, and leave
// nothing behind.
func (s *described) refused(text, hint string) {
	s.t.Helper()
	before := tree(s.t, s.dir)
	want := ending{"Starting foo ... FAILED\n", "ERROR: " + text + "\n", 1}
	if hint != "" {
		want.err += "hint: " + hint + "\n"
	}
	if got := s.do("start"); got != want {
		s.t.Errorf("got %+v, want %+v", got, want)
	}
	if after := tree(s.t, s.dir); !slices.Equal(after, before) {
		s.t.Errorf("left behind:\n%s\nbefore:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	if pids := s.processes(); len(pids) > 0 {
		s.t.Errorf("left alive: %v", pids)
	}
}

func stat(t *testing.T, path string) (mode fs.FileMode, uid, gid int) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return info.Mode().Perm(), int(st.Uid), int(st.Gid)
}

func TestLogsGetWhatTheDaemonAndItsChildrenWrite(t *testing.T) {
	s := describe(t, "life")
	s.start()
	s.tell("say to stdout")
	s.tell("err to stderr")
	s.tell("sh echo child to stdout; echo child to stderr >&2")
	out := waitText(t, s.out, "sh: <nil>\n")
	for _, want := range []string{"to stdout\n", "child to stdout\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("stdout has %q, want %q", out, want)
		}
	}
	if got, want := slurp(s.err), "to stderr\nchild to stderr\n"; got != want {
		t.Errorf("stderr has %q, want %q", got, want)
	}
	s.stop()
}

func TestOneFileForBothStreamsIsAppendedTo(t *testing.T) {
	s := describe(t, "life")
	s.env = append(s.env, "D_STDERR="+s.out)
	const old = "of yesterday\n"
	if err := os.WriteFile(s.out, []byte(old), 0o640); err != nil {
		t.Fatal(err)
	}
	pid := s.start()
	s.tell("say one")
	s.tell("err two")
	s.tell("say three")
	got := waitText(t, s.out, "three\n")
	want := fmt.Sprintf("%sworker %d: uid %d of foo, args []\none\ntwo\nthree\n", old, pid, os.Getuid())
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if mode, _, _ := stat(t, s.out); mode != 0o640 {
		t.Errorf("mode of the existing file became %v", mode)
	}
	s.stop()
	if got := slurp(s.out); !strings.HasPrefix(got, want) {
		t.Errorf("after the stop it has %q", got)
	}
}

func TestCreatedFilesHaveTheUmask(t *testing.T) {
	testkit.Parallel(t)
	for _, umask := range []fs.FileMode{0o022, 0o027, 0} {
		t.Run(umask.String(), func(t *testing.T) {
			s := describe(t, "life", fmt.Sprintf("D_UMASK=%o", umask))
			logs, run := filepath.Join(s.dir, "a", "b", "logs"), filepath.Join(s.dir, "c", "run")
			s.out, s.err, s.pid = filepath.Join(logs, "out"), filepath.Join(logs, "err"), filepath.Join(run, "foo.pid")
			s.env = append(s.env, "D_STDOUT="+s.out, "D_STDERR="+s.err, "D_PIDFILE="+s.pid)
			pid := s.start()
			for _, file := range []string{s.out, s.err, s.pid} {
				if mode, _, _ := stat(t, file); mode != 0o666&^umask {
					t.Errorf("%s has mode %v, want %v", file, mode, 0o666&^umask)
				}
			}
			for _, dir := range []string{logs, run, filepath.Dir(run), filepath.Join(s.dir, "a"), filepath.Join(s.dir, "a", "b")} {
				if mode, _, _ := stat(t, dir); mode != 0o777&^umask {
					t.Errorf("%s has mode %v, want %v", dir, mode, 0o777&^umask)
				}
			}
			if got, want := procStatus(t, pid, pid)["Umask"], fmt.Sprintf("%04o", umask); got != want {
				t.Errorf("umask of the daemon is %s, want %s", got, want)
			}
			s.stop()
			if got := tree(t, run); len(got) != 1 {
				t.Errorf("the PID file's directory has %q", got)
			}
		})
	}
}

func TestCreatedFilesBelongToTheUser(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	s := describe(t, "life", fmt.Sprintf("D_USER=%d", uid))
	s.out, s.pid = filepath.Join(s.dir, "a", "logs", "out"), filepath.Join(s.dir, "run", "foo.pid")
	s.env = append(s.env, "D_STDOUT="+s.out, "D_PIDFILE="+s.pid)
	if err := os.WriteFile(s.err, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.start()
	for path, want := range map[string][2]int{
		s.out:                             {uid, gid},
		filepath.Dir(s.out):               {uid, gid},
		filepath.Dir(s.pid):               {uid, gid},
		filepath.Join(s.dir, "a"):         {0, 0}, // only the immediate parent
		s.pid:                             {0, 0}, // stays the starter's
		s.err:                             {0, 0}, // was there before
		filepath.Dir(s.setting("L_FIFO")): {0, 0},
	} {
		if _, u, g := stat(t, path); [2]int{u, g} != want {
			t.Errorf("%s belongs to %d:%d, want %v", path, u, g, want)
		}
	}
	s.stop()
	if onDisk(s.pid) {
		t.Error("the PID file is still there")
	}
}

func TestReopenedLogsGetWhatIsWrittenAfterARotation(t *testing.T) {
	testkit.Parallel(t)
	for _, how := range []string{"ReopenLogs", "SIGUSR1"} {
		for _, same := range []bool{false, true} {
			t.Run(fmt.Sprint(how, " same file ", same), func(t *testing.T) {
				s := describe(t, "life")
				if same {
					s.err = s.out
					s.env = append(s.env, "D_STDERR="+s.out)
				}
				pid := s.start()
				s.tell("say before")
				waitText(t, s.out, "before\n")
				rotated := []string{s.out, s.err}
				for _, log := range slices.Compact(rotated) {
					if err := os.Rename(log, log+".1"); err != nil {
						t.Fatal(err)
					}
				}
				if how == "SIGUSR1" {
					if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
						t.Fatal(err)
					}
				} else {
					s.tell("reopen")
				}
				testkit.WaitFor(t, "the new log files", func() bool { return pointsTo(pid, 1, s.out) && pointsTo(pid, 2, s.err) })
				s.tell("say after")
				s.tell("sh echo child after; echo child stderr after >&2")
				out := waitText(t, s.out, "sh: <nil>\n")
				for _, want := range []string{"after\n", "child after\n"} {
					if !strings.Contains(out, want) {
						t.Errorf("stdout has %q, want %q", out, want)
					}
				}
				s.tell("gopanic late")
				testkit.WaitGone(t, pid)
				got := slurp(s.err)
				for _, want := range []string{"child stderr after\n", "panic: late\n"} {
					if !strings.Contains(got, want) {
						t.Errorf("stderr has %q, want %q", got, want)
					}
				}
				if old := slurp(s.out + ".1"); strings.Contains(old, "after") || strings.Contains(old, "panic") {
					t.Errorf("the old file got %q", old)
				}
			})
		}
	}
}

func pointsTo(pid, fd int, path string) bool {
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	return err == nil && link == path
}

// After a change of user the directory is root's: the old files stay, both of
// them, and the Logger hears why.
func TestLogsThatCannotBeReopenedStay(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	s := describe(t, "life", fmt.Sprintf("D_USER=%d", uid), "L_LOGGER=1")
	pid := s.start()
	for _, log := range []string{s.out, s.err} {
		if err := os.Rename(log, log+".1"); err != nil {
			t.Fatal(err)
		}
	}
	s.tell("reopen")
	want := "reopened: daemonocle: reopen logs of foo: open " + s.out + ": permission denied\n"
	waitText(t, s.out+".1", want)
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	heard := waitText(t, s.out+".1", "level=ERROR")
	if !strings.Contains(heard, "open the log files again") || !strings.Contains(heard, "permission denied") {
		t.Errorf("the Logger heard %q", heard)
	}
	if !pointsTo(pid, 1, s.out+".1") || !pointsTo(pid, 2, s.err+".1") {
		t.Errorf("descriptors are %v", testkit.FDs(pid))
	}
	if onDisk(s.out) || onDisk(s.err) {
		t.Error("new files were created")
	}

	// One of two is not enough: none is changed.
	if err := os.WriteFile(s.out, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chmod(s.out, 0o666)
	s.tell("reopen")
	waitText(t, s.out+".1", "open "+s.err+": permission denied")
	if !pointsTo(pid, 1, s.out+".1") {
		t.Error("stdout was changed alone")
	}
	s.stop()
}

func TestReopenSignalIsHarmlessWithoutLogs(t *testing.T) {
	s := describe(t, "life", "D_STDOUT=", "D_STDERR=", "L_HEAR=1")
	// What the worker says goes nowhere, so a file tells that it has heard.
	heard := filepath.Join(s.side, "heard")
	pid := s.start()
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	s.tell("sh echo x > %s", heard)
	testkit.WaitFor(t, "the worker", func() bool { return onDisk(heard) })
	for fd := range 3 {
		if !pointsTo(pid, fd, os.DevNull) {
			t.Errorf("descriptor %d: %v", fd, testkit.FDs(pid)[fd])
		}
	}
	s.stop()
}

func TestDevicesAndFIFOsAsLogs(t *testing.T) {
	s := describe(t, "life", "D_STDERR="+os.DevNull)
	fifo := filepath.Join(s.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "D_STDOUT="+fifo)

	// Nobody reads: the start says so and does not hang.
	s.refused("Unable to open log file "+fifo+" (no such device or address)", "")

	reader, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	pid := s.start()
	buf := make([]byte, 100)
	n, err := reader.Read(buf)
	if want := fmt.Sprintf("worker %d: uid %d of foo, args []\n", pid, os.Getuid()); string(buf[:n]) != want {
		t.Errorf("the reader got %q (%v), want %q", buf[:n], err, want)
	}
	if !pointsTo(pid, 2, os.DevNull) {
		t.Errorf("stderr is %v", testkit.FDs(pid)[2])
	}
	// A worker's writes block when the pipe is full, as any program expects.
	flags, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/1", pid))
	if err != nil || !bytes.Contains(flags, []byte("flags:")) {
		t.Fatal(string(flags), err)
	}
	var octal int
	fmt.Sscanf(string(flags[bytes.Index(flags, []byte("flags:")):]), "flags: %o", &octal)
	if octal&unix.O_NONBLOCK != 0 {
		t.Errorf("stdout is not blocking: %#o", octal)
	}

	// A reader who goes away is no reason to die.
	reader.Close()
	heard := filepath.Join(s.side, "heard")
	s.tell("say into the void")
	s.tell("sh echo > %s", heard)
	testkit.WaitFor(t, "the worker", func() bool { return onDisk(heard) })
	s.stop()
}

func TestLogPathThatIsADirectoryIsRefused(t *testing.T) {
	s := describe(t, "life")
	if err := os.Mkdir(s.err, 0o755); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "D_STDOUT="+filepath.Join(s.dir, "new", "out"), "D_PIDFILE="+filepath.Join(s.dir, "run", "new", "foo.pid"))
	s.refused("Unable to open log file "+s.err+" (is a directory)", "")
}

// smallDisk mounts a file system of its own at dir/disk, and fills it.
func smallDisk(t *testing.T, s *described) string {
	t.Helper()
	testkit.RequireRoot(t)
	disk := filepath.Join(s.dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		testkit.Skip(t, "mount", err.Error())
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return disk
}

func TestFullDiskIsReportedByTheStart(t *testing.T) {
	s := describe(t, "life")
	disk := smallDisk(t, s)
	s.out = filepath.Join(disk, "new", "out.log")
	s.env = append(s.env, "D_STDOUT="+s.out)
	filler, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	filler.Close()
	s.refused("Unable to write to log file "+s.out+" (no space left on device)", "Make room on the disk, or set another path.")

	s.pid = filepath.Join(disk, "run", "foo.pid")
	s.env = append(s.env, "D_PIDFILE="+s.pid, "D_STDOUT=")
	s.refused("Unable to use PID file "+s.pid+" (no space left on device)", "")

	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.stop()
}

func TestReadOnlyDiskIsReportedByTheStart(t *testing.T) {
	s := describe(t, "life")
	disk := smallDisk(t, s)
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		testkit.Skip(t, "mount", err.Error())
	}
	s.out = filepath.Join(disk, "out.log")
	s.env = append(s.env, "D_STDOUT="+s.out)
	s.refused("Unable to open log file "+s.out+" (read-only file system)", "")
	s.pid = filepath.Join(disk, "foo.pid")
	s.env = append(s.env, "D_PIDFILE="+s.pid)
	s.refused("Unable to use PID file "+s.pid+" (read-only file system)", "")
}
