//go:build linux

package daemonocle_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// A unit that waits for ever unless it gets what it waits for.
const patient = "TimeoutStartSec=infinity"

// fails starts the unit, and demands that it fails at once and that the journal says why.
func (u unit) fails(words ...string) {
	u.t.Helper()
	systemctl(u.t, "start", "--no-block", u.name)
	u.await("ActiveState", "failed")
	u.want("Result", "exit-code")
	for _, w := range words {
		testkit.WaitFor(u.t, "the journal to say "+w, func() bool {
			out, err := exec.Command("journalctl", "--no-pager", "--output=cat", "--unit="+u.name).Output()
			return err == nil && strings.Contains(string(out), w)
		})
	}
}

func TestSystemdForkingIsServed(t *testing.T) {
	s := describe(t, "life", "L_QUIET=1", "D_REQUIRE_READY=1")
	u := s.unit("Type=forking", "PIDFile="+s.pid, patient)
	systemctl(t, "start", "--no-block", u.name)
	u.tell("note up")
	u.want("ActiveState", "activating")
	u.tell("ready")
	u.await("ActiveState", "active")
	pid := u.daemon()
	u.want("MainPID", fmt.Sprint(pid))
	if got := testkit.Stat(pid); got.Session == pid || got.PGrp != pid {
		t.Errorf("the daemon is not detached: %+v", got)
	}
	systemctl(t, "stop", u.name)
	u.want("Result", "success")
	if got, want := u.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}

func TestSystemdForkingThatFails(t *testing.T) {
	s := describe(t, "life", "L_PRIV=coconut")
	s.unit("Type=forking", "PIDFile="+s.pid, patient).fails("oconut")
}

func TestSystemdForkingIsRefused(t *testing.T) {
	testkit.Parallel(t)
	const line = "Write Type=notify, and no PIDFile=, into the unit's section [Service]"
	for name, lines := range map[string][]string{
		"no PIDFile":      {"Type=forking"},
		"another PIDFile": {"Type=forking", "PIDFile=/run/other.pid"},
		"foreground":      {"Type=forking", "PIDFile=@PIDFILE@", "ExecStart=@SELF@ start", "Environment=D_FOREGROUND=1"},
		"oneshot":         {"Type=oneshot"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			s := describe(t, "life")
			for i := range lines {
				lines[i] = strings.ReplaceAll(lines[i], "@PIDFILE@", s.pid)
			}
			u := s.unit(append(lines, patient)...)
			u.fails(line, u.name+" waits for ")
			if onDisk(s.pid) {
				t.Error("something was started")
			}
		})
	}
}

// As before systemd 248, which does not say SYSTEMD_EXEC_PID.
const older = "/usr/bin/env -u SYSTEMD_EXEC_PID "

func TestSystemdOlderStaysInItsProcess(t *testing.T) {
	testkit.Parallel(t)
	for _, kind := range []string{"simple", "exec", "notify"} {
		t.Run(kind, func(t *testing.T) {
			u := describe(t, "life").unit("Type="+kind, "ExecStart="+older+"@SELF@ start")
			systemctl(t, "start", "--no-block", u.name)
			testkit.WaitFor(t, "the daemon", func() bool { return strings.HasPrefix(u.do("status").out, "foo -- pid:") })
			u.want("MainPID", fmt.Sprint(u.daemon()))
			u.await("ActiveState", "active")
			systemctl(t, "stop", u.name)
			u.want("Result", "success")
		})
	}
}

func TestSystemdOlderForking(t *testing.T) {
	s := describe(t, "life")
	u := s.unit("Type=forking", "PIDFile="+s.pid, patient, "ExecStart="+older+"@SELF@ start")
	systemctl(t, "start", u.name)
	u.want("MainPID", fmt.Sprint(u.daemon()))
	systemctl(t, "stop", u.name)
	s = describe(t, "life")
	s.unit("Type=forking", patient, "ExecStart="+older+"@SELF@ start").fails("Type=notify")
}

// What a service's script leaves behind is no service, whatever it has inherited.
func TestSystemdOrphanOfAServiceIsDetached(t *testing.T) {
	testkit.Parallel(t)
	for name, before := range map[string]string{"new": "", "older": older} {
		for kind, how := range map[string]string{
			"orphan":  `(sh -c "$BEGIN" &)`,
			"session": `setsid -f sh -c "$BEGIN"`,
		} {
			t.Run(name+"-"+kind, func(t *testing.T) {
				s := describe(t, "life", "BEGIN="+unitBegin)
				u := s.unit("Type=exec", `ExecStart=`+before+`/bin/sh -c "`+strings.ReplaceAll(strings.ReplaceAll(how, `"`, `\"`), "$", "$$")+`; exec sleep 1000"`,
					"Environment=FOO=@SELF@")
				systemctl(t, "start", u.name)
				s.awaitDetached()
				if pid := fmt.Sprint(s.daemon()); u.property("MainPID") == pid {
					t.Errorf("the service's main process is the daemon %s", pid)
				}
			})
		}
	}
}

// unitBegin is begin on one line, as a unit's Environment= takes it.
const unitBegin = `p=; while read -r _ _ _ p _ </proc/$$/stat; [ "$p" != 1 ]; do :; done; exec "$FOO" start`

func TestSystemdAlreadyRunning(t *testing.T) {
	testkit.Parallel(t)
	for _, kind := range []string{"simple", "exec", "notify"} {
		t.Run(kind, func(t *testing.T) {
			s := describe(t, "life")
			pid := s.start()
			u := s.unit("Type="+kind, patient)
			u.fails(fmt.Sprintf("already running with PID %d", pid))
			u.want("ExecMainStatus", "1")
			s.stop()
		})
	}
}

// A unit that waits for a daemon in the background finds the one that runs by its PID file,
// which systemd would remove if the start failed.
func TestSystemdForkingAlreadyRunning(t *testing.T) {
	s := describe(t, "life")
	pid := s.start()
	u := s.unit("Type=forking", "PIDFile="+s.pid, patient)
	systemctl(t, "start", u.name)
	u.want("ActiveState", "active")
	u.want("MainPID", fmt.Sprint(pid))
	systemctl(t, "stop", u.name)
	testkit.WaitGone(t, pid)
	u.want("Result", "success")
}
