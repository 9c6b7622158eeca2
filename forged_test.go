//go:build linux

package daemonocle_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// forge writes a message to the process at the other end of the wire, which this
// process's parent has made: what a worker that somebody has taken over can do.
func forge(kind launch.Kind, pid, code int, text string) error {
	b := append(make([]byte, 4), byte(kind))
	b = binary.AppendVarint(b, int64(pid))
	b = binary.AppendVarint(b, int64(code))
	b = binary.AppendUvarint(b, uint64(len(text)))
	b = append(b, text...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return write(b)
}

// garble writes what is no message: too long, or empty; or the beginning of a long one, of
// which all that comes later is a part.
func garble(how string) error {
	switch how {
	case "long":
		return write(bytes.Repeat([]byte{0xff}, 64))
	case "empty":
		return write(make([]byte, 4))
	}
	return write([]byte{0, 0, 0x7f, 0xff})
}

func write(b []byte) error {
	fd, err := wire()
	if err == nil {
		_, err = unix.Write(fd, b)
	}
	return err
}

// wire is the descriptor of this process's end.
func wire() (int, error) {
	for fd := 3; fd < 256; fd++ {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err == nil && int(cred.Pid) == os.Getppid() {
			return fd, nil
		}
	}
	return -1, fmt.Errorf("process %d has no wire", os.Getpid())
}

func closeWire() {
	fd, err := wire()
	if err == nil {
		err = unix.Close(fd)
	}
	if err != nil {
		panic(err)
	}
}

// forgeAll says to a launcher what makes it act, about anybody but this process.
func forgeAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const spawned, exited = launch.Kind('a'), launch.Kind('b')
	return errors.Join(
		forge(launch.Waiting, 0, 0, ""), // which opens the gate that a restart has
		forge(spawned, 1, 0, ""), forge(launch.Claimed, 1, 0, ""), forge(launch.Took, 1, 0, ""),
		forge(exited, 0, 9, ""),
		forge(launch.Stderr, 0, 0, launch.Identity(f)), forge(launch.Stdout, 0, 0, launch.Identity(f)),
	)
}

// startInnocent starts, in the keeper, a process that says each signal that it hears.
func startInnocent() error {
	cmd := exec.Command("/bin/sh", "-c", `trap "echo innocent heard it" HUP INT QUIT TERM USR1 USR2 CONT
		echo innocent $$.; while :; do sleep 0.01; done`)
	cmd.Stdout = os.Stdout
	return cmd.Start()
}

// A worker that has given up root's rights names processes to the keeper, which has
// them, as its next generation.
func TestKeeperSignalsNobodyThatAWorkerNames(t *testing.T) {
	testkit.Parallel(t)
	uid, _ := testkit.Unprivileged(t)
	for _, first := range []bool{false, true} {
		t.Run(fmt.Sprintf("PID 1 %v", first), func(t *testing.T) {
			s := describe(t, "life", "L_HEAR=1", "L_STUBBORN=1", "L_START=innocent", fmt.Sprintf("D_USER=%d", uid))
			var r *running
			if first {
				r, _ = s.beginPID1("start")
			} else {
				r, _ = s.keepJob()
			}
			keeper := r.cmd.Process.Pid
			out := waitText(t, r.out, ".\n")
			var named, outside int
			if _, err := fmt.Sscanf(out[strings.Index(out, "innocent "):], "innocent %d.", &named); err != nil {
				t.Fatal(err)
			}
			testkit.WaitFor(t, "the innocent", func() bool {
				for _, pid := range childrenOf(keeper) {
					if slurp(fmt.Sprintf("/proc/%d/comm", pid)) == "sh\n" {
						outside = pid
					}
				}
				return outside != 0
			})
			targets := []int{named, 1, 4194303, 0, -1, 1<<32 + named}
			if !first {
				// One of the service's user that does not come from the service.
				other := exec.Command("sleep", "1000")
				other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
				must(t, other.Start())
				defer func() {
					if testkit.Stat(other.Process.Pid).State == 'T' {
						t.Error("the other process of the user was stopped")
					}
					must(t, other.Process.Kill())
					if err := other.Wait(); err.Error() != "signal: killed" {
						t.Errorf("the other process of the user: %v", err)
					}
				}()
				targets = append(targets, keeper, other.Process.Pid)
			}
			for i, pid := range targets {
				s.tell("forge %d", pid)
				testkit.WaitFor(t, fmt.Sprintf("a word about process %d", pid), func() bool {
					return strings.Count(slurp(r.err), "ERROR: Follow a reload: ") == i+1
				})
			}
			worker := s.daemon()
			if first {
				worker = 0
			}
			if !first {
				r.signal(syscall.SIGTSTP)
				testkit.WaitFor(t, "the worker to stop", func() bool { return testkit.Stat(worker).State == 'T' })
				if testkit.Stat(outside).State == 'T' {
					t.Error("the innocent was stopped")
				}
				r.signal(syscall.SIGCONT)
				testkit.WaitFor(t, "the worker to go on", func() bool { return testkit.Stat(worker).State != 'T' })
			}
			for _, sig := range []syscall.Signal{syscall.SIGUSR2, syscall.SIGUSR1, syscall.SIGINT, syscall.SIGTERM} {
				r.signal(sig)
				waitText(t, r.out, "heard "+unix.SignalName(sig)+"\n")
			}
			if testkit.Gone(outside) {
				t.Error("the innocent is gone")
			}
			s.tell("return nil")
			got := r.wait()
			if got.code != 0 || strings.Contains(got.out, "innocent heard") {
				t.Errorf("got %+v", got)
			}
			if !first {
				must(t, syscall.Kill(outside, syscall.SIGKILL))
			}
		})
	}
}

// What a worker writes on the wire can hide from the keeper that a reload has come. The
// kernel names the new process.
func TestKeeperFindsAGenerationOfWhichItHasNotHeard(t *testing.T) {
	testkit.Parallel(t)
	for _, how := range []string{"long", "empty", "hides"} {
		for _, mode := range []string{"foreground", "foreground, another user", "PID 1"} {
			t.Run(how+", "+mode, func(t *testing.T) {
				eachOrder(t, func(t *testing.T, order string) {
					mode, _, other := strings.Cut(mode, ",")
					s := newReloader(t, mode, order, "L_HEAR=1")
					var pid int
					if other {
						uid, _ := testkit.Unprivileged(t)
						s.with(fmt.Sprintf("D_USER=%d", uid), "D_FOREGROUND=1")
						image := s.ownImage("prog") // which he may execute
						cmd := s.command("start")
						cmd.Path, cmd.Args[0] = image, image
						s.keeper = s.begin(cmd)
						waitText(t, s.keeper.out, "worker ")
						pid = s.holder()
					} else {
						pid = s.up()
					}
					for round := range 2 {
						s.tell("garble %s", how)
						testkit.WaitFor(t, "the wire to be broken", func() bool {
							return strings.Count(slurp(s.keeper.out), "garbled: <nil>\n") == round+1
						})
						must(t, syscall.Kill(pid, syscall.SIGHUP))
						pid = s.await(pid)
						s.only(pid)
						s.keeper.signal(syscall.SIGUSR2)
						testkit.WaitFor(t, "the signal", func() bool {
							return strings.Count(slurp(s.keeper.out), "heard SIGUSR2\n") == round+1
						})
					}
					s.keeper.signal(syscall.SIGTERM)
					got := s.keeper.wait()
					if got.code != 0 || !strings.HasSuffix(got.out, childlessLine) || strings.Contains(got.err, "malformed message\n") != (how != "hides") {
						t.Errorf("got %+v", got)
					}
					if left := s.processes(); len(left) > 0 || onDisk(s.pid) && !other { // who may not remove it
						t.Errorf("left: %v, PID file: %v", left, onDisk(s.pid))
					}
				})
			})
		}
	}
}

// A child of the worker's may be named. If it gets rights that the service has not, it
// hears nothing from then on; the service does.
func TestKeeperLetsGoOfAGenerationThatBecomesAnotherUser(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	s := describe(t, "life", "L_HEAR=1", "L_STUBBORN=1", fmt.Sprintf("D_USER=%d", uid))
	sleep, err := os.ReadFile("/bin/sleep")
	must(t, err)
	special := filepath.Join(testkit.TempDir(t), "special")
	must(t, os.Chmod(filepath.Dir(special), 0o755))
	testkit.WriteProgram(t, special, sleep)
	must(t, os.Chmod(special, 0o755|os.ModeSetuid))
	turn := filepath.Join(filepath.Dir(special), "turn")
	r, _ := s.keep()
	s.tell(`sh (trap "echo child heard it" USR1; echo child $(exec sh -c 'echo $PPID').; until [ -e %s ]; do sleep 0.01; done; exec %s 1000) &`, turn, special)
	out := waitText(t, r.out, ".\n")
	var child int
	if _, err := fmt.Sscanf(out[strings.Index(out, "child "):], "child %d.", &child); err != nil {
		t.Fatal(err)
	}
	s.tell("forge %d", child)
	s.tell("say named")
	waitText(t, r.out, "named\n")
	// One after the other, for one that is under way while the child becomes another program,
	// which does not handle it, ends that.
	for sent := 1; !strings.Contains(slurp(r.out), "child heard it\n"); sent++ {
		r.signal(syscall.SIGUSR1)
		testkit.WaitFor(t, "the signal to be heard", func() bool {
			out := slurp(r.out)
			return strings.Count(out, "heard SIGUSR1\n")+strings.Count(out, "child heard it\n") == sent
		})
	}
	must(t, os.WriteFile(turn, nil, 0o644))
	testkit.WaitFor(t, "the child to become another program", func() bool {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", child))
		return err == nil && exe == special && slurp(fmt.Sprintf("/proc/%d/cmdline", child)) != ""
	})
	if fact(t, child, "status", "Uid:") == fmt.Sprintf("%d %d %d %d", uid, uid, uid, uid) {
		testkit.Skip(t, "set-user-ID", "the file system ignores it")
	}
	r.signal(syscall.SIGUSR2)
	waitText(t, r.out, "heard SIGUSR2\n")
	r.signal(syscall.SIGTERM)
	waitText(t, r.out, "heard SIGTERM\n")
	if testkit.Gone(child) {
		t.Error("the child is gone")
	}
	if said := slurp(r.err); !strings.Contains(said, fmt.Sprintf("process %d is not the daemon's user's", child)) {
		t.Errorf("the keeper said %q", said)
	}
	must(t, syscall.Kill(child, syscall.SIGKILL))
	s.tell("return nil")
	r.wait()
}

// The words of a worker that has given up root's rights move nothing in a launcher that
// has them: what it acts on comes from the time before that.
func TestLauncherDoesNothingThatAWorkerForges(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	dir := testkit.TempDir(t)
	must(t, os.Chmod(dir, 0o755))
	secret := filepath.Join(dir, "secret")
	must(t, os.WriteFile(secret, []byte("coconut\n"), 0o644)) // its contents could be 0600: what counts is who reads it
	log := filepath.Join(dir, "own", "log")
	must(t, os.Mkdir(filepath.Dir(log), 0o755))
	must(t, os.Chown(filepath.Dir(log), uid, uid))
	s := describe(t, "life", "L_QUIET=1", "D_STDERR="+log, "D_START_WINDOW=1h", fmt.Sprintf("D_USER=%d", uid))
	r := s.begin(s.command("start"))
	waitText(t, s.out, "worker ")
	must(t, os.Remove(log))
	must(t, os.Symlink(secret, log))
	s.tell("forge-all %s", secret)
	waitText(t, s.out, "forged: <nil>\n")
	s.tell("return exit:7")
	got := r.wait()
	if got.code != 7 || !strings.Contains(got.err, "exit code 7") || strings.Contains(got.out+got.err, "coconut") || strings.Contains(got.err, "goroutine") {
		t.Errorf("got %+v", got)
	}
}

// A worker that says that it cannot start, and not why, is not given an empty line.
func TestStartOfADaemonThatDoesNotSayWhy(t *testing.T) {
	testkit.Parallel(t)
	for kind, want := range map[string]ending{
		"held":    {err: "WARNING: foo already running\n", code: 0},
		"blocked": {err: "ERROR: PID file $PID is locked by a process that cannot be named from here\nhint: It is no daemon of this program; end that process, or set PIDFile to a path that others cannot read.\n", code: 1},
		"failed":  {err: "ERROR: The daemon has not said why it does not start\n", code: 1},
		"refused": {err: "ERROR: The daemon has not said why it does not start\n", code: 1},
	} {
		for _, text := range []string{"", "\t \u00a0"} {
			t.Run(fmt.Sprintf("%s %q", kind, text), func(t *testing.T) {
				s := describe(t, "life", "L_QUIET=1", "D_START_WINDOW=1h", "D_START_TIMEOUT=1h")
				r := s.begin(s.command("start"))
				waitText(t, s.out, "worker ")
				s.tell("lie %s %s", kind, text)
				waitText(t, s.out, "lied: <nil>\n")
				s.tell("return nil")
				got := r.wait()
				if got.err != strings.ReplaceAll(want.err, "$PID", s.pid) || got.code != want.code {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		}
	}
}
