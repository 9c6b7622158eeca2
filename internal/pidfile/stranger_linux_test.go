package pidfile

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// A daemon that has changed its user could have handed the descriptor to anybody.
func TestNumberOfAStrangerProvesNothing(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	p.say("drop")
	f := file(path)
	f.Stranger = true
	r, err := f.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, r, Report{State: Running, Number: p.pid(), UID: -1, Unproved: true})
}

func TestNumberOfAnotherUsersProcessProvesNothing(t *testing.T) {
	testkit.Unprivileged(t)
	path := place(t)
	p := holding(t, path)
	p.say("drop")
	expect(t, look(t, path), Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1})
	p.say("become nobody")
	expect(t, look(t, path), Report{State: Running, Number: p.pid(), UID: -1, Unproved: true})
}

func TestLockerIsNamed(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	p.say("drop")
	put(t, path, "")
	q := locking(t, path, unix.F_SETLK, unix.F_RDLCK, byteWho, 1)
	expect(t, look(t, path), Report{State: Running, UID: os.Getuid(), Locker: q.pid(), Unproved: true})
}

// A living process that has nothing of the file is not the daemon whose number it has got.
func TestNumberThatIsSomebodyElsesIsDead(t *testing.T) {
	path := place(t)
	put(t, path, fmt.Sprintln(os.Getpid()))
	other := locking(t, place2(t, path), unix.F_SETLK, unix.F_RDLCK, 0, 1)
	p := locking(t, path, unix.F_OFD_SETLK, unix.F_WRLCK, byteRunning, 1)
	put(t, path, fmt.Sprintln(other.pid()))
	expect(t, look(t, path), Report{State: Free, Number: other.pid(), UID: -1, Orphaned: true})
	// The holder itself is the daemon, if it has only lost its name.
	put(t, path, fmt.Sprintln(p.pid()))
	expect(t, look(t, path), Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1})
}

// Locks belong to a table of descriptors, and keep the number of the process that took them.
func TestHolderThatIsGoneIsNotNamed(t *testing.T) {
	path := place(t)
	p, first := begin(t, testkit.Helper(t, "hold", path))
	if first != "held" {
		t.Fatalf("hold: %q", first)
	}
	fmt.Fprintln(p.in, "share")
	p.out.Scan()
	child, err := strconv.Atoi(p.out.Text())
	if err != nil || !p.out.Scan() {
		t.Fatalf("share: %q", p.out.Text())
	}
	t.Cleanup(func() { syscall.Kill(child, syscall.SIGKILL) })
	expect(t, look(t, path), Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1})
	p.end()
	expect(t, look(t, path), Report{State: Running, Number: p.pid(), UID: -1, Unproved: true, Severed: true})
	syscall.Kill(child, syscall.SIGKILL)
	testkit.WaitGone(t, child)
	expect(t, look(t, path), Report{State: Free, Number: p.pid(), UID: -1})
}

// lending gives a holder in whose place the kernel names another process, that of the number.
func lending(t *testing.T, path string) (p *peer, named int) {
	t.Helper()
	p = holding(t, path)
	fmt.Fprintln(p.in, "lend")
	p.out.Scan()
	child, err := strconv.Atoi(p.out.Text())
	if err != nil || !p.out.Scan() {
		t.Fatalf("lend: %q", p.out.Text())
	}
	t.Cleanup(func() { syscall.Kill(child, syscall.SIGKILL) })
	return p, child
}

// A process that is named and lives and does not have the lock may be about to end, as one
// that hands over: whoever looks at it looks again, for longer than a moment takes as a rule.
func TestHolderThatEndsIsAMoment(t *testing.T) {
	path := place(t)
	p, _ := lending(t, path)
	looked := make(chan *Report, 1)
	go func() {
		r, err := file(path).Look(t.Context())
		if err != nil {
			t.Error(err)
		}
		looked <- r
	}()
	time.Sleep(3 * timing.MomentPasses)
	p.say("take back")
	expect(t, <-looked, Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1})
}

// What can pass is told from what cannot: nobody is to wait for that.
func TestWhatPasses(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	dead := fmt.Sprintln(gone.Process.Pid)
	for name, tt := range map[string]struct {
		make func(t *testing.T, path string)
		want bool
	}{
		"a process that is named, lives and has no lock": {func(t *testing.T, path string) { lending(t, path) }, true},
		"one that is gone": {func(t *testing.T, path string) {
			_, pid := lending(t, path)
			syscall.Kill(pid, syscall.SIGKILL)
			testkit.WaitGone(t, pid)
		}, false},
		"a process that has nothing and whose number is there": {func(t *testing.T, path string) {
			put(t, path, fmt.Sprintln(os.Getppid()))
			locking(t, path, unix.F_OFD_SETLK, unix.F_WRLCK, byteRunning, 1)
		}, true},
		"a number of nobody": {func(t *testing.T, path string) {
			put(t, path, dead)
			locking(t, path, unix.F_OFD_SETLK, unix.F_WRLCK, byteRunning, 1)
		}, false},
		"the same, and somebody is to be named": {func(t *testing.T, path string) {
			put(t, path, dead)
			locking(t, path, unix.F_OFD_SETLK, unix.F_WRLCK, byteRunning, 2)
		}, true},
		"somebody else is named who is about to write his number": {func(t *testing.T, path string) {
			put(t, path, dead)
			locking(t, path, unix.F_OFD_SETLK, unix.F_WRLCK, byteRunning, 2)
			locking(t, path, unix.F_SETLK, unix.F_WRLCK, byteWho, 1)
		}, true},
		"a reader in the way": {func(t *testing.T, path string) {
			put(t, path, dead)
			locking(t, path, unix.F_SETLK, unix.F_RDLCK, byteWho, 1)
		}, false},
		"no number": {func(t *testing.T, path string) {
			put(t, path, "")
			locking(t, path, unix.F_OFD_SETLK, unix.F_WRLCK, byteRunning, 1)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := place(t)
			tt.make(t, path)
			r, sure, err := file(path).look(true)
			if err != nil || sure || r.moment() != tt.want {
				t.Errorf("got %+v, sure: %v, a moment: %v, %v", r, sure, r.moment(), err)
			}
		})
	}
}

// Its number may be an innocent's by then, who may even have the file open.
func TestOnlyTheHolderIsNotSevered(t *testing.T) {
	path := place(t)
	p, first := begin(t, testkit.Helper(t, "hold", path))
	if first != "held" {
		t.Fatalf("hold: %q", first)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	other := locking(t, path, unix.F_OFD_SETLK, unix.F_RDLCK, 100, 1)
	for pid, want := range map[int]bool{p.pid(): false, other.pid(): true, os.Getpid(): true} {
		if got := severed(pid, fileid.Of(&st)); got != want {
			t.Errorf("process %d: %v, want %v; the holder is %d", pid, got, want, p.pid())
		}
	}
	p.say("release")
	if !severed(p.pid(), fileid.Of(&st)) {
		t.Error("it has let go of the lock")
	}
}

// Where /proc shows another PID namespace, the number there is another process's, and what that
// has says nothing: neither that the holder has no lock, nor that the daemon is dead.
func TestOuterProcSaysNothing(t *testing.T) {
	for name, want := range map[string]string{"named": "true false", "unnamed": "false false"} {
		t.Run(name, func(t *testing.T) {
			path := place(t)
			if name == "unnamed" {
				put(t, path+".drop", "")
			}
			cmd := testkit.InPIDNamespace(t, "hold", path)
			cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
			cmd.Env = append(cmd.Env, "TESTKIT_OWNPROC=") // it keeps the outer /proc
			p, first := begin(t, cmd)
			if first != "held" {
				t.Fatalf("hold %s: %s", path, first)
			}
			p.say(fmt.Sprint("number ", os.Getpid()), "beget") // which is this process's there
			pid := heirSays(t, path, "waiting")
			p.say("yield", "release")
			heirSays(t, path, "granted")
			fmt.Fprintln(p.in, "show")
			if p.out.Scan(); p.out.Text() != fmt.Sprint(pid, " ", want, " <nil>") {
				t.Errorf("process %d is seen as %q", pid, p.out.Text())
			}
			if pid != os.Getpid() {
				t.Logf("it has the number %d, and not that of this process", pid)
			}
		})
	}
}

func place2(t *testing.T, path string) string {
	put(t, path+".other", "")
	return path + ".other"
}

// draining asks for those who have retired from the file.
func draining(t *testing.T, path string) []int {
	t.Helper()
	return file(path).Draining(look(t, path).Inode)
}

func TestWhoHasRetiredIsNamedByAWriteLock(t *testing.T) {
	for _, dropped := range []bool{false, true} {
		path := place(t)
		args := []string{path}
		if dropped {
			testkit.Unprivileged(t)
			args = append(args, "stranger")
		}
		p, first := begin(t, testkit.Helper(t, "hold", args...))
		if first != "held" {
			t.Fatalf("hold: %q", first)
		}
		if dropped {
			p.say("become nobody")
		}
		p.say("yield", "retire")
		if got := draining(t, path); len(got) != 1 || got[0] != p.pid() {
			t.Errorf("dropped %v: got %v, want %d", dropped, got, p.pid())
		}
		// Nothing of the daemon's own locks is left.
		expect(t, look(t, path), Report{State: Free, Number: p.pid(), UID: -1, Stranger: dropped})
	}
}

// Root knows a file of a daemon that changes its user without having been told.
func TestFileTellsOfAStranger(t *testing.T) {
	testkit.RequireRoot(t)
	path := place(t)
	p, first := begin(t, testkit.Helper(t, "hold", path, "stranger"))
	if first != "held" {
		t.Fatalf("hold: %q", first)
	}
	expect(t, look(t, path), Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1, Stranger: true})
	p.say("drop")
	expect(t, look(t, path), Report{State: Running, Number: p.pid(), UID: -1, Unproved: true, Stranger: true})
}

// Anybody who can open the file can take read locks, as many as he likes.
func TestReadLocksNameNobody(t *testing.T) {
	path := place(t)
	put(t, path, "1\n")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	locking(t, path, unix.F_SETLK, unix.F_RDLCK, byteDraining, 7)
	if got := holders(int(f.Fd()), byteDraining, byteDraining+maxDraining); got != nil {
		t.Errorf("readers: got %v", got)
	}
	// Write locks of one process between those count once, of any length.
	p := locking(t, path, unix.F_SETLK, unix.F_WRLCK, byteDraining+10, 100)
	q := locking(t, path, unix.F_SETLK, unix.F_WRLCK, byteDraining+200, 0)
	got := holders(int(f.Fd()), byteDraining, byteDraining+maxDraining)
	if len(got) != 2 || got[0]+got[1] != p.pid()+q.pid() {
		t.Errorf("writers: got %v, want %d and %d", got, p.pid(), q.pid())
	}
}
