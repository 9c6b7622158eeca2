//go:build linux

package daemonocle_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// A daemon that has changed its user is a stranger to root. What its processes can say of
// others, by a number, a descriptor or a lock, must not make root signal those.

func init() {
	helpers["taker"] = taker
	helpers["forger"] = forger
	helpers["rooted"] = rooted
	helpers["readlocks"] = readLocks
}

// taker keeps all descriptors that it is sent at the socket os.Args[1], as a bus or a
// display server does. It is of the user os.Args[2].
func taker() {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: os.Args[1], Net: "unix"})
	if err == nil {
		err = os.Chmod(os.Args[1], 0o777)
	}
	uid, _ := strconv.Atoi(os.Args[2])
	if err = errors.Join(err, syscall.Setresgid(uid, uid, uid), syscall.Setresuid(uid, uid, uid)); err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				panic(err)
			}
			oob := make([]byte, 4096)
			if _, _, _, _, err := c.ReadMsgUnix(make([]byte, 1), oob); err != nil {
				panic(err)
			}
			c.Write([]byte("!")) // has them
		}
	}()
	fmt.Println("takes")
	io.Copy(io.Discard, os.Stdin)
}

// handOver sends copies of a descriptor to a taker, and returns when it has them.
func handOver(socket string, fd, copies int) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	fds := make([]int, copies)
	for i := range fds {
		fds[i] = fd
	}
	if _, _, err := c.(*net.UnixConn).WriteMsgUnix([]byte("x"), syscall.UnixRights(fds...), nil); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// descriptorOf is the number under which this process has the file.
func descriptorOf(path string) int {
	for fd := 3; fd < 100; fd++ {
		if link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil && link == path {
			return fd
		}
	}
	return -1
}

// forger is prog with a worker that lies: it hands the locked descriptor F_COPIES times to
// the taker at F_SOCKET, writes F_NUMBER into its PID file and lets go of the lock that
// names it. With "signal" for an action it sends SIGUSR1 to the daemon.
func forger() {
	c := progConfig()
	c.Worker = func(ctx context.Context) error {
		fd := descriptorOf(c.PIDFile)
		number := os.Getenv("F_NUMBER") + "\n"
		err := handOver(os.Getenv("F_SOCKET"), fd, number1("F_COPIES"))
		if err == nil {
			_, err = unix.Pwrite(fd, []byte(number), 0)
		}
		err = errors.Join(err, unix.Ftruncate(fd, int64(len(number))),
			unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Len: 1}))
		if err != nil {
			return err
		}
		appendLine(os.Getenv("F_PID"), strconv.Itoa(os.Getpid()))
		daemonocle.Ready(ctx)
		<-ctx.Done()
		return nil
	}
	d := mustNew(c)
	if os.Args[1] == "signal" {
		pid, err := d.Signal(context.Background(), syscall.SIGUSR1)
		fmt.Println(pid, errors.Is(err, daemonocle.ErrHeldElsewhere))
		return
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

func number1(variable string) int { return max(number(variable), 1) }

// rooted is a set-user-ID program that becomes root altogether, says so in R_PID, and stays.
func rooted() {
	if err := errors.Join(syscall.Setresgid(0, 0, 0), syscall.Setresuid(0, 0, 0)); err != nil {
		panic(err)
	}
	appendLine(os.Getenv("R_PID"), strconv.Itoa(os.Getpid()))
	select {}
}

// readLocks holds os.Args[2] read locks of one byte each on a file, with gaps between.
func readLocks() {
	f, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	n, _ := strconv.Atoi(os.Args[2])
	for i := range n {
		if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: int64(3 + 2*i), Len: 1}); err != nil {
			panic(err)
		}
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
	f.Close()
}

// takes starts a taker of that user.
func takes(t *testing.T, cmd *exec.Cmd, socket string) (pid int) {
	t.Helper()
	pid, _ = held(t, cmd, "takes")
	t.Cleanup(func() {
		if testkit.Gone(pid) {
			t.Errorf("the innocent process %d is dead", pid)
		}
	})
	return pid
}

func TestWhatADroppedDaemonSaysOfOthersIsNotBelieved(t *testing.T) {
	testkit.Parallel(t)
	user, _ := testkit.Unprivileged(t)
	for _, tt := range []struct {
		name   string
		uid    int
		within bool // another PID namespace
		copies int
		dead   bool // number
	}{
		{"innocent of root", 0, false, 1, false},
		{"innocent of another user", 12345, false, 1, false},
		{"the same user in another PID namespace", user, true, 1, false},
		{"80 descriptors and a dead number", 0, false, 80, true},
		{"80 descriptors and a living number", 0, false, 80, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "D_USER="+strconv.Itoa(user))
			r.helper = "forger"
			must(t, os.Chmod(r.dir, 0o755))
			socket, note := filepath.Join(r.dir, "s"), filepath.Join(r.dir, "note")
			put(t, note, "")
			must(t, os.Chmod(note, 0o666))
			cmd := testkit.Helper(t, "taker", socket, strconv.Itoa(tt.uid))
			cmd.Path = anotherProgram(t)
			if tt.within {
				cmd = testkit.InPIDNamespace(t, "taker", socket, strconv.Itoa(tt.uid))
			}
			innocent := takes(t, cmd, socket)
			number := innocent
			if tt.dead {
				number = 1<<22 + 1
			}
			r.env = append(r.env, "F_SOCKET="+socket, "F_PID="+note, "F_COPIES="+strconv.Itoa(tt.copies), "F_NUMBER="+strconv.Itoa(number))
			r.expect(r.do("start"), result{out: "Starting foo ... OK\n"})
			pid, err := strconv.Atoi(strings.TrimSpace(content(t, note)))
			must(t, err)
			t.Cleanup(func() {
				signal(t, pid, syscall.SIGKILL)
				testkit.WaitGone(t, pid)
			})

			r.expect(r.do("status"), result{out: "foo -- status: unknown, running as a process that cannot be named from here\n"})
			r.expect(r.do("start"), result{err: "WARNING: foo already running\n"})
			name := username(t, user)
			unnamed := result{err: "ERROR: foo runs, but its process cannot be named from here\nhint: The kernel names no process of user " + name +
				" for it, and what that user says is not believed: look for it, as with ps -u " + name + ", and end it with kill.\n", code: 1}
			r.expect(r.do("stop"), unnamed)
			r.expect(r.do("restart"), unnamed)
			r.expect(r.do("signal"), result{out: "0 true\n"})
			d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: r.pidFile, User: strconv.Itoa(user)})
			must(t, err)
			if s, err := d.Stop(t.Context(), daemonocle.StopOptions{Force: true}); err == nil || s.PID != 0 || len(s.Left) > 0 {
				t.Errorf("stop with force: got %+v, %v", s, err)
			}
			// Who does not know of the user believes no more.
			d, err = daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: r.pidFile})
			must(t, err)
			if s, err := d.Stop(t.Context(), daemonocle.StopOptions{Force: true}); !errors.Is(err, daemonocle.ErrHeldElsewhere) || s.PID != 0 || len(s.Left) > 0 {
				t.Errorf("stop without the user: got %+v, %v", s, err)
			}
			r.alive(innocent)
			r.alive(pid)
		})
	}
}

// anotherProgram is a copy of this one.
func anotherProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(testkit.TempDir(t), "another")
	image, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	testkit.WriteProgram(t, path, image)
	return path
}

// hands gives the descriptor that a process has under that number to a taker.
func hands(t *testing.T, pid, fd, copies int, socket string) {
	t.Helper()
	pidfd, err := unix.PidfdOpen(pid, 0)
	must(t, err)
	defer unix.Close(pidfd)
	own, err := unix.PidfdGetfd(pidfd, fd, 0)
	must(t, err)
	defer unix.Close(own)
	must(t, handOver(socket, own, copies))
}

// orphan starts a program of the user that leaves a child behind.
func orphan(t *testing.T, script string, settings ...string) (s *described, daemon, child int) {
	t.Helper()
	s = foreign(t, append(settings, "D_SH="+script+" & echo $!; wait")...)
	daemon = s.start()
	child, err := strconv.Atoi(strings.TrimSpace(waitText(t, s.out, "\n")))
	must(t, err)
	kill(t, daemon)
	return s, daemon, child
}

func TestWhatADroppedProgramLeavesIsEndedWithItsRights(t *testing.T) {
	testkit.Parallel(t)
	uid, gid := testkit.Unprivileged(t)
	user := []string{fmt.Sprintf("D_USER=%d", uid), fmt.Sprintf("D_GROUP=%d", gid)}
	t.Run("its own", func(t *testing.T) {
		s, _, child := orphan(t, "setsid sleep 1000", user...)
		if r := s.do("force"); r.code != 0 || !strings.Contains(r.err, fmt.Sprintf("WARNING: They were killed (PID %d)\n", child)) {
			t.Errorf("stop: got %+v", r)
		}
		if !testkit.Gone(child) || onDisk(s.pid) {
			t.Error("the child is there, or the PID file")
		}
	})
	for name, innocent := range map[string]int{"innocent of root": 0, "innocent of another user": 12345} {
		t.Run(name, func(t *testing.T) {
			s, _, child := orphan(t, "setsid sleep 1000", user...)
			socket := filepath.Join(testkit.TempDir(t), "s")
			pid := takes(t, testkit.Helper(t, "taker", socket, strconv.Itoa(innocent)), socket)
			hands(t, child, 58, 80, socket)
			if r := s.do("status"); strings.Contains(r.out+r.err, strconv.Itoa(pid)) {
				t.Errorf("status names the innocent: %+v", r)
			}
			// Who knows neither of the user nor of the program takes nobody's word.
			d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: s.pid})
			must(t, err)
			stopped, err := d.Stop(t.Context(), daemonocle.StopOptions{Force: true})
			if !errors.Is(err, daemonocle.ErrHeldElsewhere) || testkit.Gone(child) || testkit.Gone(pid) {
				t.Fatalf("stop without the user: got %+v, %v", stopped, err)
			}
			r := s.do("force")
			if r.code != 1 || !strings.Contains(r.err, "ERROR: What foo has left behind cannot be named from here\nhint: Only user ") {
				t.Errorf("stop: got %+v", r)
			}
			if !testkit.Gone(child) {
				t.Error("what was left lives")
			}
			if testkit.Gone(pid) {
				t.Error("the innocent is dead")
			}
		})
	}
	// A set-user-ID program that the user has started: he could not end it.
	t.Run("set-user-ID", func(t *testing.T) {
		dir := testkit.TempDir(t)
		must(t, os.Chmod(dir, 0o755))
		setuid, note := filepath.Join(dir, "rooted"), filepath.Join(dir, "pid")
		image, err := os.ReadFile("/proc/self/exe")
		must(t, err)
		testkit.WriteProgram(t, setuid, image)
		must(t, os.Chmod(setuid, 0o755|os.ModeSetuid), os.WriteFile(note, nil, 0o666), os.Chmod(note, 0o666))
		s := foreign(t, append(user, "D_SH=TESTKIT_HELPER=rooted "+setuid+" & wait", "R_PID="+note)...)
		daemon := s.start()
		child, err := strconv.Atoi(strings.TrimSpace(waitText(t, note, "\n")))
		must(t, err)
		defer func() {
			signal(t, child, syscall.SIGKILL)
			testkit.WaitGone(t, child)
		}()
		// Of the daemon's own process group: the kernel names it, but not as the user's.
		r := s.do("force")
		want := fmt.Sprintf("ERROR: A process that foo has left behind cannot be named from here: process %d of user root\nhint: ", child)
		if r.code != 1 || !strings.Contains(r.err, want) {
			t.Errorf("stop: got %+v, want %q", r, want)
		}
		if testkit.Gone(child) || !testkit.Gone(daemon) {
			t.Error("the child is dead, or the daemon lives")
		}
	})
}

// A number that somebody else has got since is no daemon.
func TestNumberOfADeadProgramThatIsSomebodyElses(t *testing.T) {
	s, _, child := orphan(t, "setsid sleep 1000")
	put(t, s.pid, fmt.Sprintln(victim(t)))
	warning := fmt.Sprintf("WARNING: Processes that foo has left behind are still running (PID %d; for 0m)\n", child)
	if r := s.do("status"); r != (ending{"foo -- not running\n", warning, 1}) {
		t.Errorf("status: got %+v", r)
	}
	if r := s.do("force"); r.code != 0 || !strings.Contains(r.err, "WARNING: They were killed") {
		t.Errorf("stop: got %+v", r)
	}
	if !testkit.Gone(child) {
		t.Error("what was left lives")
	}
	s, _, child = orphan(t, "setsid sleep 1000")
	defer kill(t, child)
	put(t, s.pid, fmt.Sprintln(victim(t)))
	if r := s.do("start"); r.code != 0 || r.out != startedLine {
		t.Errorf("start: got %+v", r)
	}
}

func TestStrangersReadLocksAreNoGenerations(t *testing.T) {
	user, _ := testkit.Unprivileged(t)
	r := newRig(t, "D_USER="+strconv.Itoa(user))
	must(t, os.Chmod(r.dir, 0o755))
	mkdir(t, filepath.Dir(r.pidFile)) // root's: the daemon cannot remove the file
	pid := r.start()
	locks := testkit.Helper(t, "readlocks", r.pidFile, "16000")
	locks.Path, locks.SysProcAttr = "/proc/self/exe", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	locker, _ := held(t, locks, "locked")
	d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: r.pidFile, User: strconv.Itoa(user)})
	must(t, err)
	if s, err := d.Stop(t.Context(), daemonocle.StopOptions{Force: true}); err != nil || s.PID != pid || len(s.Left) > 0 {
		t.Errorf("stop: got %+v, %v", s, err)
	}
	r.gone(pid)
	r.alive(locker)
}
