//go:build linux

package daemonocle_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// A service manager hears no process but the one that it has started, which is the
// keeper: as PID 1 in a container, or behind a start in the foreground.
func TestKeeperSpeaksForItsWorker(t *testing.T) {
	testkit.Parallel(t)
	for _, first := range []bool{false, true} {
		for _, readyFirst := range []string{"", "1"} {
			t.Run(fmt.Sprintf("PID 1 %v, ready first %q", first, readyFirst), func(t *testing.T) {
				s, m := describe(t, "life", "L_QUIET=1", "D_FOREGROUND=1", "D_START_WINDOW=1h", "D_REQUIRE_READY="+readyFirst), newManager(t)
				s.env = append(s.env, "NOTIFY_SOCKET="+m.path)
				var r *running
				if first {
					testkit.RequireRoot(t)
					r, _ = s.beginPID1("start")
				} else {
					cmd := s.command("start")
					cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
					r = s.begin(cmd)
				}
				keeper := r.cmd.Process.Pid
				s.tell("note loading")
				m.wantFrom(keeper, "STATUS=loading")
				s.tell("ready")
				s.tell("ready")
				s.tell("note serving all")
				m.wantFrom(keeper, "READY=1", "STATUS=serving all")
				s.tell("sh env | grep -c -E '^(NOTIFY_SOCKET|WATCHDOG_USEC)='")
				if text := waitText(t, r.out, "sh:"); !strings.Contains(text, "\n0\nsh:") {
					t.Errorf("a child inherits something of it: %q", text)
				}
				r.signal(syscall.SIGHUP)
				if got := m.next("RELOADING=1"); !strings.HasPrefix(got.text, "RELOADING=1\nMONOTONIC_USEC=") || got.from != keeper {
					t.Fatalf("got %q of process %d", got.text, got.from)
				}
				if readyFirst == "" {
					waitText(t, r.out, reloadedLine)
				} else {
					testkit.WaitFor(t, "the second worker", func() bool { return strings.Count(slurp(r.out), "worker ") == 2 })
				}
				s.tellGeneration(2, "ready")
				for ready := false; !ready; {
					got := m.next("READY=1")
					if got.from != keeper || got.text != "READY=1" && !strings.HasPrefix(got.text, "STATUS=") {
						t.Fatalf("got %q of process %d", got.text, got.from)
					}
					ready = got.text == "READY=1"
				}
				r.signal(syscall.SIGTERM)
				for {
					got := m.next("STOPPING=1")
					if got.from != keeper || got.text != "STOPPING=1" && !strings.HasPrefix(got.text, "STATUS=") {
						t.Fatalf("got %q of process %d", got.text, got.from)
					}
					if got.text == "STOPPING=1" {
						break
					}
				}
				if got := r.wait(); got.code != 0 {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
}

func TestKeeperSaysWhy(t *testing.T) {
	testkit.Parallel(t)
	for _, tt := range []struct {
		name     string
		env      string
		command  string
		messages []string
	}{
		{"worker ends", "", "return nil", []string{"READY=1", "STOPPING=1"}},
		{"worker fails", "", "return error:banana", []string{"READY=1", "STOPPING=1", "STATUS=banana"}},
		{"worker is killed", "", "kill 9", []string{"READY=1", "STOPPING=1", "STATUS=the daemon was ended by SIGKILL (9)"}},
		{"set-up fails", "L_PRIV=coconut", "", []string{"STATUS=coconut"}},
		{"alive", "L_QUIET=1", "", []string{"READY=1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, m := describe(t, "life", tt.env, "D_START_WINDOW=10ms", "D_FOREGROUND=1"), newManager(t)
			s.env = append(s.env, "NOTIFY_SOCKET="+m.path)
			r := s.begin(s.command("start"))
			if tt.command != "" {
				waitText(t, r.out, "worker ")
				s.tell("%s", tt.command)
			}
			m.want(tt.messages...)
			if tt.name == "alive" {
				r.signal(syscall.SIGTERM)
				m.want("STOPPING=1")
			}
			r.wait()
			m.wantNone(0)
		})
	}
}

// A worker that has given up root's rights says by its keeper how it is, and no more.
func TestKeeperSaysNothingElseForItsWorker(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	s, m := describe(t, "life", "D_FOREGROUND=1", fmt.Sprintf("D_USER=%d", uid)), newManager(t)
	s.env = append(s.env, "NOTIFY_SOCKET="+m.path)
	r := s.begin(s.command("start"))
	m.want("READY=1")
	s.tell(`tell MAINPID=1\nFDSTORE=1\nBARRIER=1\nWATCHDOG_USEC=1\nWATCHDOG=1\nREADY=1\nERRNO=1\nSTATUS=fine`)
	m.want("STATUS=fine")
	r.signal(syscall.SIGTERM)
	m.want("STOPPING=1")
	r.wait()
	m.wantNone(0)
}

func TestKeeperFeedsTheWatchdogForItsWorker(t *testing.T) {
	s, m := describe(t, "life", "D_FOREGROUND=1"), newManager(t)
	cmd := shell(s.command("start"), "export NOTIFY_SOCKET="+m.path+" WATCHDOG_USEC=20000 WATCHDOG_PID=$$; ")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r := s.begin(cmd)
	until := func(want string) {
		t.Helper()
		for {
			if got := m.next(want); got.from != r.cmd.Process.Pid {
				t.Fatalf("got %+v", got)
			} else if strings.HasPrefix(got.text, want) {
				return
			}
		}
	}
	for range 3 {
		until("WATCHDOG=1")
	}
	waitText(t, r.out, "worker ")
	r.signal(syscall.SIGHUP)
	until("RELOADING=1")
	until("READY=1")
	for range 3 {
		until("WATCHDOG=1")
	}
	r.signal(syscall.SIGTERM)
	until("STOPPING=1")
	r.wait()
}

// A program that knows nothing of this library is ready as its Readiness says, or when it
// has lived through the window.
func TestKeeperSpeaksForAProgram(t *testing.T) {
	testkit.Parallel(t)
	for name, tt := range map[string]struct{ script, ready, window string }{
		"window": {"exec sleep 1000", "", "1ms"},
		"line":   {"exec sleep 1000", "line:never", "1ms"}, // it is on the terminal
		"unix":   {"exec %s SOCKET", "unix:SOCKET", "1h"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := testkit.TempDir(t)
			socket := filepath.Join(dir, "socket")
			m := newManager(t)
			script := strings.ReplaceAll(tt.script, "SOCKET", socket)
			if name == "unix" {
				if _, err := exec.LookPath("socat"); err != nil {
					testkit.Skip(t, "socat", err.Error())
				}
				script = "exec socat UNIX-LISTEN:" + socket + ",fork /dev/null"
			}
			s := foreign(t, "D_SH="+script, "D_READY="+strings.ReplaceAll(tt.ready, "SOCKET", socket), "D_START_WINDOW="+tt.window, "D_FOREGROUND=1", "NOTIFY_SOCKET="+m.path)
			if name == "line" {
				s.env = append(s.env, "D_STDOUT="+filepath.Join(dir, "log"))
			}
			r := s.begin(s.command("start"))
			m.wantFrom(r.cmd.Process.Pid, "READY=1")
			r.signal(syscall.SIGTERM)
			m.wantFrom(r.cmd.Process.Pid, "STOPPING=1")
			r.wait()
			m.wantNone(0)
		})
	}
}

// notified starts the command with a descriptor 3 that somebody reads.
func (s *described) notified(cmd *exec.Cmd) (*running, *os.File) {
	s.t.Helper()
	read, write, err := os.Pipe()
	must(s.t, err)
	s.t.Cleanup(func() { read.Close() })
	cmd.ExtraFiles = []*os.File{write}
	r := s.begin(cmd)
	write.Close()
	return r, read
}

// A supervisor such as s6 reads a newline from a descriptor when the daemon is ready. The
// end follows: nothing that was started has the descriptor.
func TestNotifyFD(t *testing.T) {
	testkit.Parallel(t)
	for name, start := range map[string]func(*described) *exec.Cmd{
		"keeper":   func(s *described) *exec.Cmd { s.env = append(s.env, "D_FOREGROUND=1"); return s.command("start") },
		"detached": func(s *described) *exec.Cmd { return s.command("start") },
		"restart":  func(s *described) *exec.Cmd { s.start(); return s.command("restart") },
		"service":  func(s *described) *exec.Cmd { return shell(s.command("start"), "export SYSTEMD_EXEC_PID=$$; ") },
	} {
		t.Run(name, func(t *testing.T) {
			s := describe(t, "life", "D_REQUIRE_READY=1", "D_STOP_TIMEOUT=1m")
			cmd := start(s)
			cmd.Env = append(cmd.Env, "L_NOTIFY_FD=3")
			if name != "restart" { // where the old worker would read what we say
				cmd.Env = append(cmd.Env, "L_QUIET=1")
			}
			r, read := s.notified(cmd)
			if name != "restart" {
				s.tell("sh exec sleep 1000 &")
				s.tell("ready")
			}
			b, err := io.ReadAll(read)
			if err != nil || string(b) != "\n" {
				t.Errorf("the supervisor reads %q, %v", b, err)
			}
			s.tell("return nil")
			if name == "keeper" {
				r.signal(syscall.SIGKILL) // the sleep keeps it
			}
			<-r.done
		})
	}
}

func TestNotifyFDOfADaemonThatIsNeverReady(t *testing.T) {
	for _, settings := range []string{"L_PRIV=coconut", "D_FOREGROUND=1"} {
		s := describe(t, "life", "D_REQUIRE_READY=1", "L_QUIET=1", "L_NOTIFY_FD=3", settings)
		r, read := s.notified(s.command("start"))
		if settings == "D_FOREGROUND=1" {
			waitText(t, r.out, "worker ")
			s.tell("return nil")
		}
		if b, err := io.ReadAll(read); err != nil || len(b) > 0 {
			t.Errorf("%s: the supervisor reads %q, %v", settings, b, err)
		}
		r.wait()
	}
}

func TestNotifyFDThatIsNone(t *testing.T) {
	for fd, want := range map[string]string{
		"-1": "the descriptor to notify is -1, and must be 3 or more",
		"2":  "the descriptor to notify is 2, and must be 3 or more",
		"3":  "the descriptor to notify, 3, is not open for writing",
		"9":  "the descriptor to notify, 9, is not open",
	} {
		for _, action := range []string{"start", "restart"} {
			s := describe(t, "life", "L_NOTIFY_FD="+fd, "L_START=coconut")
			cmd := s.command(action)
			null, err := os.Open(os.DevNull)
			must(t, err)
			cmd.ExtraFiles = []*os.File{null}
			got := s.begin(cmd).wait()
			null.Close()
			if got.code != 2 || got.out != "" || !strings.EqualFold(got.err, "ERROR: "+want+"\n") {
				t.Errorf("%s, descriptor %s: %+v", action, fd, got)
			}
		}
	}
}
