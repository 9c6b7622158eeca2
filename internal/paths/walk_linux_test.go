package paths

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// shapes are paths below a directory that has
//
//	real/in        directories
//	file           no directory
//	mine           a link of ours to real
//	theirs         a link of somebody else's to real
//
// and what else is said in links, which are ours but for those with a "!".
var shapes = []struct {
	links  string // name=target, by spaces; %s is the directory
	path   string
	leads  string // where the directory is, or
	link   string // the link that is refused, or
	err    error
	inRoot string // where it leads when the directory is the root; "-": not there
}{
	{"", "real/in/x", "real/in", "", nil, "real/in"},
	{"", "mine/in/x", "real/in", "", nil, "real/in"},
	{"", "mine/../mine/in/x", "real/in", "", nil, "real/in"},
	{"", "theirs/x", "", "theirs", nil, ""},
	{"", "theirs/in/x", "", "theirs", nil, ""},
	{"", "./theirs//in/../../x", "", "", nil, ""}, // nothing of it is walked
	{"", "file/x", "", "", unix.ENOTDIR, "-"},
	{"", "no/x", "", "", unix.ENOENT, "-"},
	{"abs=%s/real", "abs/in/x", "real/in", "", nil, "-"},
	{"abs=%s/theirs", "abs/in/x", "", "theirs", nil, "-"},
	{"abs=/real", "abs/in/x", "", "", unix.ENOENT, "real/in"},
	{"up=../in/..", "up/in/x", "", "", unix.ENOENT, ""},
	{"real/up=../real/in/..", "real/up/in/x", "real/in", "", nil, "real/in"},
	{"real/up=../mine/./in//", "mine/up/x", "real/in", "", nil, "real/in"},
	{"real/up=../theirs/..", "real/up/x", "", "theirs", nil, ""},
	{"real/up=../theirs/../real", "mine/up/x", "", "theirs", nil, ""},
	{"one=two two=three three=real", "one/in/x", "real/in", "", nil, "real/in"},
	{"one=two !two=real", "one/in/x", "", "two", nil, ""},
	{"one=two two=one", "one/x", "", "", unix.ELOOP, "-"},
	{"one=one", "one/x", "", "", unix.ELOOP, "-"},
	{"out=../../../../../../../../../..", "out/real/in/x", "", "", unix.ENOENT, "real/in"},
	{"dangling=nowhere", "dangling/x", "", "", unix.ENOENT, "-"},
	{"real/in/!deep=%s", "real/in/deep/x", "", "real/in/deep", nil, ""},
}

func TestWalk(t *testing.T) {
	testkit.RequireRoot(t)
	stranger, _ := testkit.Unprivileged(t)
	noLeaks(t)
	for _, tt := range shapes {
		for _, rooted := range []bool{false, true} {
			dir := testkit.TempDir(t)
			must(t, os.MkdirAll(dir+"/real/in", 0o755), os.WriteFile(dir+"/file", nil, 0o644))
			for _, l := range strings.Fields("mine=real !theirs=real " + tt.links) {
				name, target, _ := strings.Cut(l, "=")
				theirs := strings.Contains(name, "!")
				name = dir + "/" + strings.Replace(name, "!", "", 1)
				must(t, os.Symlink(strings.Replace(target, "%s", dir, 1), name))
				if theirs {
					must(t, os.Lchown(name, stranger, stranger))
				}
			}
			n, leads, refused, want := Name{Path: dir + "/" + tt.path}, tt.leads, tt.link, tt.err
			if rooted {
				n = Name{Root: dir, Path: tt.path}
				if tt.inRoot == "-" {
					leads, refused, want = "", "", fs.ErrNotExist
					if tt.err != nil {
						want = tt.err
					}
				} else if tt.inRoot != "" {
					leads, want = tt.inRoot, nil
				}
			}
			what := fmt.Sprintf("%s with %q, rooted %t", tt.path, tt.links, rooted)
			fd, _, err := n.Dir()
			var link *LinkError
			switch {
			case err == nil:
				var got, st unix.Stat_t
				must(t, unix.Fstat(fd, &got), unix.Stat(dir+"/"+leads, &st), unix.Close(fd))
				if refused != "" || want != nil || got.Ino != st.Ino {
					t.Errorf("%s: it leads to inode %d, want %q (%d), %v", what, got.Ino, leads, st.Ino, want)
				}
			case errors.As(err, &link):
				if link.UID != stranger || link.Path != dir+"/"+refused || refused == "" {
					t.Errorf("%s: got %v, want %q", what, err, refused)
				}
			case refused != "" || want == nil || !errors.Is(err, want):
				t.Errorf("%s: got %v, want %v", what, err, want)
			}
			// What is created is never behind a link that leads to nothing.
			if !strings.Contains(tt.links, "nowhere") {
				continue
			}
			if fd, _, err := n.MakeDir(Nobody, nil); err == nil {
				must(t, unix.Close(fd))
			}
			if !missing(dir + "/nowhere") {
				t.Errorf("%s: created behind a dangling link", what)
			}
		}
	}
}

// The links of the user who acts are his own business, and root's are everybody's.
func TestWalkAsAnOrdinaryUser(t *testing.T) {
	testkit.RequireRoot(t)
	uid, gid := testkit.Unprivileged(t)
	dir := testkit.TempDir(t)
	must(t, os.Mkdir(dir+"/real", 0o755), os.Symlink("real", dir+"/roots"), os.Symlink("real", dir+"/own"), os.Symlink("real", dir+"/other"),
		os.Lchown(dir+"/own", uid, gid), os.Lchown(dir+"/other", 12345, 12345))
	cmd := testkit.Helper(t, "walker", dir+"/roots/x", dir+"/own/x", dir+"/other/x")
	cmd.Path = "/proc/self/exe" // the test binary may lie where that user cannot go
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	out, err := cmd.CombinedOutput()
	want := "<nil>\n<nil>\nopen " + dir + "/other: symbolic link " + dir + "/other belongs to user 12345\n"
	if err != nil || string(out) != want {
		t.Errorf("got %v, %s, want %s", err, out, want)
	}
}

func walker() {
	for _, path := range os.Args[1:] {
		_, _, err := Name{Path: path}.Dir()
		fmt.Println(err)
	}
}

// exchanger swaps a directory for a link, and back, until its end.
func exchanger() {
	dir, link := os.Args[1], os.Args[2]
	for {
		if err := unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

// Whoever owns a directory on the way exchanges a directory in it for a link to one of
// root's, all the time. Nothing ever appears behind the link.
func TestNothingAppearsBehindALinkThatComesAndGoes(t *testing.T) {
	testkit.RequireRoot(t)
	uid, gid := testkit.Unprivileged(t)
	dir, secret := testkit.TempDir(t), testkit.TempDir(t)
	must(t, os.MkdirAll(dir+"/srv/logs", 0o755), os.Symlink(secret, dir+"/srv/link"),
		os.Lchown(dir+"/srv", uid, gid), os.Lchown(dir+"/srv/logs", uid, gid), os.Lchown(dir+"/srv/link", uid, gid))
	cmd := testkit.Helper(t, "exchanger", dir+"/srv/logs", dir+"/srv/link")
	cmd.Path = "/proc/self/exe" // the test binary may lie where that user cannot go
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	must(t, cmd.Start())
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	var well, refused int
	owner := Owner{uid, gid}
	for i := 0; well < 200 || refused < 200; i++ {
		var undo Undo
		f, err := Name{Path: fmt.Sprintf("%s/srv/logs/sub%d/out.log", dir, i)}.Log(owner, &undo)
		var link *LinkError
		switch {
		case err == nil:
			well++
			f.Close()
		case errors.As(err, &link):
			refused++
		case !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ENOENT): // exchanged between two looks
			t.Fatal(err)
		}
		undo.Back()
		if i%50 == 0 {
			if entries, err := os.ReadDir(secret); err != nil || len(entries) > 0 {
				t.Fatalf("behind the link there are %v, %v", entries, err)
			}
		}
	}
	if entries, err := os.ReadDir(secret); err != nil || len(entries) > 0 {
		t.Fatalf("behind the link there are %v, %v", entries, err)
	}
}

func TestExchangeable(t *testing.T) {
	for _, tt := range []struct {
		mode          uint32
		holder, owner bool
		want          bool
	}{
		{0o755, true, true, false}, {0o755, true, false, false}, {0o755, false, true, true}, {0o755, false, false, true},
		{0o775, true, true, false}, {0o775, true, false, false},
		{0o777, true, true, true}, {0o777, true, false, true}, {0o777, false, true, true}, {0o777, false, false, true},
		{0o1777, true, true, false}, {0o1777, true, false, true}, {0o1777, false, true, true}, {0o1777, false, false, true},
	} {
		if got := exchangeable(tt.mode, tt.holder, tt.owner); got != tt.want {
			t.Errorf("%o, %t, %t: got %t", tt.mode, tt.holder, tt.owner, got)
		}
	}
}

// The kernel's links in /proc lead elsewhere than their text says.
func TestLogThroughDevStdout(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	cmd := testkit.Helper(t, "logger")
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	must(t, cmd.Run(), w.Close())
	b := make([]byte, 100)
	n, _ := r.Read(b)
	if got := string(b[:n]); got != "line\n" {
		t.Errorf("got %q", got)
	}
}

func logger() {
	f, err := Name{Path: "/dev/stdout"}.Log(Nobody, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(f, "line")
}

// A link of root's at the end is followed like one on the way.
func TestLinkAtTheEndIsWalked(t *testing.T) {
	testkit.RequireRoot(t)
	dir := testkit.TempDir(t)
	must(t, os.MkdirAll(dir+"/var/real", 0o755), os.Symlink("../app/theirs/out.log", dir+"/var/log"), os.Symlink("../app/own/out.log", dir+"/var/good"),
		os.Mkdir(dir+"/app", 0o755), os.Mkdir(dir+"/secret", 0o755), os.Symlink("../secret", dir+"/app/theirs"), os.Symlink("../var/real", dir+"/app/own"),
		os.Lchown(dir+"/app/theirs", 12345, 12345))
	var link *LinkError
	if _, err := (Name{Path: dir + "/var/log"}).Log(Nobody, nil); !errors.As(err, &link) || link.Path != dir+"/app/theirs" {
		t.Errorf("got %v", err)
	}
	log(t, Name{Path: dir + "/var/good"}, Nobody, nil)
	if got := content(t, filepath.Join(dir, "var/real/out.log")); got != "line\n" {
		t.Errorf("got %q", got)
	}
	if entries, err := os.ReadDir(dir + "/secret"); err != nil || len(entries) > 0 {
		t.Errorf("got %v, %v", entries, err)
	}
}

// A hard link of root's link is the work of whoever owns the directory.
func TestHardLinkOfALink(t *testing.T) {
	testkit.RequireRoot(t)
	dir := testkit.TempDir(t)
	must(t, os.Mkdir(dir+"/real", 0o755), os.Symlink(dir+"/real", dir+"/link"), os.Mkdir(dir+"/theirs", 0o755), os.Lchown(dir+"/theirs", 12345, 12345))
	must(t, unix.Linkat(unix.AT_FDCWD, dir+"/link", unix.AT_FDCWD, dir+"/theirs/link", 0))
	var link *LinkError
	if _, _, err := (Name{Path: dir + "/theirs/link/x"}).Dir(); !errors.As(err, &link) || link.UID != 12345 {
		t.Errorf("got %v", err)
	}
	fd, _, err := Name{Path: dir + "/link/x"}.Dir()
	must(t, err, unix.Close(fd))
}

// What is full was not created by us, whatever its name.
func TestOnlyWhatIsEmptyIsGivenAway(t *testing.T) {
	dir := testkit.TempDir(t)
	fd, err := unix.Open(dir, dirFlags, 0)
	must(t, err)
	defer unix.Close(fd)
	if !empty(fd) {
		t.Error("it is empty")
	}
	must(t, os.WriteFile(dir+"/file", nil, 0o600))
	if empty(fd) {
		t.Error("it is not empty")
	}
}
