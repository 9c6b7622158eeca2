package pidfile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// beget starts an heir of the file.
func beget(h *Held) {
	h.Expect()
	file, dir := h.FDs()
	os.Setenv("TESTKIT_HELPER", "heir")
	_, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 2, 2, uintptr(file), uintptr(dir)},
	})
	if err != nil {
		panic(err)
	}
}

// heir inherits a file, and writes beside it how far it has come.
func heir() {
	const file, dir = 3, 4
	syscall.CloseOnExec(file)
	syscall.CloseOnExec(dir)
	path := os.Args[1]
	h, granted, err := Succeed(file, dir, -1, path)
	if err != nil {
		panic(err)
	}
	say := func(what string) {
		text := what + " " + strconv.Itoa(os.Getpid())
		if err := os.WriteFile(path+".new", []byte(text), 0o666); err != nil {
			panic(err)
		}
		if err := os.Rename(path+".new", path+".heir"); err != nil {
			panic(err)
		}
	}
	if err := h.Remove(); err != nil { // it is not its to remove
		panic(err)
	}
	say("waiting")
	<-granted
	if _, err := os.Stat(path + ".drop"); err == nil {
		h.Unexpect()
		os.ReadFile(path) // which ends the lock that names it
	}
	say("granted")
	select {}
}

// heirSays waits until the heir has come so far, and gives its PID.
func heirSays(t *testing.T, path, what string) (pid int) {
	t.Helper()
	testkit.Helper(t, "heir") // counts it as used
	testkit.WaitFor(t, "the heir to be "+what, func() bool {
		b, _ := os.ReadFile(path + ".heir")
		n, _ := fmt.Sscanf(string(b), what+" %d", &pid)
		return n == 1
	})
	return pid
}

func wantHolder(t *testing.T, path string, pid int) {
	t.Helper()
	expect(t, look(t, path), Report{State: Running, PID: pid, Number: pid, UID: -1})
}

func TestSuccession(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	inode := look(t, path).Inode
	p.say("beget")
	pid := heirSays(t, path, "waiting")
	wantHolder(t, path, p.pid())
	p.say("yield")
	heirSays(t, path, "granted")
	wantHolder(t, path, pid)
	p.say("release")
	wantHolder(t, path, pid)
	p.kill()
	wantHolder(t, path, pid)
	if got := look(t, path).Inode; got != inode {
		t.Errorf("the inode was %s and is %s", inode, got)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	testkit.WaitGone(t, pid)
	if r := look(t, path); r.State != Free {
		t.Errorf("got %+v", r)
	}
}

func TestHeirOfADeadProcessHoldsTheFileAtOnce(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	p.say("beget")
	pid := heirSays(t, path, "waiting")
	p.kill()
	wantHolder(t, path, pid)
	syscall.Kill(pid, syscall.SIGKILL)
	testkit.WaitGone(t, pid)
}

func TestRegainAfterTheHeirsDeath(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	p.say("beget")
	pid := heirSays(t, path, "waiting")
	p.say("yield")
	heirSays(t, path, "granted")
	syscall.Kill(pid, syscall.SIGKILL)
	testkit.WaitGone(t, pid)
	p.say("regain", "look")
	wantHolder(t, path, p.pid())
}

// Until the predecessor has left its place for good, the file is its, whatever becomes of the
// one that has taken the lock: it is about to come back.
func TestDeadHeirsFileIsNobodyElses(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	p.say("beget")
	pid := heirSays(t, path, "waiting")
	p.say("yield")
	heirSays(t, path, "granted")
	syscall.Kill(pid, syscall.SIGKILL)
	testkit.WaitGone(t, pid)
	if r, _, err := file(path).look(true); err != nil || r.State != Running || !r.moment() {
		t.Errorf("got %+v, %v", r, err)
	}
	if removed, err := file(path).Remove(); removed || err != nil {
		t.Errorf("removed: %v, %v", removed, err)
	}
	p.say("regain", "look")
	wantHolder(t, path, p.pid())
}

// A stranger's read lock can come between two generations; it delays nothing.
func TestStrangersLockDuringASuccession(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	p.say("yield")
	locking(t, path, unix.F_SETLK, unix.F_RDLCK, byteWho, 1)
	p.say("regain", "look")
	wantHolder(t, path, p.pid())
	if b, _ := os.ReadFile(path); strings.TrimSpace(string(b)) != strconv.Itoa(p.pid()) {
		t.Errorf("the file has %q", b)
	}
}

// Many file systems give the number of a removed file to the next one that is made.
func TestPinnedInodeIsNotGivenAway(t *testing.T) {
	path := place(t)
	put(t, path, "1\n")
	remake := func() string {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		put(t, path, "1\n")
		return look(t, path).Inode
	}
	before := look(t, path)
	reused := remake() == before.Inode
	before = look(t, path)
	unpin, ok := file(path).Pin(before)
	if !ok {
		t.Fatal("it cannot be pinned")
	}
	if remake() == before.Inode {
		t.Error("another file has its inode")
	}
	unpin()
	if _, ok := file(path).Pin(before); ok {
		t.Error("a file that is gone was pinned")
	}
	t.Logf("without it the file system gives numbers away at once: %v", reused)
}

// Between the questions for the locks and that for a successor, one can have come.
func TestSuccessorThatComesMeanwhileIsNoOrphan(t *testing.T) {
	path := filepath.Join(testkit.TempDir(t), "foo.pid")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := set(int(f.Fd()), byteRunning); err != nil {
		t.Fatal(err)
	}
	look, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	running, err := asked(int(look.Fd()), byteRunning)
	if err != nil || !running.anonymous() {
		t.Fatalf("the lock is %+v, %v", running, err)
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	dead := gone.Process.Pid
	for _, number := range []int{dead, os.Getpid()} {
		if err := write(int(f.Fd()), number); err != nil {
			t.Fatal(err)
		}
		if got := orphaned(int(look.Fd()), lock{}, running, dead); got != (number == dead) {
			t.Errorf("with %d in the file, after %d was read there: %v", number, dead, got)
		}
	}
	// Its number may be one of another PID namespace, and here that of nobody.
	if err := write(int(f.Fd()), dead); err != nil {
		t.Fatal(err)
	}
	locking(t, path, unix.F_SETLK, unix.F_WRLCK, byteWho, 1)
	if orphaned(int(look.Fd()), lock{}, running, dead) {
		t.Error("somebody has taken the lock that names him, and is an orphan")
	}
}

// One that has the lock and has not written its number yet has a moment for that.
func TestSuccessorIsAboutToWriteItsNumber(t *testing.T) {
	path := place(t)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	if err := errors.Join(write(fd, os.Getppid()), set(fd, byteRunning), set(fd, byteNext)); err != nil {
		t.Fatal(err)
	}
	pid := locking(t, path, unix.F_SETLK, unix.F_WRLCK, byteWho, 1).pid()
	written := make(chan error)
	go func() {
		time.Sleep(timing.MomentPasses / 10) // the looker is at it meanwhile
		err := write(fd, pid)
		clearNext(fd)
		written <- err
	}()
	wantHolder(t, path, pid)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

// expecting asks for the lock on byteNext as often as it is called. Its descriptor stays open, for
// the end of one would end the locks of a test that has some itself.
func expecting(t *testing.T, path string) func() bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func() bool { return nextSet(int(f.Fd())) }
}

// A successor that is the daemon by its number, since its predecessor is dead or has let go,
// and still waits for the lock that names it, is about to be named all the while.
func TestSuccessorIsExpectedUntilItIsNamed(t *testing.T) {
	path := place(t)
	put(t, path, "")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(set(fd, byteRunning), set(fd, byteNext)); err != nil {
		t.Fatal(err)
	}
	before := locking(t, path, unix.F_SETLK, unix.F_WRLCK, byteWho, 1)
	set := expecting(t, path)
	h, granted, err := Succeed(fd, dir, -1, path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	if err := h.Insist(); err != nil {
		t.Fatal(err)
	}
	h.Unexpect()
	if !set() {
		t.Error("before it is named nothing says that it comes")
	}
	before.kill()
	<-granted
	if set() {
		t.Error("it is named, and a successor is said to come")
	}
	h.Expect()
	if !set() {
		t.Error("its own successor is not said to come")
	}
}

// So is one that takes its place back.
func TestWhoComesBackIsExpectedUntilItIsNamed(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	set := expecting(t, path)
	p.say("expect", "yield")
	wantHolder(t, path, p.pid()) // it is responsible still, and the number is its
	q := locking(t, path, unix.F_SETLK, unix.F_RDLCK, byteWho, 1)
	p.say("regain", "unexpect")
	if !set() {
		t.Error("before it is named nothing says that it comes")
	}
	wantHolder(t, path, p.pid())
	q.kill()
	testkit.WaitFor(t, "it to be named", func() bool { return !set() })
	wantHolder(t, path, p.pid())
}

// Its number in the file is its own, in its PID namespace. From outside of that it is named
// at once all the time in which its successor comes up, which can be long.
func TestDaemonOfAnotherNamespaceIsNamedWhileASuccessorComes(t *testing.T) {
	path := place(t)
	p, first := begin(t, testkit.InPIDNamespace(t, "hold", path))
	if first != "held" {
		t.Fatalf("hold %s: %s", path, first)
	}
	p.say("expect")
	r, sure, err := file(path).look(false)
	if err != nil || !sure {
		t.Errorf("sure: %v, %v", sure, err)
	}
	expect(t, r, Report{State: Running, PID: p.pid(), Number: 1, UID: -1})
}

// Only the number in a process's own namespace is what it has written.
func TestNumbersIn(t *testing.T) {
	type numbers struct {
		shown, innermost int
		told             bool
	}
	for text, want := range map[string]numbers{
		"": {},
		"pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t1\nPid:\t7\n": {}, // before Linux 5.5
		"Pid:\t8470\nNSpid:\t8470\n":                                 {8470, 8470, true},
		"Pid:\t8470\nNSpid:\t8470\t33\t117\n":                        {8470, 117, true},
		"Pid:\t-1\nNSpid:\t-1\n":                                     {0, 0, true}, // it is gone
		"Pid:\t0\nNSpid:\t0\n":                                       {0, 0, true}, // it is elsewhere
		"Pid:\t1\nNSpid:\n":                                          {0, 0, true},
		"Pid:\t1\nNSpid:\t1\tx\n":                                    {1, 0, true},
		"Pid:\t1\nNSpid:\t1\t99999999999999999999\n":                 {1, 0, true},
	} {
		shown, innermost, told := numbersIn([]byte(text))
		if got := (numbers{shown, innermost, told}); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func FuzzNumbersIn(f *testing.F) {
	f.Add([]byte("Pid:\t8470\nNSpid:\t8470\t117\n"))
	f.Add([]byte("NSpid:"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if shown, innermost, told := numbersIn(b); shown < 0 || innermost < 0 || !told && shown+innermost > 0 {
			t.Errorf("got %d, %d, %v", shown, innermost, told)
		}
	})
}
