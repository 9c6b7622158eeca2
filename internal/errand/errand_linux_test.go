package errand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/privs"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	testkit.Main(m, map[string]func(){"sleeper": sleeper, "messenger": messenger, "forged": forged, "obeys": obeys})
}

// sleeper is of the users os.Args[1:4], real, effective and saved, and stays.
func sleeper() {
	var id [3]int
	for i := range id {
		id[i], _ = strconv.Atoi(os.Args[1+i])
	}
	if err := syscall.Setresuid(id[0], id[1], id[2]); err != nil {
		panic(err)
	}
	fmt.Println("sleeps")
	io.Copy(io.Discard, os.Stdin)
}

func sleeps(t *testing.T, users ...int) *proc.Handle {
	t.Helper()
	cmd := testkit.Helper(t, "sleeper", strconv.Itoa(users[0]), strconv.Itoa(users[1]), strconv.Itoa(users[2]))
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	said := ""
	if fmt.Fscanln(out, &said); said != "sleeps" {
		t.Fatalf("the sleeper says %q", said)
	}
	h, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func identity(uid int) privs.Identity {
	return privs.Identity{SwitchUser: true, UID: uid, SwitchGroup: true, GID: uid}
}

func wait(t *testing.T, h *proc.Handle) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), testkit.Patience)
	defer stop()
	if err := h.Wait(ctx); err != nil {
		t.Error(err)
	}
}

// TestKernelJudges: what the user could not have done himself is not done.
func TestKernelJudges(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	const other = 12345
	for _, tt := range []struct {
		users   [3]int
		allowed bool
	}{
		{[3]int{uid, uid, uid}, true},
		{[3]int{uid, 0, 0}, true}, // a set-user-ID program of root's that he runs
		{[3]int{0, 0, 0}, false},
		{[3]int{0, uid, 0}, false},
		{[3]int{other, other, other}, false},
		{[3]int{other, uid, other}, false},
	} {
		h := sleeps(t, tt.users[:]...)
		err := Signal(identity(uid), h, syscall.SIGKILL)
		switch {
		case tt.allowed && err != nil:
			t.Errorf("process of %v: %v", tt.users, err)
		case tt.allowed:
			wait(t, h)
		case !errors.Is(err, ErrRefused) || !errors.Is(err, syscall.EPERM) || h.Gone():
			t.Errorf("process of %v: got %v, gone %v", tt.users, err, h.Gone())
		}
	}
}

func TestNeverAsRoot(t *testing.T) {
	h := sleeps(t, os.Getuid(), os.Getuid(), os.Getuid())
	for _, as := range []privs.Identity{{}, identity(0), {SwitchUser: true, UID: 5}} {
		if err := Signal(as, h, syscall.SIGKILL); !errors.Is(err, ErrRefused) {
			t.Errorf("as %v: got %v", as, err)
		}
	}
	if h.Gone() {
		t.Error("it was killed")
	}
}

func TestTheGoneAreGone(t *testing.T) {
	h := sleeps(t, os.Getuid(), os.Getuid(), os.Getuid())
	h.Signal(syscall.SIGKILL)
	wait(t, h)
	if err := Signal(identity(5), h, 0); !errors.Is(err, proc.ErrGone) {
		t.Errorf("got %v", err)
	}
}

// messenger kills the process os.Args[1] as the user os.Args[2].
func messenger() {
	pid, _ := strconv.Atoi(os.Args[1])
	uid, _ := strconv.Atoi(os.Args[2])
	h, err := proc.Open(pid)
	if err == nil {
		err = Signal(identity(uid), h, syscall.SIGKILL)
	}
	fmt.Println(err)
}

// TestUserMayNotReadTheProgram: it is executed by root.
func TestUserMayNotReadTheProgram(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	image, err := os.ReadFile("/proc/self/exe")
	path := filepath.Join(testkit.TempDir(t), "program")
	if err = errors.Join(err, os.WriteFile(path, image, 0o700)); err != nil {
		t.Fatal(err)
	}
	h := sleeps(t, uid, uid, uid)
	cmd := testkit.Helper(t, "messenger", strconv.Itoa(h.PID()), strconv.Itoa(uid))
	cmd.Path = path
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "<nil>\n" {
		t.Errorf("got %q, %v", out, err)
	}
	wait(t, h)
}

// forged is what comes of a program when nobody has made it to be a child of send's.
func forged() {
	_, is := os.LookupEnv(env)
	fmt.Println("main", is)
}

// obeys executes this program as send does, with a socket pair of its own.
func obeys() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		panic(err)
	}
	unix.Write(pair[0], []byte(words(0, identity(5))))
	unix.Close(pair[0])
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "TESTKIT_HELPER=forged", env+"=")
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(pair[1]), "orders"), os.Stderr}
	if len(os.Args) > 1 { // by way of another process, which has not made the pair
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", "/proc/$PPID/exe; true"}
	}
	out, _ := cmd.Output()
	fmt.Printf("%s%d\n", out, cmd.ProcessState.ExitCode())
}

// TestForgedVariable: the variable by itself does nothing, and is not left; nor do orders
// from somebody who is not our parent, or who is not root.
func TestForgedVariable(t *testing.T) {
	cmd := testkit.Helper(t, "forged")
	cmd.Env = append(cmd.Env, env+"=")
	if out, err := cmd.Output(); err != nil || string(out) != "main false\n" {
		t.Errorf("without orders: got %q, %v", out, err)
	}
	run := func(uid int, args ...string) string {
		t.Helper()
		cmd := testkit.Helper(t, "obeys", args...)
		if uid != 0 {
			cmd.Path = "/proc/self/exe"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		}
		out, err := cmd.Output()
		if err != nil {
			t.Error(err)
		}
		return string(out)
	}
	uid, _ := testkit.Unprivileged(t)
	// The file that stands for the handle is none.
	if got, want := run(0), fmt.Sprintln(int(syscall.EBADF)); got != want {
		t.Errorf("of our parent, root: got %q, want %q", got, want)
	}
	if got := run(0, "sh"); got != "main false\n0\n" {
		t.Errorf("of another than our parent: got %q", got)
	}
	if got := run(uid); got != "main false\n0\n" {
		t.Errorf("of another user: got %q", got)
	}
}

func TestOrders(t *testing.T) {
	as := privs.Identity{SwitchUser: true, UID: 5, SwitchGroup: true, GID: 6, Groups: []int{6, 7, 4294967294}}
	sig, got, ok := parse(words(syscall.SIGKILL, as))
	if !ok || sig != syscall.SIGKILL || fmt.Sprint(got) != fmt.Sprint(as) || fmt.Sprint(got.Groups) != fmt.Sprint(as.Groups) {
		t.Errorf("got %v, %v, %v", sig, got, ok)
	}
	for _, s := range []string{"", "\n", "9 5\n", "9 5 6", "9 0 6\n", "9 5 6 \n", "9 -5 6\n", "9 5 x\n", "999 5 6\n", "9 5 6\n9 5 6\n", "9  5 6\n"} {
		if sig, as, ok := parse(s); ok {
			t.Errorf("%q is %v, %v", s, sig, as)
		}
	}
}

// FuzzOrders: nobody becomes root, and what is understood is said again in the same words.
func FuzzOrders(f *testing.F) {
	f.Add("9 5 6 7 8\n")
	f.Add("9 0 0\n")
	f.Fuzz(func(t *testing.T, s string) {
		sig, as, ok := parse(s)
		if !ok {
			return
		}
		if as.UID == 0 || !as.SwitchUser || !as.SwitchGroup {
			t.Errorf("%q is %v", s, as)
		}
		if again, other, ok := parse(words(sig, as)); !ok || again != sig || strings.TrimSpace(words(again, other)) != strings.TrimSpace(words(sig, as)) {
			t.Errorf("%q", s)
		}
	})
}
