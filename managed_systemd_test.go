//go:build linux

package daemonocle_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

// What ends or replaces a daemon that systemd runs is left to systemd, unless it is meant.
func TestSystemdIsLeftToRunItsDaemon(t *testing.T) {
	u := describe(t, "life", "L_QUIET=1").unit("Type=notify", "Restart=always", "RestartSec=0")
	systemctl(t, "start", "--no-block", u.name)
	u.tell("ready")
	u.await("ActiveState", "active")
	pid := u.daemon()
	for _, action := range []string{"stop", "restart"} {
		want := ending{"", "ERROR: Cannot " + action + " foo: systemd runs it as " + u.name + "\n" +
			"hint: Type systemctl " + action + " " + u.name + ", or use --direct to act on the process itself.\n", 1}
		if r := u.do(action); r != want {
			t.Errorf("got %+v, want %+v", r, want)
		}
	}
	u.want("MainPID", fmt.Sprint(pid))
	u.want("NRestarts", "0")

	d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: u.pid})
	must(t, err)
	_, err = d.Stop(t.Context(), daemonocle.StopOptions{})
	var e *daemonocle.Error
	if !errors.Is(err, daemonocle.ErrManaged) || !errors.As(err, &e) || e.Unit != u.name || e.PID != pid {
		t.Errorf("got %+v", err)
	}
	// Meant, it is done; what follows from it is systemd's affair.
	s, err := d.Stop(t.Context(), daemonocle.StopOptions{Direct: true})
	if err != nil || s.PID != pid {
		t.Errorf("got %+v, %v", s, err)
	}
	u.await("NRestarts", "1")
}

// An action of the service's own is the manager's.
func TestSystemdStopsItsDaemonByAnAction(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	u := describe(t, "life").unit("Type=notify", "ExecStop="+self+" stop")
	systemctl(t, "start", u.name)
	pid := u.daemon()
	systemctl(t, "stop", u.name)
	u.want("Result", "success")
	u.want("ActiveState", "inactive")
	testkit.WaitGone(t, pid)
}

// What another service has started detached, as cron does, is not that service's daemon.
func TestSystemdDoesNotRunWhatCronHasStarted(t *testing.T) {
	s := describe(t, "life")
	self, err := os.Executable()
	must(t, err)
	begun := filepath.Join(s.side, "begun")
	u := s.unit("Type=exec")
	text := slurp(filepath.Join(unitDir, u.name))
	cron := "ExecStart=/bin/sh -c '" + self + " start; touch " + begun + "; exec sleep infinity'"
	must(t, os.WriteFile(filepath.Join(unitDir, u.name), []byte(strings.Replace(text, "ExecStart="+self+" start", cron, 1)), 0o644))
	systemctl(t, "daemon-reload")
	systemctl(t, "start", u.name)
	testkit.WaitFor(t, "the daemon to be started", func() bool { return onDisk(begun) })
	pid := u.daemon()
	if got := u.property("MainPID"); got == fmt.Sprint(pid) {
		t.Fatalf("the daemon is the service's main process")
	}
	if r := u.do("stop"); r != (ending{"Stopping foo ... OK\n", "", 0}) {
		t.Errorf("got %+v", r)
	}
	testkit.WaitGone(t, pid)
	u.want("ActiveState", "active")
}

// A stop overtakes ExecReload=, which ends well, and so does the service.
func TestSystemdReloadOvertakenByAStop(t *testing.T) {
	inTurn(t, func(t *testing.T, order string) {
		// What holds the reload up: the new worker, which does not say that it is ready, or
		// the old one, which ends when it is told to.
		stubborn := order == orders["set up"]
		s := describe(t, "life", order)
		if stubborn {
			s.env = append(s.env, "L_STUBBORN=1")
		} else {
			s.env = append(s.env, "L_QUIET=1")
		}
		u := s.unit("Type=notify", byAction(t))
		systemctl(t, "start", "--no-block", u.name)
		if !stubborn {
			u.tell("ready")
		}
		u.await("ActiveState", "active")
		systemctl(t, "reload", "--no-block", u.name)
		testkit.WaitFor(t, "the old process, the new one and the action", func() bool { return len(u.processes()) == 3 })
		systemctl(t, "stop", "--no-block", u.name)
		if stubborn {
			testkit.WaitFor(t, "the new one to go", func() bool { return len(u.processes()) == 1 })
			u.tell("return")
		}
		u.await("ActiveState", "inactive")
		u.want("Result", "success")
	})
}

// Nothing is called OK before it is ready, and what went wrong is an error for the journal.
func TestSystemdIsNotToldOKTooEarly(t *testing.T) {
	u := describe(t, "life", "L_QUIET=1", "D_REQUIRE_READY=1").unit("Type=exec")
	systemctl(t, "start", u.name)
	u.tell("return error:banana")
	u.await("ActiveState", "failed")
	exec.Command("journalctl", "--sync").Run()
	out, err := exec.Command("journalctl", "--no-pager", "-o", "cat", "_SYSTEMD_UNIT="+u.name).CombinedOutput()
	must(t, err)
	if strings.Contains(string(out), "OK") || !strings.Contains(string(out), "Starting foo ... FAILED\n") {
		t.Errorf("the journal has %q", out)
	}
	out, err = exec.Command("journalctl", "--no-pager", "-o", "cat", "--priority=err", "_SYSTEMD_UNIT="+u.name).CombinedOutput()
	must(t, err)
	if !strings.Contains(string(out), "ERROR: ") || strings.Contains(string(out), "Starting") {
		t.Errorf("the errors in the journal are %q", out)
	}
}

// A manager that does not answer in time keeps nobody from acting, and that is said.
func TestSystemdThatIsNotHeard(t *testing.T) {
	s := describe(t, "life")
	u := s.unit("Type=notify")
	systemctl(t, "start", u.name)
	pid := u.daemon()
	// In a mount namespace of its own the action finds another systemctl, which waits for
	// what nobody writes.
	fifo, hangs := filepath.Join(s.side, "never"), filepath.Join(s.side, "systemctl")
	must(t, exec.Command("mkfifo", fifo).Run(), os.WriteFile(hangs, []byte("#!/bin/sh\nread x <"+fifo+"\n"), 0o755))
	real, err := filepath.EvalSymlinks("/usr/bin/systemctl")
	must(t, err)
	cmd := s.command("stop")
	cmd.Args = append([]string{"unshare", "--mount", "sh", "-c", "mount --bind " + hangs + " " + real + ` && exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, err = exec.LookPath("unshare")
	must(t, err)
	want := ending{"Stopping foo ... OK\n", "WARNING: systemd may run foo (ask systemd about " + u.name + ": no answer within 5s); acting on the process itself\n", 0}
	if got := s.begin(cmd).wait(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	testkit.WaitGone(t, pid)
}

// What AbandonAfter has ended is a failure, but not in a unit that says otherwise.
func TestSystemdTakesAnAbandonedWorker(t *testing.T) {
	testkit.Parallel(t)
	for _, tt := range []struct{ name, line, state, result string }{
		{"unsaid", "", "failed", "exit-code"},
		{"said", "SuccessExitStatus=143", "inactive", "success"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := describe(t, "life", "L_STUBBORN=1", "D_ABANDON_AFTER=50ms").unit("Type=notify", tt.line)
			systemctl(t, "start", u.name)
			systemctl(t, "stop", u.name)
			u.want("ActiveState", tt.state)
			u.want("Result", tt.result)
			if tt.state == "failed" { // of one that is not, systemd forgets it
				u.want("ExecMainStatus", fmt.Sprint(abandonedBy(syscall.SIGTERM)))
			}
		})
	}
}

// A service of a user's manager: root is told how to reach it.
func TestSystemdOfAUserIsLeftToRunItsDaemon(t *testing.T) {
	testkit.RequireSystemd(t)
	if out, err := exec.Command("systemctl", "start", "user@0.service").CombinedOutput(); err != nil {
		testkit.Skip(t, "user-manager", "it does not start: "+string(out))
	}
	t.Cleanup(func() { exec.Command("systemctl", "stop", "user@0.service").Run() })
	s := describe(t, "life")
	self, err := os.Executable()
	must(t, err)
	run := exec.Command("systemd-run", "--user", "--unit=ofuser", "--service-type=notify", "--collect")
	run.Env = append(os.Environ(), "XDG_RUNTIME_DIR=/run/user/0")
	for _, kv := range append(testkit.HelperEnv(t, s.helper), s.env...) {
		run.Args = append(run.Args, "--setenv="+kv)
	}
	run.Args = append(run.Args, self, "start")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pid := s.daemon()
	want := ending{"", "ERROR: Cannot stop foo: systemd runs it as ofuser.service\n" +
		"hint: Type systemctl --user stop ofuser.service, or use --direct to act on the process itself.\n", 1}
	if got := s.do("stop"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	stop := exec.Command("systemctl", "--user", "stop", "ofuser.service")
	stop.Env = run.Env
	if out, err := stop.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	testkit.WaitGone(t, pid)
}
