//go:build linux

package daemonocle_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// These tests are for a systemd that is there for them: see .ci/systemd.

const unitDir = "/run/systemd/system"

// unit is a service of the daemon's.
type unit struct {
	*described
	name string
}

// unit describes the daemon to systemd; the lines are for the section [Service]. In them
// @SELF@ is the program.
func (s *described) unit(lines ...string) unit {
	s.t.Helper()
	testkit.RequireSystemd(s.t)
	u := unit{s, strings.ReplaceAll(strings.ToLower(s.t.Name()), "/", "-") + ".service"}
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "ExecStart=") }) {
		lines = append(lines, "ExecStart=@SELF@ start")
	}
	for _, kv := range append(testkit.HelperEnv(s.t, s.helper), s.env...) {
		lines = append(lines, "Environment="+strconv.Quote(kv))
	}
	writeUnit(s.t, u.name, strings.ReplaceAll("[Service]\n"+strings.Join(lines, "\n")+"\n", "@SELF@", self))
	return u
}

func writeUnit(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(unitDir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	systemctl(t, "daemon-reload")
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("journalctl", "--no-pager", "-n", "200").CombinedOutput()
			t.Logf("%s", out)
		}
		exec.Command("systemctl", "stop", name).Run()
		os.Remove(path)
		exec.Command("systemctl", "reset-failed", name).Run()
		exec.Command("systemctl", "daemon-reload").Run()
	})
}

func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func (u unit) property(name string) string {
	u.t.Helper()
	return systemctl(u.t, "show", "--property="+name, "--value", u.name)
}

func (u unit) want(property, value string) {
	u.t.Helper()
	if got := u.property(property); got != value {
		u.t.Errorf("got %s=%s, want %s", property, got, value)
	}
}

func (u unit) await(property, value string) {
	u.t.Helper()
	testkit.WaitFor(u.t, property+"="+value, func() bool { return u.property(property) == value })
}

func TestSystemdNotify(t *testing.T) {
	u := describe(t, "life", "L_QUIET=1", "D_REQUIRE_READY=1").unit("Type=notify")
	systemctl(t, "start", "--no-block", u.name)
	u.tell("note loading")
	u.await("StatusText", "loading")
	u.want("ActiveState", "activating")
	u.tell("ready")
	u.await("ActiveState", "active")
	u.want("MainPID", fmt.Sprint(u.daemon()))
	if got := u.processes(); len(got) != 1 {
		t.Errorf("got processes %v, want the daemon alone", got)
	}
	u.tell("note serving")
	u.await("StatusText", "serving")
	systemctl(t, "stop", u.name)
	u.want("Result", "success")
	u.want("ExecMainStatus", "0")
	if got, want := u.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}

// PID 1 of a namespace that systemd has made for the service is the keeper.
func TestSystemdPrivatePIDs(t *testing.T) {
	requireVersion(t, 257, "PrivatePIDs=")
	u := describe(t, "life", "L_QUIET=1", "D_START_WINDOW=1h").unit("Type=notify", "PrivatePIDs=yes", patient)
	systemctl(t, "start", "--no-block", u.name)
	u.tell("note loading")
	u.await("StatusText", "loading")
	u.want("ActiveState", "activating")
	u.tell("ready")
	u.await("ActiveState", "active")
	keeper, err := strconv.Atoi(u.property("MainPID"))
	must(t, err)
	if got := childrenOf(keeper); len(got) != 1 {
		t.Errorf("the main process has the children %v, want the worker alone", got)
	}
	if got := u.do("status"); got.code != 0 || !strings.HasPrefix(got.out, "foo -- pid:") {
		t.Errorf("status: %+v", got)
	}
	systemctl(t, "stop", u.name)
	u.want("Result", "success")
	if got, want := u.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}

func TestSystemdWithoutReady(t *testing.T) {
	u := describe(t, "life", "L_QUIET=1", "D_START_WINDOW=100ms").unit("Type=notify")
	systemctl(t, "start", u.name)
	u.want("ActiveState", "active")
}

func TestSystemdIsToldWhy(t *testing.T) {
	u := describe(t, "life", "L_PRIV=coconut").unit("Type=notify")
	if err := exec.Command("systemctl", "start", u.name).Run(); err == nil {
		t.Error("it started")
	}
	u.want("StatusText", "coconut")
	u.want("Result", "exit-code")
}

func TestSystemdActivatesSockets(t *testing.T) {
	s := describe(t, "listener")
	path := filepath.Join(s.dir, "sock")
	s.env = append(s.env, "N_WORKER=fdname web.socket;tcp 127.0.0.1:18082;unix "+path)
	u := s.unit("Type=notify")
	name := strings.TrimSuffix(u.name, ".service")
	writeUnit(t, name+".socket", "[Socket]\nFileDescriptorName=web.socket\nListenStream=127.0.0.1:18081\nListenStream=127.0.0.1:18082\nListenStream="+path+"\n")
	systemctl(t, "start", name+".socket")
	u.want("ActiveState", "inactive")
	for range 2 {
		first := query("tcp", "127.0.0.1:18081") // starts it
		pid := u.daemon()
		if want := fmt.Sprintf("%d 0", pid); first != want {
			t.Errorf("got %q, want %q", first, want)
		}
		u.wantAnswer("tcp", "127.0.0.1:18082", pid, 1)
		u.wantAnswer("unix", path, pid, 2)
		systemctl(t, "stop", u.name)
		u.want("Result", "success")
		if !onDisk(path) {
			t.Fatal("systemd's file is gone")
		}
	}
}

func TestSystemdKillsAWedgedWorker(t *testing.T) {
	s := describe(t, "life")
	health := filepath.Join(s.side, "health")
	s.env = append(s.env, "L_HEALTH="+health)
	u := s.unit("Type=notify", "WatchdogSec=1s")
	systemctl(t, "start", u.name)
	pid := u.daemon()
	slept := filepath.Join(s.side, "slept") // for longer than the watchdog's time
	u.tell("sh sleep 1.5; touch %s", slept)
	testkit.WaitFor(t, "the worker to have slept", func() bool { return onDisk(slept) })
	u.want("MainPID", fmt.Sprint(pid))
	u.want("ActiveState", "active")
	if err := os.WriteFile(health, []byte("hang"), 0o644); err != nil {
		t.Fatal(err)
	}
	u.await("ActiveState", "failed")
	u.want("Result", "watchdog")
	if r := s.do("status"); r.code != 1 || r.out != "foo -- not running\n" {
		t.Errorf("status: %+v", r)
	}
}
