//go:build linux

package daemonocle_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func init() { helpers["typist"] = typist }

// typist is prog with a worker that tries to act on the terminal of whoever has started
// it, and writes to the file T_FOUND what it could do. With "run" it is Run.
func typist() {
	c := progConfig()
	c.Worker = func(ctx context.Context) error {
		found := ""
		try := func(what string, fd int) {
			x := byte('x')
			if _, _, err := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), unix.TIOCSTI, uintptr(unsafe.Pointer(&x))); err == 0 {
				found += "types at " + what + "\n"
			}
			if mode, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil && fd > 0 && mode&unix.O_ACCMODE != unix.O_WRONLY {
				found += "reads from " + what + "\n"
			}
		}
		for fd := range 3 {
			try(fmt.Sprint("descriptor ", fd), fd)
		}
		if fd, err := unix.Open("/dev/tty", unix.O_RDWR, 0); err == nil {
			try("/dev/tty", fd)
		}
		if testkit.Stat(os.Getpid()).TTY != 0 {
			found += "has a controlling terminal\n"
		}
		if err := os.WriteFile(os.Getenv("T_FOUND"), []byte(found), 0o666); err != nil {
			return err
		}
		fmt.Println("tried")
		daemonocle.Ready(ctx)
		<-ctx.Done()
		return nil
	}
	d, err := daemonocle.New(c)
	if err != nil {
		panic(err)
	}
	if os.Args[1] == "run" {
		err = d.Run(context.Background())
	} else {
		err = d.Do(context.Background(), os.Args[1:]...)
	}
	os.Exit(daemonocle.ExitCode(err))
}

// A service's user whose daemon root has started from a terminal could type commands there
// that root's shell then executes, or read what root types.
func TestServiceUserCannotTypeAtRootsTerminal(t *testing.T) {
	testkit.Parallel(t)
	uid, gid := testkit.Unprivileged(t)
	for _, action := range []string{"start", "run"} {
		t.Run(action, func(t *testing.T) {
			s := describe(t, "typist", "D_FOREGROUND=1", fmt.Sprint("D_USER=", uid), fmt.Sprint("D_GROUP=", gid))
			found := filepath.Join(s.side, "found")
			s.env = append(s.env, "T_FOUND="+found)
			pty := testkit.Pty(t)
			cmd := s.command(action)
			pty.Attach(cmd)
			cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `trap : INT; "$0" "$1"; exit $?`, cmd.Path, action}
			r := s.begin(cmd)
			pty.Expect(t, "tried")
			if got := slurp(found); got != "" {
				t.Errorf("the daemon, which has changed its user,\n%s", got)
			}
			pty.Type(t, "\x03") // which reaches it nevertheless
			if got := r.wait(); got.code != 0 {
				t.Errorf("got %+v, %s", got, pty.Output())
			}
		})
	}
}

// One that has kept root's rights keeps the terminal as well.
func TestDaemonKeepsItsOwnTerminal(t *testing.T) {
	s := describe(t, "typist", "D_FOREGROUND=1")
	s.env = append(s.env, "T_FOUND="+filepath.Join(s.side, "found"))
	pty := testkit.Pty(t)
	cmd := s.command("start")
	pty.Attach(cmd)
	r := s.begin(cmd)
	pty.Expect(t, "tried")
	if testkit.Stat(s.daemon()).TTY == 0 {
		t.Error("it has no controlling terminal")
	}
	pty.Type(t, "\x03")
	if got := r.wait(); got.code != 0 {
		t.Errorf("got %+v, %s", got, pty.Output())
	}
}

// Ctrl-Z at root's terminal stops the service, but nobody whom its user could not stop.
func TestStopAtTheTerminalIsForTheServicesUser(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	dir := testkit.TempDir(t)
	setuid, note := filepath.Join(dir, "rooted"), filepath.Join(dir, "pid")
	image, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	testkit.WriteProgram(t, setuid, image)
	must(t, os.Chmod(dir, 0o755), os.Chmod(setuid, 0o755|os.ModeSetuid),
		os.WriteFile(note, nil, 0o666), os.Chmod(note, 0o666))
	s := describe(t, "life", "R_PID="+note, fmt.Sprint("D_USER=", uid), fmt.Sprint("D_GROUP=", gid))
	r, worker := s.keepJob()
	s.tell("sh (TESTKIT_HELPER=rooted %s) &", setuid)
	child, err := strconv.Atoi(strings.TrimSpace(waitText(t, note, "\n")))
	must(t, err)
	if group := testkit.Stat(child).PGrp; group != worker {
		t.Fatalf("the child is in process group %d, not in %d", group, worker)
	}
	r.signal(syscall.SIGTSTP)
	testkit.WaitFor(t, "the service to stop", func() bool { return testkit.Stat(worker).State == 'T' })
	r.signal(syscall.SIGTERM)
	waitText(t, r.out, forwardedLine(syscall.SIGTERM)) // it is done with the other
	if got := fact(t, child, "status", "State:"); strings.HasPrefix(got, "T") {
		t.Errorf("the child, which is root, is %s", got)
	}
	r.signal(syscall.SIGCONT)
	testkit.WaitGone(t, worker)
	must(t, syscall.Kill(child, syscall.SIGKILL))
	r.wait()
}
