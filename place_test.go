//go:build linux

package daemonocle_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() { helpers["box"] = box }

// box is PID 1 of a container, by the name BOX_NAME: it runs the shell command in its
// argument and ends with it. It reaps no orphan.
func box() {
	if os.Getpid() != 1 {
		panic("not PID 1")
	}
	if err := os.WriteFile("/proc/self/comm", []byte(os.Getenv("BOX_NAME")), 0); err != nil {
		panic(err)
	}
	os.Setenv("TESTKIT_HELPER", "life")
	cmd := exec.Command("/bin/sh", "-c", os.Args[1])
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Run()
	os.Exit(cmd.ProcessState.ExitCode())
}

// begin is the command of a shell that becomes the program when it is an orphan.
const begin = `while read -r _ _ _ parent _ </proc/$$/stat && [ "$parent" != 1 ]; do
	case $(cat "/proc/$parent/comm" 2>/dev/null) in sh | setsid | "") ;; *) break ;; esac
done
exec "$FOO" start`

// orphaned are ways to leave it behind.
var orphaned = []string{
	`(sh -c "$BEGIN" &)`,
	`((sh -c "$BEGIN" &) &)`,
	`sh -c 'sh -c "$BEGIN" &'`, // as ssh does
	`(trap "" HUP; sh -c "$BEGIN" &)`,
	`(setsid sh -c "$BEGIN" &)`,
	`setsid -f sh -c "$BEGIN"`,
}

func (s *described) shell(script string) *exec.Cmd {
	cmd := s.command()
	cmd.Env = append(cmd.Env, "FOO="+cmd.Path, "BEGIN="+begin)
	cmd.Args, cmd.Path = []string{"sh", "-c", script}, "/bin/sh"
	return cmd
}

// awaitDetached waits until the daemon runs, and demands that it is detached.
func (s *described) awaitDetached() {
	s.t.Helper()
	testkit.WaitFor(s.t, "the daemon", func() bool { return strings.HasPrefix(s.do("status").out, "foo -- pid:") })
	pid := s.daemon()
	if got := testkit.Stat(pid); got.TTY != 0 || got.Session == pid || got.PGrp != pid {
		s.t.Errorf("the daemon %d is not detached: %+v", pid, got)
	}
	waitText(s.t, s.out, "worker ") // and not where the launcher writes
}

// The caller of an orphaned launcher gets the end of its output.
func TestOrphanedLauncherLetsAPipeGo(t *testing.T) {
	testkit.Parallel(t)
	for _, how := range orphaned {
		t.Run(how, func(t *testing.T) {
			s := describe(t, "life")
			cmd := s.shell(how)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd.Stdout, cmd.Stderr = w, w
			run := s.begin(cmd)
			w.Close()
			r.SetReadDeadline(time.Now().Add(testkit.Patience))
			out, err := io.ReadAll(r)
			if err != nil || string(out) != startedLine {
				t.Errorf("got %q, %v", out, err)
			}
			run.wait()
			s.awaitDetached()
			s.stop()
		})
	}
}

// The daemon of an orphaned launcher outlives its terminal.
func TestOrphanedLauncherOutlivesItsTerminal(t *testing.T) {
	testkit.Parallel(t)
	for _, how := range orphaned {
		t.Run(how, func(t *testing.T) {
			s := describe(t, "life")
			p := testkit.Pty(t)
			cmd := s.shell(how + "\nread -r line")
			cmd.Env = append(cmd.Env, "NO_COLOR=1")
			p.Attach(cmd)
			run := s.begin(cmd)
			p.Expect(t, startedLine[:len(startedLine)-1])
			p.Type(t, "\n")
			run.wait()
			p.Slave.Close()
			p.Master.Close()
			s.awaitDetached()
			pid := s.daemon()
			s.stop()
			testkit.WaitGone(t, pid)
		})
	}
}

// container is a PID namespace whose PID 1 is called like that.
func (s *described) container(name, command string) *exec.Cmd {
	s.t.Helper()
	testkit.Helper(s.t, s.helper) // is executed by box
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := testkit.InPIDNamespace(s.t, "box", command)
	cmd.Env = append(append(cmd.Env, s.env...), "BOX_NAME="+name, "FOO="+self, "BEGIN="+begin, "container=test")
	return cmd
}

// exec is the program, executed into a container. Before, it is put into the cgroup.
func (s *described) exec(pid1 int, cgroup, command string) *running {
	s.t.Helper()
	cmd := s.shell(`[ -z "$CGROUP" ] || echo $$ >"$CGROUP/cgroup.procs" || exit
		exec nsenter --target "$0" --pid --mount -- sh -c "$1"`)
	cmd.Env = append(cmd.Env, "container=test", "CGROUP="+cgroup)
	cmd.Args = append(cmd.Args, fmt.Sprint(pid1), command)
	return s.begin(cmd)
}

// newCgroup makes one, for what shares no cgroup with us.
func newCgroup(t *testing.T) string {
	t.Helper()
	testkit.RequireRoot(t)
	for _, at := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(at, "cgroup.procs")); err != nil {
			continue
		}
		dir, err := os.MkdirTemp(at, "daemonocle-test-")
		if err != nil {
			testkit.Skip(t, "cgroup", err.Error())
		}
		t.Cleanup(func() {
			testkit.WaitFor(t, "the cgroup to be empty", func() bool {
				err := os.Remove(dir)
				return err == nil || errors.Is(err, os.ErrNotExist)
			})
		})
		return dir
	}
	testkit.Skip(t, "cgroup", "no cgroup version 2 is mounted")
	return ""
}

// wantKept waits until the worker writes where the launcher does, as in the foreground.
func (s *described) wantKept(r *running) {
	s.t.Helper()
	waitText(s.t, r.out, startedLine)
	waitText(s.t, r.out, "worker ")
	s.tell("return exit:42")
	if got := r.wait(); got.code != 42 {
		s.t.Errorf("got %+v, want exit code 42", got)
	}
}

// wantDetached is for a launcher whose container lives on; the daemon ends with that.
func (s *described) wantDetached(r *running) {
	s.t.Helper()
	waitText(s.t, r.out, startedLine)
	waitText(s.t, s.out, "worker ")
}

const exhausted = `; sleep 1000 & wait`

// A container's main process: what ends it ends the container.
func TestContainersFirstProcess(t *testing.T) {
	testkit.Parallel(t)
	testkit.RequireRoot(t)
	for _, init := range []string{"tini", "dumb-init", "catatonit", "docker-init", "podman-init"} {
		t.Run(init, func(t *testing.T) {
			s := describe(t, "life")
			s.wantKept(s.begin(s.container(init, `exec "$FOO" start`)))
		})
	}
}

func TestContainersOtherProcesses(t *testing.T) {
	testkit.Parallel(t)
	testkit.RequireRoot(t)
	for name, command := range map[string]string{
		"child of sh":         `"$FOO" start`,
		"orphan":              `(sh -c "$BEGIN" &)`,
		"orphan in a session": `setsid -f sh -c "$BEGIN"`,
	} {
		for _, init := range []string{"tini", "sh"} {
			t.Run(name+" under "+init, func(t *testing.T) {
				s := describe(t, "life")
				s.wantDetached(s.begin(s.container(init, command+exhausted)))
			})
		}
	}
}

func TestExecutedIntoAContainer(t *testing.T) {
	testkit.Parallel(t)
	testkit.RequireRoot(t)
	for _, init := range []string{"tini", "sh"} {
		for name, command := range map[string]string{
			"itself": `exec "$FOO" start`,
			"child":  `"$FOO" start; :`,
			"orphan": `(sh -c "$BEGIN" &)`,
		} {
			t.Run(name+" under "+init, func(t *testing.T) {
				s := describe(t, "life")
				main := s.begin(s.container(init, `echo up`+exhausted))
				waitText(t, main.out, "up\n")
				s.wantDetached(s.exec(main.cmd.Process.Pid, "", command))
			})
		}
	}
}

// Two containers, or the containers of a pod, have one PID namespace.
func TestSharedPIDNamespace(t *testing.T) {
	group := newCgroup(t)
	for _, init := range []string{"pause", "tini"} { // of the other container
		s := describe(t, "life")
		other := s.begin(s.container(init, `echo up`+exhausted))
		waitText(t, other.out, "up\n")
		pid1 := other.cmd.Process.Pid
		first := s.exec(pid1, group, `exec "$FOO" start`)
		waitText(t, first.out, "worker ")

		second := describe(t, "life")
		second.wantDetached(second.exec(pid1, group, `exec "$FOO" start`))
		third := describe(t, "life")
		third.wantDetached(third.exec(pid1, group, `(sh -c "$BEGIN" &)`))

		s.wantKept(first)
		other.cmd.Process.Kill()
		other.wait()
	}
	s := describe(t, "life")
	other := s.begin(s.container("pause", `echo up`+exhausted))
	waitText(t, other.out, "up\n")
	s.wantDetached(s.exec(other.cmd.Process.Pid, group, `"$FOO" start`+exhausted))
	other.cmd.Process.Kill()
	other.wait()
}

// With the rest of /proc hidden, a start is as outside of a container, and says so.
func TestContainerWithHiddenProcesses(t *testing.T) {
	testkit.Unprivileged(t)
	s := describe(t, "life").asOrdinary()
	s.user = nil // root makes the container
	r := s.begin(s.container("tini", `mount -t proc -o hidepid=2 proc /proc || { echo cannot; exit; }
		setpriv --reuid 65534 --regid 65534 --clear-groups "$FOO" start`+exhausted))
	waitText(t, r.out, "\n")
	if strings.HasPrefix(slurp(r.out), "cannot") {
		testkit.Skip(t, "hidepid", "/proc cannot be mounted so")
	}
	s.wantDetached(r)
	if got := slurp(r.err); !strings.HasPrefix(got, "WARNING: /proc is hidden here") || strings.Count(got, "\n") != 1 {
		t.Errorf("stderr %q", got)
	}
}
