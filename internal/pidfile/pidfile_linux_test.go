package pidfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	testkit.Main(m, map[string]func(){"hold": hold, "lock": lockFile, "contend": contend, "slow": slow, "heir": heir, "see": see, "pester": pester})
}

func file(path string) *File { return &File{Name: paths.Name{Path: path}} }

// hold acquires a PID file and says how that went; then it does what it reads:
// "drop" its name, "collect" garbage, "look", "remove", "release".
func hold() {
	f := file(os.Args[1])
	f.Stranger = len(os.Args) > 2
	f.Umask = unix.Umask(0)
	unix.Umask(f.Umask)
	h, err := f.Acquire(context.Background(), paths.Nobody, nil)
	if err != nil {
		var busy *BusyError
		fmt.Printf("refused %v %v\n", errors.As(err, &busy), err)
		os.Exit(1)
	}
	fmt.Println("held")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if pid, is := strings.CutPrefix(in.Text(), "number "); is { // the next process, in this PID namespace
			n, _ := strconv.Atoi(pid)
			os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(n-1)), 0)
		}
		switch in.Text() {
		case "drop":
			os.ReadFile(os.Args[1])
		case "collect":
			for range 20 {
				runtime.GC()
			}
		case "look":
			r, err := f.Look(context.Background())
			if err != nil || r.PID != os.Getpid() || r.State != Running {
				panic(fmt.Sprint(r, err))
			}
			if done, err := f.Remove(); done || err != nil {
				panic(fmt.Sprint(done, err))
			}
		case "remove":
			if err := h.Remove(); err != nil {
				panic(err)
			}
		case "inherit":
			if err := h.Inherit(); err != nil {
				panic(err)
			}
		case "become sleep": // with a child that outlives it
			sleep, err := exec.LookPath("sleep")
			if err != nil {
				panic(err)
			}
			panic(syscall.Exec("/bin/sh", []string{"sh", "-c", sleep + " 1000 & echo $!; exec sleep 1000"}, os.Environ()))
		case "release":
			h.Release()
		case "become nobody":
			if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
				panic(err)
			}
		case "share":
			share()
		case "lend":
			lend(h)
		case "take back":
			if err := errors.Join(unlock(h.fd, byteWho), setWho(h.fd)); err != nil {
				panic(err)
			}
		case "retire":
			h.Retire(1)
		case "expect":
			h.Expect()
		case "unexpect":
			h.Unexpect()
		case "show": // to a child, which says what it sees
			os.Setenv("TESTKIT_HELPER", "see")
			child := exec.Command("/proc/self/exe", os.Args[1])
			child.Stdout, child.Stderr = os.Stdout, os.Stderr
			if err := child.Run(); err != nil {
				panic(err)
			}
		case "beget":
			beget(h)
		case "yield":
			if err := h.Yield(); err != nil {
				panic(err)
			}
		case "regain":
			if err := h.Regain(); err != nil {
				panic(err)
			}
		}
		fmt.Println("done")
	}
}

// see looks at the file, and says who it is said to be.
func see() {
	r, err := (&File{Name: paths.Name{Path: os.Args[1]}}).Look(context.Background())
	fmt.Println(r.Number, r.Named(), r.Orphaned, err)
}

// share makes a process that has this one's table of descriptors, and says which it is.
func share() {
	pid, _, errno := syscall.RawSyscall(syscall.SYS_CLONE, syscall.CLONE_FILES|uintptr(syscall.SIGCHLD), 0, 0)
	if errno != 0 {
		panic(errno)
	}
	if pid == 0 { // a copy with one thread, in which Go does not work
		for {
			syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}
	}
	fmt.Println(pid)
}

// lend has the kernel name a child of this process in its place, and says which: one that has
// taken the lock for the table that both had, and has its own since.
func lend(h *Held) {
	if err := unlock(h.fd, byteWho); err != nil {
		panic(err)
	}
	l := record(byteWho)
	pid, _, errno := syscall.RawSyscall(syscall.SYS_CLONE, syscall.CLONE_FILES|uintptr(syscall.SIGCHLD), 0, 0)
	if errno != 0 {
		panic(errno)
	}
	if pid == 0 { // a copy with one thread, in which Go does not work
		syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(h.fd), unix.F_SETLK, uintptr(unsafe.Pointer(l)))
		syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_FILES, 0, 0)
		for {
			syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}
	}
	for { // the lock is the table's, so our own question does not meet it
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, h.fd))
		if err != nil {
			panic(err)
		}
		mine, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", h.fd))
		if err != nil {
			panic(err)
		}
		if !lockIn(b, h.inode, "POSIX", byteWho, byteWho) && lockIn(mine, h.inode, "POSIX", byteWho, byteWho) {
			break
		}
	}
	fmt.Println(pid)
}

// slow is a start that waits, after it has the lock, for a line before it says
// who it is.
func slow() {
	fd, err := unix.Open(os.Args[1], unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o644)
	if err == nil {
		err = set(fd, byteRunning)
	}
	if err != nil {
		panic(err)
	}
	fmt.Println("locked")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := errors.Join(write(fd, os.Getpid()), setWho(fd)); err != nil {
			panic(err)
		}
		fmt.Println("done")
	}
}

// lockFile takes one lock and stays: path, command, type, first byte, length.
func lockFile() {
	number := func(i int) int64 {
		n, err := strconv.ParseInt(os.Args[i], 10, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	mode := os.O_RDONLY
	if number(3) == unix.F_WRLCK {
		mode = os.O_RDWR
	}
	f, err := os.OpenFile(os.Args[1], mode, 0)
	if err != nil {
		panic(err)
	}
	l := unix.Flock_t{Type: int16(number(3)), Start: number(4), Len: number(5)}
	if err := unix.FcntlFlock(f.Fd(), int(number(2)), &l); err != nil {
		panic(err)
	}
	if len(os.Args) > 6 { // stays with a process that has the same table of descriptors
		share()
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(f)
}

// So many that a missing look at the inode is noticed nearly always.
const contenders, rounds = 6, 200

// contend acquires and removes a file many times. Whoever has it appends to the
// file beside it that it came, and that it goes: no other may stand between.
func contend() {
	path := os.Args[1]
	f := file(path)
	log, err := os.OpenFile(path+".log", os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		panic(err)
	}
	rounds := rounds
	if len(os.Args) > 2 {
		rounds, _ = strconv.Atoi(os.Args[2])
	}
	for won := 0; won < rounds; {
		h, err := f.Acquire(context.Background(), paths.Nobody, nil)
		var busy *BusyError
		if errors.As(err, &busy) {
			f.Remove()
			continue
		}
		if err != nil {
			panic(err)
		}
		won++
		fmt.Fprintf(log, "%d comes\n", os.Getpid())
		r, err := f.Look(context.Background())
		if err != nil || r.PID != os.Getpid() {
			panic(fmt.Sprint(r, err))
		}
		fmt.Fprintf(log, "%d goes\n", os.Getpid())
		if won%2 == 0 { // every other leaves its file, as after a crash
			if err := h.Remove(); err != nil {
				panic(err)
			}
		}
		h.Release()
	}
}

// peer is a helper with which a test talks by lines.
type peer struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func begin(t *testing.T, cmd *exec.Cmd) (p *peer, first string) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p = &peer{t, cmd, in, bufio.NewScanner(out)}
	t.Cleanup(p.end)
	p.out.Scan()
	return p, p.out.Text()
}

func (p *peer) pid() int { return p.cmd.Process.Pid }

func (p *peer) say(words ...string) {
	p.t.Helper()
	for _, w := range words {
		fmt.Fprintln(p.in, w)
		if !p.out.Scan() || p.out.Text() != "done" {
			p.t.Fatalf("%s: got %q", w, p.out.Text())
		}
	}
}

// end lets the helper end by itself.
func (p *peer) end() {
	p.in.Close()
	p.cmd.Wait()
}

func (p *peer) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func holding(t *testing.T, path string) *peer {
	t.Helper()
	p, first := begin(t, testkit.Helper(t, "hold", path))
	if first != "held" {
		t.Fatalf("hold %s: %s", path, first)
	}
	return p
}

func locking(t *testing.T, path string, cmd, kind, start, length int) *peer {
	t.Helper()
	n := strconv.Itoa
	p, first := begin(t, testkit.Helper(t, "lock", path, n(cmd), n(kind), n(start), n(length)))
	if first != "locked" {
		t.Fatalf("lock %s: %q", path, first)
	}
	return p
}

func look(t *testing.T, path string) *Report {
	t.Helper()
	r, err := file(path).Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func expect(t *testing.T, got *Report, want Report) {
	t.Helper()
	if (got.Inode == "") != (got.State == Absent) {
		t.Errorf("got inode %q in %+v", got.Inode, got)
	}
	want.Inode = got.Inode
	if *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
}

func place(t *testing.T) string { return filepath.Join(testkit.TempDir(t), "foo.pid") }

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLifeOfAFile(t *testing.T) {
	path := place(t)
	expect(t, look(t, path), Report{UID: -1})
	expect(t, look(t, filepath.Join(path, "no", "such")), Report{UID: -1})

	p := holding(t, path)
	running := Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1}
	expect(t, look(t, path), running)
	if got := get(t, path); got != fmt.Sprintln(p.pid()) {
		t.Errorf("the file holds %q", got)
	}
	p.say("collect", "look", "look")
	expect(t, look(t, path), running)
	if done, err := file(path).Remove(); done || err != nil {
		t.Errorf("remove what is held: got %v, %v", done, err)
	}
	p.say("remove")
	expect(t, look(t, path), Report{UID: -1})
	p.end()
}

func TestDeathFreesAndRemoveCleansUp(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	p.kill()
	expect(t, look(t, path), Report{State: Free, Number: p.pid(), UID: -1})
	if done, err := file(path).Remove(); !done || err != nil {
		t.Errorf("got %v, %v", done, err)
	}
	if done, err := file(path).Remove(); done || err != nil {
		t.Errorf("again: got %v, %v", done, err)
	}
	expect(t, look(t, path), Report{UID: -1})
}

func TestLocksLastOverExec(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	running := Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1}
	p.say("inherit")
	expect(t, look(t, path), running)
	fmt.Fprintln(p.in, "become sleep")
	if !p.out.Scan() {
		t.Fatal("it says nothing")
	}
	child, err := strconv.Atoi(p.out.Text())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		unix.Kill(child, unix.SIGKILL)
		testkit.WaitGone(t, child)
	}()
	expect(t, look(t, path), running)
	var busy *BusyError
	if _, err := file(path).Acquire(t.Context(), paths.Nobody, nil); !errors.As(err, &busy) || busy.Report.PID != p.pid() {
		t.Errorf("got %v", err)
	}
	if done, err := file(path).Remove(); done || err != nil {
		t.Errorf("remove what is held: got %v, %v", done, err)
	}

	// The child has the lock of byte 1, but it is no daemon.
	p.kill()
	orphaned := Report{State: Free, Number: p.pid(), UID: -1, Orphaned: true}
	expect(t, look(t, path), orphaned)
	q := holding(t, path)
	expect(t, look(t, path), Report{State: Running, PID: q.pid(), Number: q.pid(), UID: -1})
	q.kill()
	if done, err := file(path).Remove(); !done || err != nil {
		t.Errorf("remove: got %v, %v", done, err)
	}
}

func TestOrphansFileIsRemoved(t *testing.T) {
	path := place(t)
	put(t, path, "2147483647\n") // nobody's number
	p := locking(t, path, unix.F_OFD_SETLK, unix.F_WRLCK, byteRunning, 1)
	expect(t, look(t, path), Report{State: Free, Number: 2147483647, UID: -1, Orphaned: true})
	// A start that has one lock and is about to take the other.
	who := locking(t, path, unix.F_SETLK, unix.F_WRLCK, byteWho, 1)
	if done, err := file(path).Remove(); done || err != nil {
		t.Errorf("in use: got %v, %v", done, err)
	}
	who.kill()
	if done, err := file(path).Remove(); !done || err != nil {
		t.Errorf("got %v, %v", done, err)
	}
	p.kill()
}

func TestSecondHolderIsRefusedAndNamesTheFirst(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	h, err := file(path).Acquire(t.Context(), paths.Nobody, nil)
	var busy *BusyError
	if h != nil || !errors.As(err, &busy) || busy.Report.PID != p.pid() || busy.Report.State != Running {
		t.Errorf("got %v, %v", h, err)
	}
	if got := get(t, path); got != fmt.Sprintln(p.pid()) {
		t.Errorf("the file holds %q", got)
	}
	p.say("release")
	expect(t, look(t, path), Report{State: Free, Number: p.pid(), UID: -1})
}

// A longer number of a dead process must not shine through, nor an old owner
// or mode.
func TestStaleFileIsReplaced(t *testing.T) {
	path := place(t)
	put(t, path, "2147483647\n\n\n")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	p := holding(t, path)
	if got := get(t, path); got != fmt.Sprintln(p.pid()) {
		t.Errorf("the file holds %q", got)
	}
	if now, err := os.Stat(path); err != nil || now.Mode().Perm() == 0o600 {
		t.Errorf("it is still the old file: %v, %v", now, err)
	}
}

func TestStaleFileIsReusedWhereItCannotBeReplaced(t *testing.T) {
	testkit.RequireOrdinary(t)
	path := place(t)
	put(t, path, "2147483647\n")
	if err := os.Chmod(filepath.Dir(path), 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Dir(path), 0o755)
	p := holding(t, path)
	if got := get(t, path); got != fmt.Sprintln(p.pid()) {
		t.Errorf("the file holds %q", got)
	}
}

func TestHolderThatDropsItsNameIsProved(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	p.say("drop")
	expect(t, look(t, path), Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1})
	if done, _ := file(path).Remove(); done {
		t.Error("it was removed")
	}
	// The number of another process proves nothing.
	put(t, path, fmt.Sprintln(os.Getpid()))
	expect(t, look(t, path), Report{State: Running, Number: os.Getpid(), UID: -1, Unproved: true})
	put(t, path, "")
	expect(t, look(t, path), Report{State: Running, UID: -1, Unproved: true})
	var busy *BusyError
	if _, err := file(path).Acquire(t.Context(), paths.Nobody, nil); !errors.As(err, &busy) || busy.Report.State != Running {
		t.Errorf("got %v", err)
	}
}

func TestLocksOfStrangers(t *testing.T) {
	for _, tt := range []struct {
		name        string
		cmd, kind   int
		start, size int
		state       State
		named       bool
	}{
		{"read", unix.F_SETLK, unix.F_RDLCK, 0, 0, Blocked, true},
		{"read who", unix.F_SETLK, unix.F_RDLCK, byteWho, 1, Blocked, true},
		{"read running", unix.F_SETLK, unix.F_RDLCK, byteRunning, 1, Blocked, true},
		{"lockf", unix.F_SETLK, unix.F_WRLCK, 0, 0, Blocked, true},
		{"lockf who", unix.F_SETLK, unix.F_WRLCK, byteWho, 1, Blocked, true},
		{"lockf running", unix.F_SETLK, unix.F_WRLCK, byteRunning, 1, Blocked, true},
		{"ofd read", unix.F_OFD_SETLK, unix.F_RDLCK, 0, 0, Blocked, false},
		{"ofd write who", unix.F_OFD_SETLK, unix.F_WRLCK, byteWho, 1, Blocked, false},
		{"ofd write running", unix.F_OFD_SETLK, unix.F_WRLCK, byteRunning, 1, Running, false},
		{"ofd write", unix.F_OFD_SETLK, unix.F_WRLCK, 0, 0, Running, false},
		{"beyond", unix.F_SETLK, unix.F_WRLCK, 2, 0, Free, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := place(t)
			put(t, path, fmt.Sprintln(os.Getpid()))
			p := locking(t, path, tt.cmd, tt.kind, tt.start, tt.size)
			want := Report{State: tt.state, Number: os.Getpid(), UID: -1, Unproved: tt.state == Running}
			if tt.named {
				want.PID, want.UID = p.pid(), os.Getuid()
			}
			expect(t, look(t, path), want)
			if done, err := file(path).Remove(); err != nil || done != (tt.state == Free) {
				t.Errorf("remove: got %v, %v", done, err)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	free := lock{}
	mine := lock{true, true, 5}
	ofd := lock{true, true, -1}
	reader := lock{true, false, 6}
	for _, tt := range []struct {
		who, running lock
		state        State
		pid          int
		sure         bool
	}{
		{free, free, Free, 0, true},
		{mine, ofd, Running, 5, true},
		{lock{true, true, 0}, ofd, Running, 0, true}, // outside of this PID namespace
		{free, ofd, Running, 0, false},
		{reader, ofd, Running, 0, false},
		{ofd, ofd, Running, 0, false},
		{mine, free, Blocked, 5, false},
		{mine, mine, Blocked, 5, false},
		{reader, free, Blocked, 6, false},
		{free, reader, Blocked, 6, false},
		{ofd, free, Blocked, 0, false},
	} {
		state, pid, _, sure := readLocks(tt.who, tt.running)
		if state != tt.state || pid != tt.pid || sure != tt.sure {
			t.Errorf("%+v %+v: got %d, %d, %v; want %d, %d, %v", tt.who, tt.running, state, pid, sure, tt.state, tt.pid, tt.sure)
		}
	}
}

func TestRepair(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	put(t, path, "12345678901234567890\n")
	if err := file(path).Repair(os.Getpid()); err == nil {
		t.Error("it was repaired for a process that does not hold it")
	}
	if err := file(path).Repair(p.pid()); err != nil {
		t.Error(err)
	}
	if got := get(t, path); got != fmt.Sprintln(p.pid()) {
		t.Errorf("the file holds %q", got)
	}
	p.kill()
	if err := file(path).Repair(p.pid()); err == nil {
		t.Error("it was repaired for a dead process")
	}
}

// The name can have been given to another file since the look: one of root's,
// say, to which anybody may hold a read lock.
func TestRepairWritesNoOtherFile(t *testing.T) {
	path := place(t)
	target := path + ".target"
	put(t, target, "precious\n")
	p := locking(t, target, unix.F_SETLK, unix.F_RDLCK, 0, 0)
	for name, give := range map[string]func() error{
		"hard link":     func() error { return os.Link(target, path) },
		"symbolic link": func() error { return os.Symlink(target, path) },
	} {
		if err := give(); err != nil {
			t.Fatal(err)
		}
		if err := file(path).Repair(p.pid()); err == nil {
			t.Errorf("%s: it was repaired", name)
		}
		if got := get(t, target); got != "precious\n" {
			t.Errorf("%s: the file holds %q", name, got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	// Only a write lock makes a holder.
	if err := file(target).Repair(p.pid()); err == nil || get(t, target) != "precious\n" {
		t.Errorf("for a reader: got %v, the file holds %q", err, get(t, target))
	}
}

func TestHeldRemoveLeavesAnExchangedFileAlone(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	put(t, path, "1\n")
	p.say("remove")
	if got := get(t, path); got != "1\n" {
		t.Errorf("the file holds %q", got)
	}
}

func TestUntrusted(t *testing.T) {
	path := place(t)
	target := path + ".target"
	put(t, target, "precious\n")
	for why, give := range map[string]func() error{
		"is a symbolic link":          func() error { return os.Symlink(target, path) },
		"has more than one hard link": func() error { return os.Link(target, path) },
		"is a directory":              func() error { return os.Mkdir(path, 0o755) },
		"is a FIFO":                   func() error { return unix.Mkfifo(path, 0o666) },
	} {
		if err := give(); err != nil {
			t.Fatal(err)
		}
		var odd *UntrustedError
		if _, err := file(path).Look(t.Context()); !errors.As(err, &odd) || odd.Why != why || odd.UID != -1 {
			t.Errorf("look: got %v, want %s", err, why)
		}
		if _, err := file(path).Remove(); !errors.As(err, &odd) {
			t.Errorf("remove: got %v", err)
		}
		if _, err := file(path).Acquire(t.Context(), paths.Nobody, nil); !errors.As(err, &odd) || odd.Why != why {
			t.Errorf("acquire: got %v, want %s", err, why)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if got := get(t, target); got != "precious\n" {
		t.Errorf("the target holds %q", got)
	}
}

func TestOwners(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	var odd *UntrustedError
	path := place(t)
	put(t, path, "1\n")
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	if _, err := file(path).Look(t.Context()); !errors.As(err, &odd) || odd.UID != uid {
		t.Errorf("got %v", err)
	}
	if done, err := file(path).Remove(); done || !errors.As(err, &odd) {
		t.Errorf("remove: got %v, %v", done, err)
	}
	trusted := file(path)
	trusted.Trusted = []int{uid}
	if _, err := trusted.Look(t.Context()); err != nil {
		t.Errorf("trusted: got %v", err)
	}
	if err := os.Chown(filepath.Dir(path), uid, gid); err != nil {
		t.Fatal(err)
	}
	if _, err := file(path).Look(t.Context()); err != nil {
		t.Errorf("in the user's own directory: got %v", err)
	}
}

func TestNotAllowed(t *testing.T) {
	testkit.RequireOrdinary(t)
	path := place(t)
	put(t, path, "1\n")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := file(path).Look(t.Context()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("look: got %v", err)
	}
	other := filepath.Join(filepath.Dir(path), "x", "foo.pid")
	if err := os.Mkdir(filepath.Dir(other), 0o555); err != nil {
		t.Fatal(err)
	}
	if _, err := file(other).Acquire(t.Context(), paths.Nobody, nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("acquire: got %v", err)
	}
}

// Starts and clean-ups in any order: one holder at a time, nobody fails.
func TestStorm(t *testing.T) {
	path := place(t)
	cleaners, stop := context.WithCancel(t.Context())
	var cleaning sync.WaitGroup
	cleaning.Go(func() {
		for cleaners.Err() == nil {
			if _, err := file(path).Remove(); err != nil {
				t.Errorf("remove: %v", err)
			}
			if _, err := file(path).Look(context.Background()); err != nil {
				t.Errorf("look: %v", err)
			}
		}
	})
	storm(t, path, rounds)
	stop()
	cleaning.Wait()
}

// storm has many processes contend for a file.
func storm(t *testing.T, path string, rounds int) {
	t.Helper()
	var running []*exec.Cmd
	for range contenders {
		cmd := testkit.Helper(t, "contend", path, strconv.Itoa(rounds))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Errorf("a contender: %v", err)
		}
	}
	lines := strings.Fields(strings.ReplaceAll(strings.TrimSpace(get(t, path+".log")), " ", "-"))
	if want := contenders * rounds * 2; len(lines) != want {
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	for i := 0; i+1 < len(lines); i += 2 {
		who, _ := strings.CutSuffix(lines[i], "-comes")
		if lines[i+1] != who+"-goes" {
			t.Fatalf("two holders at a time: %q, %q", lines[i], lines[i+1])
		}
	}
}

func TestContextEndsTheLooking(t *testing.T) {
	path := place(t)
	put(t, path, "1\n")
	locking(t, path, unix.F_SETLK, unix.F_RDLCK, 0, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := file(path).Look(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A child keeps descriptors only on purpose.
func TestChildKeepsNoLock(t *testing.T) {
	path := place(t)
	h, err := file(path).Acquire(t.Context(), paths.Nobody, nil)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	testkit.WaitFor(t, "the child to be sleep", func() bool {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid))
		return strings.Contains(filepath.Base(exe), "sleep") || strings.Contains(exe, "coreutils") || strings.Contains(exe, "busybox")
	})
	expect(t, look(t, path), Report{State: Running, PID: os.Getpid(), Number: os.Getpid(), UID: -1})
	h.Release()
	expect(t, look(t, path), Report{State: Free, Number: os.Getpid(), UID: -1})
}

func TestLocksIn(t *testing.T) {
	i := fileid.ID{Ino: 1234}
	const line = "pos:\t0\nflags:\t0100002\nlock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:1234 1 1\n"
	for text, want := range map[string]bool{
		line: true,
		"lock:\t1: OFDLCK  ADVISORY  WRITE -1 00:2f:1234 1 1": true,
		strings.Replace(line, "1234", "12345", 1):             false,
		strings.Replace(line, "1234", "234", 1):               false,
		strings.Replace(line, "WRITE", "READ", 1):             false,
		strings.Replace(line, "OFDLCK", "POSIX", 1):           false,
		strings.Replace(line, " 1 1\n", " 0 1\n", 1):          false,
		strings.Replace(line, " 1 1\n", " 1 2\n", 1):          true, // a successor comes
		strings.Replace(line, " 1 1\n", " 1 3\n", 1):          false,
		strings.Replace(line, " 1 1\n", " 1 EOF\n", 1):        false,
		strings.Replace(line, " 1 1\n", " 1\n", 1):            false,
		strings.Replace(line, "lock:", "block:", 1):           false,
		"": false,
	} {
		if got := locksIn([]byte(text), i); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// The kernel writes the lines that are looked for.
func TestHas(t *testing.T) {
	holds := func(pid int, i fileid.ID) bool {
		locked, _, any := has(pid, i)
		if locked != any {
			t.Errorf("process %d: locked %v, has the file %v", pid, locked, any)
		}
		return locked
	}

	path := place(t)
	p := holding(t, path)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if !holds(p.pid(), fileid.Of(&st)) {
		t.Error("the holder does not hold")
	}
	if holds(os.Getpid(), fileid.Of(&st)) || holds(p.pid(), fileid.ID{Dev: st.Dev, Ino: st.Ino + 1}) {
		t.Error("somebody else holds")
	}
	p.kill()
	if holds(p.pid(), fileid.Of(&st)) {
		t.Error("a dead process holds")
	}
}

func FuzzLocksIn(f *testing.F) {
	f.Add([]byte("lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:1234 1 1\n"), uint64(1234))
	f.Add([]byte("lock:\t1: POSIX  ADVISORY  WRITE 77 fe:00:1234 0 0\nlock:"), uint64(1234))
	f.Add([]byte("lock: : : : : : : : :"), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, ino uint64) {
		if locksIn(b, fileid.ID{Ino: ino}) && !strings.Contains(string(b), ":"+strconv.FormatUint(ino, 10)) {
			t.Errorf("inode %d is not in %q", ino, b)
		}
	})
}

// A machine may be so busy that a start is not done within the time that a moment
// takes as a rule: it is waited for, by those who look and those who start.
func TestStartThatIsSlowToSayWhoItIs(t *testing.T) {
	path := place(t)
	p, first := begin(t, testkit.Helper(t, "slow", path))
	if first != "locked" {
		t.Fatalf("got %q", first)
	}
	looked, acquired := make(chan *Report, 1), make(chan error, 1)
	go func() {
		r, err := file(path).Look(t.Context())
		if err != nil {
			t.Error(err)
		}
		looked <- r
	}()
	go func() {
		_, err := file(path).Acquire(t.Context(), paths.Nobody, nil)
		acquired <- err
	}()
	time.Sleep(3 * timing.MomentPasses)
	p.say("go on")
	want := Report{State: Running, PID: p.pid(), Number: p.pid(), UID: -1}
	expect(t, <-looked, want)
	var busy *BusyError
	if err := <-acquired; !errors.As(err, &busy) {
		t.Fatalf("got %v, want %+v", err, want)
	}
	expect(t, busy.Report, want)
}

// acquiring takes the file beside the test, and says how that ended.
func acquiring(t *testing.T, path string) <-chan error {
	acquired := make(chan error, 1)
	go func() {
		h, err := file(path).Acquire(t.Context(), paths.Nobody, nil)
		if err == nil {
			h.Release()
		}
		acquired <- err
	}()
	return acquired
}

// A daemon that was killed holds its file until the kernel has taken it apart: whoever wants to
// be the next one waits for that.
func TestHolderThatWasKilledIsWaitedFor(t *testing.T) {
	path := place(t)
	p := holding(t, path)
	end := testkit.KillSlowly(t, p.pid())
	acquired := acquiring(t, path)
	time.Sleep(testkit.Settle)
	end()
	if err := <-acquired; err != nil {
		t.Error(err)
	}
}
