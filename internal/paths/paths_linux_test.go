package paths

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	testkit.Main(m, map[string]func(){"walker": walker, "exchanger": exchanger, "logger": logger})
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// umask is the whole process's, so that no test here is parallel.
func umask(t *testing.T, mask int) {
	t.Helper()
	old := unix.Umask(mask)
	t.Cleanup(func() { unix.Umask(old) })
}

// open counts the descriptors, to find those that are not closed.
func open(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

func noLeaks(t *testing.T) {
	t.Helper()
	before := open(t)
	t.Cleanup(func() {
		// What an earlier test has left to the garbage collector may be closed meanwhile.
		if after := open(t); after > before {
			t.Errorf("%d descriptors became %d", before, after)
		}
	})
}

type owned struct {
	mode     fs.FileMode
	uid, gid int
}

func look(t *testing.T, path string) owned {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return owned{info.Mode(), int(st.Uid), int(st.Gid)}
}

// somebody is an owner other than this process, if that can be.
func somebody(t *testing.T) Owner {
	if os.Geteuid() != 0 {
		return Owner{os.Getuid(), os.Getgid()}
	}
	uid, gid := testkit.Unprivileged(t)
	return Owner{uid, gid}
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func TestMakeDir(t *testing.T) {
	noLeaks(t)
	umask(t, 0o027)
	dir, owner := testkit.TempDir(t), somebody(t)
	me := Owner{os.Getuid(), os.Getgid()}
	var undo Undo
	fd, base, err := Name{Path: dir + "/a/b/c.pid"}.MakeDir(owner, &undo)
	must(t, err)
	if base != "c.pid" {
		t.Errorf("the last element is %s", base)
	}
	var st, want unix.Stat_t
	must(t, unix.Fstat(fd, &st), unix.Stat(dir+"/a/b", &want), unix.Close(fd))
	if st.Ino != want.Ino {
		t.Error("the descriptor is of another directory")
	}
	for path, want := range map[string]owned{
		"a":   {fs.ModeDir | 0o750, me.UID, me.GID},
		"a/b": {fs.ModeDir | 0o750, owner.UID, owner.GID},
	} {
		if got := look(t, filepath.Join(dir, path)); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	if !missing(dir + "/a/b/c.pid") {
		t.Error("the file was created")
	}
	undo.Back()
	if !missing(dir + "/a") {
		t.Error("the directories are left")
	}
}

func TestMakeDirChangesNothingThatIsThere(t *testing.T) {
	noLeaks(t)
	dir := testkit.TempDir(t)
	must(t, os.Mkdir(dir+"/a", 0o700))
	before := look(t, dir+"/a")
	var undo Undo
	fd, _, err := Name{Path: dir + "/a/c.pid"}.MakeDir(somebody(t), &undo)
	must(t, err, unix.Close(fd))
	undo.Back()
	if got := look(t, dir+"/a"); got != before {
		t.Errorf("it was %v and is %v", before, got)
	}
}

// Somebody else has put something into the directory meanwhile.
func TestUndoLeavesWhatIsInUse(t *testing.T) {
	noLeaks(t)
	dir := testkit.TempDir(t)
	var undo Undo
	fd, _, err := Name{Path: dir + "/a/b/c.pid"}.MakeDir(Nobody, &undo)
	must(t, err, unix.Close(fd), os.WriteFile(dir+"/a/other", nil, 0o644))
	undo.Back()
	if !missing(dir+"/a/b") || missing(dir+"/a/other") {
		t.Error("a/b is left, or a/other is not")
	}
}

func TestMakeAllGivesDirectoriesTheMode(t *testing.T) {
	noLeaks(t)
	umask(t, 0o022)
	dir := testkit.TempDir(t)
	var undo Undo
	must(t, Name{Path: dir + "/a/b"}.MakeAll(0o700, Nobody, &undo))
	if a, b := look(t, dir+"/a"), look(t, dir+"/a/b"); a.mode.Perm() != 0o700 || b.mode.Perm() != 0o700 {
		t.Errorf("got %v, %v", a, b)
	}
	undo.Keep()
	undo.Back()
	if missing(dir + "/a/b") {
		t.Error("what was to be kept is gone")
	}
}

func TestDirNamesWhatIsWrong(t *testing.T) {
	noLeaks(t)
	dir := testkit.TempDir(t)
	must(t, os.WriteFile(dir+"/file", nil, 0o644))
	for path, want := range map[string]error{
		dir + "/no/foo.pid":     fs.ErrNotExist,
		dir + "/file/foo.pid":   unix.ENOTDIR,
		dir + "/file/x/foo.pid": unix.ENOTDIR,
	} {
		_, _, err := Name{Path: path}.Dir()
		var e *fs.PathError
		if !errors.Is(err, want) || !errors.As(err, &e) || !strings.HasPrefix(path, e.Path) {
			t.Errorf("%s: got %v", path, err)
		}
		if want == unix.ENOTDIR {
			if _, _, err := (Name{Path: path}).MakeDir(Nobody, nil); !errors.Is(err, want) {
				t.Errorf("make %s: got %v", path, err)
			}
		}
	}
}

// log opens a log file and writes a line to it.
func log(t *testing.T, n Name, owner Owner, undo *Undo) {
	t.Helper()
	f, err := n.Log(owner, undo)
	must(t, err)
	_, err = fmt.Fprintln(f, "line")
	must(t, err, f.Close())
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func TestLogIsCreatedOrAppendedTo(t *testing.T) {
	noLeaks(t)
	umask(t, 0o027)
	owner := somebody(t)
	n := Name{Path: testkit.TempDir(t) + "/log/out.log"}
	var undo Undo
	log(t, n, owner, &undo)
	want := owned{0o640, owner.UID, owner.GID}
	if got := look(t, n.Path); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	log(t, n, Nobody, &undo)
	if got := content(t, n.Path); got != "line\nline\n" {
		t.Errorf("it holds %q", got)
	}
	undo.Back()
	if missing(n.Path) {
		t.Error("a log file with something in it was removed")
	}
}

func TestLogThatIsThereKeepsItsOwnerAndMode(t *testing.T) {
	noLeaks(t)
	path := testkit.TempDir(t) + "/out.log"
	must(t, os.WriteFile(path, nil, 0o600))
	before := look(t, path)
	var undo Undo
	f, err := Name{Path: path}.Log(somebody(t), &undo)
	must(t, err, f.Close())
	undo.Back()
	if got := look(t, path); got != before {
		t.Errorf("it was %v and is %v", before, got)
	}
}

func TestUndoRemovesAnEmptyLog(t *testing.T) {
	noLeaks(t)
	dir := testkit.TempDir(t)
	var undo Undo
	f, err := Name{Path: dir + "/log/out.log"}.Log(Nobody, &undo)
	must(t, err, f.Close())
	undo.Back()
	if !missing(dir + "/log") {
		t.Error("it is left")
	}
}

func TestLinkedLog(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode fs.FileMode // of the directory
		link func(from, to string) error
		ok   bool
	}{
		{"symbolic, own directory", 0o755, os.Symlink, true},
		{"symbolic, group's directory", 0o775, os.Symlink, false},
		{"symbolic, everybody's directory", 0o777, os.Symlink, false},
		{"symbolic, sticky directory", fs.ModeSticky | 0o777, os.Symlink, false},
		{"hard, own directory", 0o755, os.Link, true},
		{"hard, everybody's directory", 0o777, os.Link, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			dir := testkit.TempDir(t)
			target, n := dir+"/target", Name{Path: dir + "/log/out.log"}
			must(t, os.WriteFile(target, nil, 0o600), os.Mkdir(dir+"/log", 0o755), os.Chmod(dir+"/log", tt.mode))
			must(t, tt.link(target, n.Path))
			before := look(t, target)
			f, err := n.Log(somebody(t), nil)
			if (err == nil) != tt.ok {
				t.Fatalf("got %v", err)
			}
			if err == nil {
				must(t, f.Close())
			} else if !strings.Contains(err.Error(), n.Path) || !strings.Contains(err.Error(), "directory that others can write") {
				t.Errorf("got %v", err)
			}
			if got := look(t, target); got != before {
				t.Errorf("the target was %v and is %v", before, got)
			}
		})
	}
}

func TestLogOfAnotherUser(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	const other = 12345
	for _, tt := range []struct {
		name   string
		holder int // whose the directory is
		mode   fs.FileMode
		file   int // whose the file is
		ok     bool
	}{
		{"stranger's, sticky directory", 0, fs.ModeSticky | 0o777, other, false},
		{"stranger's, everybody's directory", 0, 0o777, other, false},
		{"stranger's, everybody's directory of the daemon's user", uid, 0o777, other, false},
		{"stranger's, root's directory", 0, 0o755, other, true}, // as logrotate's create makes it
		{"stranger's, root's group's directory", 0, 0o775, other, true},
		{"stranger's, directory of the daemon's user", uid, 0o755, other, true},
		{"stranger's, his own directory", other, 0o755, other, true},
		{"stranger's, his own directory for everybody", other, 0o777, other, true},
		{"daemon's user's, sticky directory", 0, fs.ModeSticky | 0o777, uid, true},
		{"root's, sticky directory", 0, fs.ModeSticky | 0o777, 0, true},
	} {
		for kind, make := range map[string]func(path string) error{
			"file": func(path string) error { return os.WriteFile(path, nil, 0o666) },
			"FIFO": func(path string) error { return unix.Mkfifo(path, 0o666) },
		} {
			t.Run(tt.name+", "+kind, func(t *testing.T) {
				noLeaks(t)
				dir := testkit.TempDir(t) + "/log"
				n := Name{Path: dir + "/out.log"}
				must(t, os.Mkdir(dir, 0o755), make(n.Path), os.Chmod(dir, tt.mode))
				reader, err := os.OpenFile(n.Path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO without one is refused
				must(t, err)
				defer reader.Close()
				must(t, os.Chown(dir, tt.holder, tt.holder), os.Chown(n.Path, tt.file, tt.file))
				f, err := n.Log(Owner{uid, gid}, nil)
				if err == nil {
					must(t, f.Close())
				}
				if (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), "belongs to user 12345 in a directory that others can write") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

func TestLinkInAnotherUsersDirectory(t *testing.T) {
	noLeaks(t)
	uid, gid := testkit.Unprivileged(t)
	dir := testkit.TempDir(t)
	must(t, os.Mkdir(dir+"/log", 0o755), os.Lchown(dir+"/log", uid, gid), os.Symlink(dir+"/target", dir+"/log/out.log"))
	if _, err := (Name{Path: dir + "/log/out.log"}).Log(Nobody, nil); err == nil || !missing(dir+"/target") {
		t.Errorf("got %v", err)
	}
}

// As a daemon would find it with a log rotation's or syslog's pipe.
func TestFIFOAsALog(t *testing.T) {
	noLeaks(t)
	n := Name{Path: testkit.TempDir(t) + "/out.log"}
	must(t, unix.Mkfifo(n.Path, 0o666))
	if _, err := n.Log(Nobody, nil); !errors.Is(err, unix.ENXIO) {
		t.Errorf("without a reader: got %v", err)
	}
	reader, err := os.OpenFile(n.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	defer reader.Close()
	f, err := n.Log(Nobody, nil)
	must(t, err)
	defer f.Close()
	conn, err := f.SyscallConn()
	must(t, err)
	conn.Control(func(fd uintptr) { // Fd would change the flags itself
		if flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("flags %#x, %v: the daemon's writes must be able to wait", flags, err)
		}
	})
}

func TestDirectoryAsALog(t *testing.T) {
	noLeaks(t)
	dir := testkit.TempDir(t)
	if _, err := (Name{Path: dir}).Log(Nobody, nil); !errors.Is(err, unix.EISDIR) {
		t.Errorf("got %v", err)
	}
}

// inRoot is a tree with links that mean one thing inside and another outside.
func inRoot(t *testing.T) (root, outside string) {
	t.Helper()
	dir := testkit.TempDir(t)
	root, outside = dir+"/root", dir+"/outside"
	must(t, os.MkdirAll(root+outside, 0o755), os.Mkdir(outside, 0o755))
	must(t, os.Symlink(outside, root+"/absolute"), os.Symlink("../../../../../../../.."+outside, root+"/relative"),
		os.Symlink("/nowhere", root+"/dangling"))
	return root, outside
}

func TestPathsStayInsideTheRoot(t *testing.T) {
	noLeaks(t)
	root, outside := inRoot(t)
	for _, path := range []string{"/absolute/x/out.log", "relative/y/out.log", "/../../../" + outside + "/z/out.log"} {
		log(t, Name{Root: root, Path: path}, Nobody, nil)
		dir := strings.TrimSuffix(filepath.Base(filepath.Dir(path)), "/")
		if got := content(t, filepath.Join(root, outside, dir, "out.log")); got != "line\n" {
			t.Errorf("%s: inside it holds %q", path, got)
		}
	}
	_, err := Name{Root: root, Path: "/dangling/x/out.log"}.Log(Nobody, nil)
	if err == nil || !missing("/nowhere") {
		t.Errorf("dangling: got %v", err)
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) > 0 {
		t.Errorf("outside there are %v, %v", entries, err)
	}
}

func TestLinkedLogInsideTheRootIsRefused(t *testing.T) {
	noLeaks(t)
	root, outside := inRoot(t)
	must(t, os.Symlink(outside+"/target", root+"/out.log"))
	if _, err := (Name{Root: root, Path: "out.log"}).Log(Nobody, nil); err == nil {
		t.Error("it was followed")
	}
	if !missing(outside+"/target") || !missing(root+outside+"/target") {
		t.Error("the target was created")
	}
}

// Whoever takes back a start that has failed removes a directory that another start
// is about to use.
func TestLogInADirectoryThatKeepsGoing(t *testing.T) {
	top := t.TempDir()
	n := Name{Path: filepath.Join(top, "a", "b", "log")}
	stop, gone := make(chan struct{}), make(chan int)
	go func() {
		removed := 0
		defer func() { gone <- removed }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, dir := range []string{"a/b", "a"} {
				if unix.Rmdir(filepath.Join(top, dir)) == nil {
					removed++
				}
			}
			// One that never rests could keep anybody from ever creating anything.
			time.Sleep(50 * time.Microsecond)
		}
	}()
	for range 500 {
		f, err := n.Log(Nobody, nil)
		if err != nil {
			t.Error(err)
			break
		}
		f.Close()
		if err := os.Remove(n.Path); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	if <-gone == 0 {
		t.Error("the directory was never removed: this test cannot fail")
	}
}
