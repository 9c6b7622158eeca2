//go:build linux

package daemonocle_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// These tests are with real containers, in the machine of .ci/systemd: what podman leaves
// behind goes with that.

const podmanConf = `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
pids_limit = 0
[engine]
events_logger = "file"
runtime = "runc"
`

// podmanStorage is the same for all tests: podman's locks are.
const podmanStorage = `[storage]
driver = "vfs"
graphroot = "/run/daemonocle-test/graph"
runroot = "/run/daemonocle-test/run"
`

// containers is where the test's containers are. All have this machine's programs, and
// the daemon's files where they are outside.
type containers struct {
	*described
	root string   // of the file system
	env  []string // of podman
}

var podmanRuns struct {
	once sync.Once
	out  []byte
	err  error
}

func (s *described) containers() *containers {
	s.t.Helper()
	testkit.RequireSystemd(s.t)
	if _, err := exec.LookPath("podman"); err != nil {
		testkit.Skip(s.t, "podman", err.Error())
	}
	conf, storage := filepath.Join(s.side, "containers.conf"), filepath.Join(s.side, "storage.conf")
	must(s.t, os.WriteFile(conf, []byte(podmanConf), 0o644))
	must(s.t, os.WriteFile(storage, []byte(podmanStorage), 0o644))
	c := &containers{s, filepath.Join(s.side, "root"), []string{"CONTAINERS_CONF=" + conf, "CONTAINERS_STORAGE_CONF=" + storage}}
	must(s.t, os.MkdirAll(filepath.Join(c.root, "usr"), 0o755))
	must(s.t, os.Mkdir(filepath.Join(c.root, "tmp"), 0o777))
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if to, err := os.Readlink("/" + name); err == nil {
			must(s.t, os.Symlink(to, filepath.Join(c.root, name)))
		}
	}
	podmanRuns.once.Do(func() {
		podmanRuns.out, podmanRuns.err = c.podman(c.run("true", "--rm", "--init")...).CombinedOutput()
	})
	if podmanRuns.err != nil {
		testkit.Skip(s.t, "podman", fmt.Sprintf("no container can be made here: %v\n%s", podmanRuns.err, podmanRuns.out))
	}
	s.t.Cleanup(func() {
		if out, err := c.podman("rm", "--all", "--force", "--time=0").CombinedOutput(); err != nil {
			s.t.Errorf("podman rm: %v\n%s", err, out)
		}
	})
	return c
}

func (c *containers) podman(args ...string) *exec.Cmd {
	cmd := exec.Command("podman", args...)
	cmd.Env = append(os.Environ(), c.env...)
	return cmd
}

// must runs podman, which must succeed, and gives what it says.
func (c *containers) must(args ...string) string {
	c.t.Helper()
	r := c.begin(c.podman(args...)).wait()
	if r.code != 0 {
		c.t.Fatalf("podman %q: %+v", args, r)
	}
	return strings.TrimSuffix(r.out, "\n")
}

// run gives the arguments to run the shell command, in which $FOO is the program.
func (c *containers) run(command string, options ...string) []string {
	c.t.Helper()
	args := append(append([]string{"run"}, options...), "--network=host")
	args = append(args, c.shared()...)
	return append(args, "--rootfs", c.root, "/bin/sh", "-c", command)
}

// shared is what a container has of the machine.
func (c *containers) shared() []string {
	c.t.Helper()
	args := []string{"--volume=/usr:/usr:ro"}
	for _, dir := range []string{c.dir, c.side, filepath.Dir(self(c.t))} {
		args = append(args, "--volume="+dir+":"+dir)
	}
	return append(args, c.environment(c.described)...)
}

// environment is what makes the program that daemon's.
func (c *containers) environment(s *described) (args []string) {
	c.t.Helper()
	for _, kv := range append(testkit.HelperEnv(c.t, s.helper), append(slices.Clip(s.env), "FOO="+self(c.t), "BEGIN="+begin)...) {
		args = append(args, "--env="+kv)
	}
	return args
}

// exec runs the shell command in the container as another daemon's program.
func (c *containers) exec(name string, s *described, command string) *running {
	c.t.Helper()
	args := append([]string{"exec"}, c.environment(s)...)
	return s.begin(c.podman(append(args, name, "/bin/sh", "-c", command)...))
}

// other gives another daemon with files where the container has them.
func (c *containers) other() *described {
	c.t.Helper()
	s := describe(c.t, "life")
	for _, p := range []*string{&s.pid, &s.out, &s.err} {
		*p = filepath.Join(c.dir, "other-"+filepath.Base(*p))
	}
	fifo := filepath.Join(c.side, "other-fifo")
	must(c.t, os.Rename(s.setting("L_FIFO"), fifo))
	s.env = append(s.env, "D_PIDFILE="+s.pid, "D_STDOUT="+s.out, "D_STDERR="+s.err, "L_FIFO="+fifo, "D_HOOK_LOG="+filepath.Join(c.side, "other-hooks"))
	return s
}

func TestSystemdPodman(t *testing.T) {
	testkit.Parallel(t)
	for name, options := range map[string][]string{
		"plain":                     nil,
		"init":                      {"--init"},
		"PID namespace of the host": {"--pid=host"},
		"PID namespace of another":  {"--pid=container:another"},
		"cgroup of the host":        {"--cgroupns=host"},
		"init, cgroup of the host":  {"--init", "--cgroupns=host"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			c := describe(t, "life").containers()
			if strings.Contains(name, "another") {
				c.must(c.run("exec sleep 1000", "--name=another", "--detach")...)
			}
			begin := func() *running {
				return c.begin(c.podman(c.run(`exec "$FOO" start`, append(options, "--rm", "--name=web")...)...))
			}
			r := begin()
			waitText(t, r.out, startedLine)
			waitText(t, r.out, "worker ")

			again := c.exec("web", c.described, `exec "$FOO" start`).wait()
			if again.code != 0 || !strings.HasPrefix(again.err, "WARNING: foo already running with PID ") {
				t.Errorf("a start in the running container: %+v", again)
			}
			other := c.other()
			if got := c.exec("web", other, `exec "$FOO" start`).wait(); got != (ending{startedLine, "", 0}) {
				t.Errorf("another daemon's: %+v", got)
			}
			waitText(t, other.out, "worker ")

			c.must("stop", "--time=3600", "web")
			if got := r.wait(); got.code != 0 || !strings.Contains(got.out, "cause: terminated by SIGTERM (15)") {
				t.Errorf("podman run: %+v", got)
			}
			if got, want := c.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
				t.Errorf("hook got %q, want %q", got, want)
			}

			r = begin()
			waitText(t, r.out, "worker ")
			c.tell("return exit:42")
			if got := r.wait(); got.code != 42 {
				t.Errorf("podman run: %+v", got)
			}
		})
	}
}

// What is not a container's main process detaches.
func TestSystemdPodmanOtherProcesses(t *testing.T) {
	testkit.Parallel(t)
	for name, command := range map[string]string{
		"child":   `"$FOO" start`,
		"orphan":  `(sh -c "$BEGIN" &)`,
		"session": `setsid -f sh -c "$BEGIN"`,
	} {
		for _, init := range []string{"true", "false"} {
			t.Run(name+"-"+init, func(t *testing.T) {
				c := describe(t, "life").containers()
				r := c.begin(c.podman(c.run(command+"; exec sleep 1000", "--rm", "--name=web", "--init="+init)...))
				waitText(t, r.out, startedLine)
				waitText(t, c.out, "worker ")
				c.must("kill", "web")
				if got := r.wait(); got.out != startedLine {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
}

// quadletGenerator makes units of descriptions of containers, from podman 4.4 on.
const quadletGenerator = "/usr/lib/systemd/system-generators/podman-system-generator"

// quadlet is the unit that Quadlet makes of a container with Notify=true, and what it would
// make where there is none.
func (c *containers) quadlet(init bool) unit {
	c.t.Helper()
	command := `exec "$$FOO" start`
	path, err := exec.LookPath("podman")
	must(c.t, err)
	service := []string{"TimeoutStartSec=infinity", "TimeoutStopSec=infinity", "Environment=" + strings.Join(c.env, " "),
		"ExecReload=" + path + " kill --signal=HUP web"}
	if _, err := os.Stat(quadletGenerator); err == nil {
		lines := []string{"[Container]", "ContainerName=web", "Notify=true", "LogDriver=passthrough", "Network=host", "StopTimeout=3600", "Rootfs=" + c.root,
			fmt.Sprintf("RunInit=%v", init), "Exec=/bin/sh -c " + quoted(command)}
		for _, arg := range c.shared() {
			name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
			switch name {
			case "volume":
				lines = append(lines, "Volume="+value)
			case "env":
				lines = append(lines, "Environment="+quoted(value))
			}
		}
		return c.described.quadletUnit(append(append(lines, "[Service]"), service...))
	}
	id := filepath.Join(c.side, "id")
	words := append([]string{path}, c.run(command, fmt.Sprintf("--init=%v", init),
		"--name=web", "--cidfile="+id, "--replace", "--rm", "--cgroups=split", "--sdnotify=container", "--log-driver=passthrough", "-d")...)
	for i, w := range words {
		words[i] = quoted(w)
	}
	return c.unit(append(service, "Type=notify", "NotifyAccess=all", "KillMode=mixed", "Delegate=yes",
		"Environment=PODMAN_SYSTEMD_UNIT=%n",
		"ExecStart="+strings.Join(words, " "),
		"ExecStop="+path+" rm -v -f -i --time=3600 --cidfile="+id,
		"ExecStopPost=-"+path+" rm -v -f -i --cidfile="+id)...)
}

func quoted(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(word) + `"`
}

// quadletUnit writes a file of Quadlet's, and gives the unit that comes of it.
func (s *described) quadletUnit(lines []string) unit {
	s.t.Helper()
	dir := "/etc/containers/systemd"
	must(s.t, os.MkdirAll(dir, 0o755))
	name := strings.ReplaceAll(strings.ToLower(s.t.Name()), "/", "-")
	file := filepath.Join(dir, name+".container")
	must(s.t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	s.t.Cleanup(func() {
		exec.Command("systemctl", "stop", name+".service").Run()
		exec.Command("systemctl", "reset-failed", name+".service").Run()
		os.Remove(file)
	})
	// There is a unit, which is no file of ours.
	systemctl(s.t, "daemon-reload")
	return unit{s, name + ".service"}
}

func TestSystemdPodmanNotify(t *testing.T) {
	testkit.Parallel(t)
	for _, init := range []bool{true, false} {
		t.Run(fmt.Sprint(init), func(t *testing.T) {
			c := describe(t, "life", "L_QUIET=1", "D_START_WINDOW=1h").containers()
			u := c.quadlet(init)
			systemctl(t, "start", "--no-block", u.name)
			u.tell("note up")
			u.want("ActiveState", "activating")
			u.tell("ready")
			u.await("ActiveState", "active")
			if comm := slurp("/proc/" + u.property("MainPID") + "/comm"); comm != "conmon\n" {
				t.Errorf("the main process is %q", comm)
			}
			// Newer ones of conmon pass RELOADING=1 on, so that systemd waits for the second
			// generation to be ready.
			systemctl(t, "reload", "--no-block", u.name)
			u.tellGeneration(2, "ready")
			waitText(t, u.hooks, "Shutting down for reload")
			u.await("SubState", "running")
			systemctl(t, "stop", u.name)
			u.want("ActiveState", "inactive")
			u.want("Result", "success")
			if got := u.hookLog(); got != passedOn {
				t.Errorf("hook got %q, want %q", got, passedOn)
			}
		})
	}
}

func TestSystemdPodmanNotifyOfAFailure(t *testing.T) {
	testkit.Parallel(t)
	t.Run("set-up", func(t *testing.T) {
		describe(t, "life", "L_PRIV=coconut").containers().quadlet(false).fails("oconut")
	})
	t.Run("worker", func(t *testing.T) {
		u := describe(t, "life").containers().quadlet(false)
		systemctl(t, "start", u.name)
		u.tell("return exit:42")
		u.await("ActiveState", "failed")
		u.want("ExecMainStatus", "42")
	})
}
