package pidfile

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// pester takes read locks of whatever file is at the path, again and again, until it is ended.
func pester() {
	fmt.Println("pesters")
	go func() {
		bufio.NewScanner(os.Stdin).Scan()
		os.Exit(0)
	}()
	for held := -1; ; {
		fd, err := unix.Open(os.Args[1], unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if fcntl(fd, unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Len: byteDraining}) != nil {
			unix.Close(fd)
			continue
		}
		if held >= 0 { // it keeps one until it has the next one
			unix.Close(held)
		}
		held = fd
	}
}

// nameless locks a file for a process that the kernel does not name, or names wrongly.
var nameless = map[string]func(t *testing.T, path string){
	"open file description, all":     func(t *testing.T, path string) { locking(t, path, unix.F_OFD_SETLK, unix.F_RDLCK, 0, 0) },
	"open file description, who":     func(t *testing.T, path string) { locking(t, path, unix.F_OFD_SETLK, unix.F_RDLCK, byteWho, 1) },
	"open file description, running": func(t *testing.T, path string) { locking(t, path, unix.F_OFD_SETLK, unix.F_RDLCK, byteRunning, 1) },
	"a table whose process is gone": func(t *testing.T, path string) {
		n := strconv.Itoa
		p, first := begin(t, testkit.Helper(t, "lock", path, n(unix.F_SETLK), n(unix.F_RDLCK), "0", "0", "share"))
		child, err := strconv.Atoi(first)
		if err != nil || !p.out.Scan() || p.out.Text() != "locked" {
			t.Fatalf("lock: %q, %q", first, p.out.Text())
		}
		t.Cleanup(func() { syscall.Kill(child, syscall.SIGKILL) })
		p.end()
	},
}

// A read lock is anybody's who can open the file: who cannot be named keeps no start away.
func TestNamelessReadersKeepNobodyAway(t *testing.T) {
	for name, lock := range nameless {
		t.Run(name, func(t *testing.T) {
			path := place(t)
			put(t, path, "2147483647\n")
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			lock(t, path)
			expect(t, look(t, path), Report{State: Blocked, Number: 2147483647, UID: -1})
			p := holding(t, path)
			want := Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1}
			expect(t, look(t, path), want)
			if got := get(t, path); got != fmt.Sprintln(p.pid()) {
				t.Errorf("the file holds %q", got)
			}
			if now, err := os.Stat(path); err != nil || now.Mode() == 0o600 {
				t.Errorf("got mode %v, %v", now.Mode(), err)
			}
			alone(t, path)
			// It is a file like any other.
			var busy *BusyError
			if _, err := file(path).Acquire(t.Context(), paths.Nobody, nil); !errors.As(err, &busy) || busy.Report.PID != p.pid() {
				t.Errorf("got %v", err)
			}
			p.say("remove", "release")
			expect(t, look(t, path), Report{UID: -1})
		})
	}
}

// alone: nothing but the file is in its directory.
func alone(t *testing.T, path string) {
	t.Helper()
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(all) != 1 || all[0].Name() != filepath.Base(path) {
		t.Errorf("got %v, %v, want %s alone", all, err, path)
	}
}

// The umask, and the mark of a daemon that changes its user, hold for the new file as well.
func TestReplacedFileHasItsMode(t *testing.T) {
	path := place(t)
	put(t, path, "1\n")
	locking(t, path, unix.F_OFD_SETLK, unix.F_RDLCK, 0, 0)
	f := file(path)
	f.Umask, f.Stranger = 0o027, true
	h, err := f.Acquire(t.Context(), paths.Nobody, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	want := os.FileMode(0o640)
	if os.Geteuid() == 0 {
		want |= os.ModeSticky
	}
	if now, err := os.Stat(path); err != nil || now.Mode() != want {
		t.Errorf("got %v, %v, want %v", now.Mode(), err, want)
	}
}

// A write lock is no stranger's, whoever else has a read lock beside it: the file stays.
func TestFileOfAWriterIsNotReplaced(t *testing.T) {
	for _, at := range []int{byteWho, byteRunning, byteNext} {
		path := place(t)
		put(t, path, "1\n")
		locking(t, path, unix.F_OFD_SETLK, unix.F_WRLCK, at, 1)
		for b := range byteDraining {
			if b != at {
				locking(t, path, unix.F_OFD_SETLK, unix.F_RDLCK, b, 1)
			}
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		var busy *BusyError
		if h, err := file(path).Acquire(t.Context(), paths.Nobody, nil); !errors.As(err, &busy) {
			t.Errorf("byte %d: got %v, %v", at, h, err)
		}
		if now, err := os.Stat(path); err != nil || !os.SameFile(before, now) {
			t.Errorf("byte %d: it is another file: %v", at, err)
		}
		alone(t, path)
	}
}

// A crash between the two names leaves a file that nobody else can open.
func TestWhatACrashLeftOfAReplacementIsInNobodysWay(t *testing.T) {
	path := place(t)
	put(t, path, "1\n")
	put(t, path+suffix, "2147483647\n")
	if err := os.Chmod(path+suffix, 0o600); err != nil {
		t.Fatal(err)
	}
	locking(t, path, unix.F_OFD_SETLK, unix.F_RDLCK, 0, 0)
	p := holding(t, path)
	expect(t, look(t, path), Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1})
	alone(t, path)
}

// Who has that name in a directory of everybody's is named.
func TestStrangerAtTheNameOfAReplacement(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	path := place(t)
	put(t, path, "1\n")
	put(t, path+suffix, "")
	if err := os.Chown(path+suffix, uid, gid); err != nil {
		t.Fatal(err)
	}
	locking(t, path, unix.F_OFD_SETLK, unix.F_RDLCK, 0, 0)
	var odd *UntrustedError
	if _, err := file(path).Acquire(t.Context(), paths.Nobody, nil); !errors.As(err, &odd) || odd.UID != uid || odd.Path != path+suffix {
		t.Errorf("got %v", err)
	}
}

// Who replaces the file and is kept waiting by the machine is waited for.
func TestStartThatIsSlowToReplace(t *testing.T) {
	path := place(t)
	put(t, path, "1\n")
	locking(t, path, unix.F_OFD_SETLK, unix.F_RDLCK, 0, 0)
	other := replacing(t, path+suffix)
	acquired := acquiring(t, path)
	time.Sleep(3 * timing.MomentPasses)
	other.kill()
	if err := <-acquired; err != nil {
		t.Error(err)
	}
}

// replacing makes a file that another process has locked as one that replaces another has.
func replacing(t *testing.T, path string) *peer {
	put(t, path, "")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return locking(t, path, unix.F_OFD_SETLK, unix.F_WRLCK, byteRunning, 2)
}

// Who was about to replace a file that another has replaced leaves the new one alone.
func TestOnlyWhatIsStillThereIsReplaced(t *testing.T) {
	path := place(t)
	put(t, path, "1\n")
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	locking(t, path, unix.F_OFD_SETLK, unix.F_RDLCK, 0, 0)
	f := file(path)
	dir, base, err := f.Dir()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	old, err := os.Open(path) // or the next file could have its inode's number
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	p := holding(t, path)
	i := fileid.Of(&st)
	if h, err := f.acquire(dir, base, &i); h != nil || err != nil {
		t.Errorf("got %v, %v", h, err)
	}
	expect(t, look(t, path), Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1})
	alone(t, path)
}

// Many starts that replace files at once, while strangers lock each that they can open: one
// holder at a time.
func TestStormOfReaders(t *testing.T) {
	path := place(t)
	for range 2 {
		p, first := begin(t, testkit.Helper(t, "pester", path))
		if first != "pesters" {
			t.Fatalf("pester: %q", first)
		}
		defer p.kill()
	}
	storm(t, path, rounds/8)
	if got := get(t, path+".log"); strings.Count(got, "comes") != contenders*(rounds/8) {
		t.Errorf("%d came", strings.Count(got, "comes"))
	}
}
