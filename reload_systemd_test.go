//go:build linux

package daemonocle_test

import (
	"bufio"
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
	"sync"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() { helpers["echo"] = echoProgram }

// Two ways to say in a unit how the service is reloaded.
func byAction(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return "ExecReload=" + self + " reload"
}

const bySignal = "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'"

// requireVersion skips the test if systemd is older than that, which has what is named.
func requireVersion(t *testing.T, least int, what string) {
	t.Helper()
	testkit.RequireSystemd(t)
	version, _, _ := strings.Cut(strings.TrimPrefix(systemctl(t, "--version"), "systemd "), " ")
	if n, err := strconv.Atoi(version); err != nil {
		t.Fatalf("version %q", version)
	} else if n < least {
		testkit.Skip(t, fmt.Sprintf("systemd-%d", least), what+" is not in systemd "+version)
	}
}

// awaitSuccessor waits until systemd has the daemon for its main process, and that is another
// one than before, which has gone.
func (u unit) awaitSuccessor(before int) (pid int) {
	u.t.Helper()
	pid = u.awaitReload(before)
	u.await("MainPID", fmt.Sprint(pid))
	u.await("ActiveState", "active")
	u.alone(pid)
	return pid
}

// calm checks that systemd has seen nothing that it wonders about.
func (u unit) calm() {
	u.t.Helper()
	exec.Command("journalctl", "--sync").Run()
	out, err := exec.Command("journalctl", "--no-pager", "-o", "cat", "_PID=1", "UNIT="+u.name).CombinedOutput()
	if err != nil {
		u.t.Fatalf("journalctl: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "Start") {
		u.t.Errorf("the journal has nothing of the service: %q", out)
	}
	for _, words := range []string{"not our child", "reception only permitted", "belongs to", "does not belong", "refusing", "ignoring"} {
		if strings.Contains(strings.ToLower(string(out)), strings.ToLower(words)) {
			u.t.Errorf("the journal has %q:\n%s", words, out)
		}
	}
}

func TestSystemdReload(t *testing.T) {
	for name, how := range map[string]func(*testing.T) string{
		"action": byAction, "signal": func(*testing.T) string { return bySignal },
	} {
		t.Run(name, func(t *testing.T) {
			inTurn(t, func(t *testing.T, order string) {
				u := describe(t, "life", order).unit("Type=notify", how(t))
				systemctl(t, "start", u.name)
				pid := u.daemon()
				for range 3 {
					systemctl(t, "reload", u.name)
					if name == "action" { // which returns when it is done
						if u.daemon() == pid {
							t.Fatal("it is the same process")
						}
						u.want("MainPID", fmt.Sprint(u.daemon()))
					}
					pid = u.awaitSuccessor(pid)
				}
				u.tell("return exit:3")
				u.await("ActiveState", "failed")
				u.want("Result", "exit-code")
				u.want("ExecMainStatus", "3")
				u.want("ExecMainPID", fmt.Sprint(pid))
				u.want("StatusText", "exit with code 3")
				u.calm()
			})
		})
	}
}

func TestSystemdReloadThenStop(t *testing.T) {
	inTurn(t, func(t *testing.T, order string) {
		u := describe(t, "life", order).unit("Type=notify", byAction(t))
		systemctl(t, "start", u.name)
		pid := u.daemon()
		systemctl(t, "reload", u.name)
		u.awaitSuccessor(pid)
		systemctl(t, "stop", u.name)
		u.want("ActiveState", "inactive")
		u.want("Result", "success")
		u.want("ExecMainStatus", "0")
		if got, want := u.hookLog(), "Shutting down for reload|0|true\nTerminated by SIGTERM (15)|-15|true\n"; got != want {
			t.Errorf("hook got %q, want %q", got, want)
		}
		if got := u.processes(); len(got) != 0 || onDisk(u.pid) {
			t.Errorf("processes %v are left; PID file: %v", got, onDisk(u.pid))
		}
		u.calm()
	})
}

// systemd sends SIGTERM to both processes.
func TestSystemdReloadIsStopped(t *testing.T) {
	u := describe(t, "life", "L_STUBBORN=1").unit("Type=notify", bySignal)
	systemctl(t, "start", u.name)
	pid := u.daemon()
	systemctl(t, "reload", "--no-block", u.name)
	two := func() bool { return len(u.processes()) == 2 }
	testkit.WaitFor(t, "the old process and the new one, without the shell of ExecReload", func() bool {
		return two() && u.property("ControlPID") == "0" && two()
	})
	systemctl(t, "stop", "--no-block", u.name)
	testkit.WaitFor(t, "the new one to go", func() bool { return len(u.processes()) == 1 })
	if got := u.processes(); got[0] != pid {
		t.Errorf("process %d is left, want %d", got[0], pid)
	}
	u.tell("return")
	u.await("ActiveState", "inactive")
	u.want("Result", "success")
	if got := u.processes(); len(got) != 0 || onDisk(u.pid) {
		t.Errorf("processes %v are left; PID file: %v", got, onDisk(u.pid))
	}
}

func TestSystemdReloadFails(t *testing.T) {
	inTurn(t, func(t *testing.T, order string) {
		s := describe(t, "life", order)
		refuse := filepath.Join(s.side, "refuse")
		u := s.with("L_REFUSE="+refuse).unit("Type=notify", byAction(t))
		systemctl(t, "start", u.name)
		pid := u.daemon()
		u.tell("note serving")
		u.await("StatusText", "serving")
		must(t, os.WriteFile(refuse, []byte("coconut"), 0o644))
		if out, err := exec.Command("systemctl", "reload", u.name).CombinedOutput(); err == nil {
			t.Errorf("it went well: %s", out)
		}
		u.await("StatusText", "reload failed: coconut")
		u.await("ActiveState", "active")
		u.want("MainPID", fmt.Sprint(pid))
		u.alone(pid)
		exec.Command("journalctl", "--sync").Run()
		out, err := exec.Command("journalctl", "--no-pager", "-o", "cat", "-u", u.name).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "ERROR: coconut\n") {
			t.Errorf("the journal does not say why: %v\n%s", err, out)
		}
		must(t, os.Remove(refuse))
		systemctl(t, "reload", u.name)
		u.awaitSuccessor(pid)
		u.want("StatusText", "")
		u.calm()
	})
}

func TestSystemdReloadLeavesTheWatchdog(t *testing.T) {
	inTurn(t, func(t *testing.T, order string) {
		s := describe(t, "life", order)
		health := filepath.Join(s.side, "health")
		u := s.with("L_HEALTH="+health).unit("Type=notify", "WatchdogSec=1s", byAction(t))
		systemctl(t, "start", u.name)
		pid := u.daemon()
		for range 2 {
			systemctl(t, "reload", u.name)
			pid = u.awaitSuccessor(pid)
		}
		slept := filepath.Join(s.side, "slept") // for longer than the watchdog's time
		u.tell("sh sleep 1.5; touch %s", slept)
		testkit.WaitFor(t, "the worker to have slept", func() bool { return onDisk(slept) })
		u.want("MainPID", fmt.Sprint(pid))
		u.want("ActiveState", "active")
		must(t, os.WriteFile(health, []byte("hang"), 0o644))
		u.await("ActiveState", "failed")
		u.want("Result", "watchdog")
		u.want("ExecMainPID", fmt.Sprint(pid))
		if got := u.processes(); len(got) != 0 {
			t.Errorf("processes %v are left", got)
		}
		u.calm()
	})
}

// What is started is what the path names by then.
func TestSystemdReloadUpgrades(t *testing.T) {
	testkit.RequireSystemd(t)
	s := describe(t, "life", orders["ready first"])
	path := filepath.Join(s.dir, "prog")
	install := func() os.FileInfo {
		t.Helper()
		in, err := os.ReadFile("/proc/self/exe")
		must(t, err, os.WriteFile(path+".new", in, 0o755), os.Rename(path+".new", path))
		info, err := os.Stat(path)
		must(t, err)
		return info
	}
	u := s.unit("Type=notify")
	install()
	text := slurp(filepath.Join(unitDir, u.name))
	self, err := os.Executable()
	must(t, err, os.WriteFile(filepath.Join(unitDir, u.name), []byte(strings.ReplaceAll(text, self, path)+"ExecReload="+path+" reload\n"), 0o644))
	systemctl(t, "daemon-reload")
	systemctl(t, "start", u.name)
	pid := u.daemon()
	for range 2 {
		want := install()
		systemctl(t, "reload", u.name)
		pid = u.awaitSuccessor(pid)
		if got, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || !os.SameFile(got, want) {
			t.Errorf("process %d runs another file: %v", pid, err)
		}
	}
	u.calm()
}

func TestSystemdReloadHardened(t *testing.T) {
	testkit.RequireSystemd(t)
	self, err := os.Executable()
	must(t, err)
	inTurn(t, func(t *testing.T, order string) {
		s := describe(t, "life", order)
		u := s.with("D_PIDFILE=/run/hardened/foo.pid").unit("Type=notify", byAction(t), "RuntimeDirectory=hardened",
			"DynamicUser=yes", "ProtectSystem=strict", "ProtectHome=yes", "ProtectProc=invisible", "PrivateDevices=yes",
			"BindPaths="+s.side, "BindReadOnlyPaths="+filepath.Dir(self), "NoNewPrivileges=yes", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
			"RestrictNamespaces=yes", "SystemCallFilter=@system-service", "CapabilityBoundingSet=", "WatchdogSec=5s")
		u.pid = "/run/hardened/foo.pid"
		systemctl(t, "start", u.name)
		pid := u.daemon()
		for range 2 {
			systemctl(t, "reload", u.name)
			next := u.daemon()
			if next == pid {
				t.Fatal("it is the same process")
			}
			u.want("MainPID", fmt.Sprint(next))
			u.await("ActiveState", "active")
			testkit.WaitGone(t, pid)
			pid = next
		}
		systemctl(t, "stop", u.name)
		u.want("Result", "success")
		u.calm()
	})
}

// echoProgram is prog with a worker that says its PID to each connection on the TCP
// address E_ADDRESS and then repeats what it hears. When it shall end it takes no new
// connections, and waits for those that there are.
func echoProgram() {
	c := progConfig()
	c.Worker = func(ctx context.Context) error {
		ln, err := daemonocle.Listen(ctx, "tcp", os.Getenv("E_ADDRESS"))
		if err != nil {
			return err
		}
		var connections sync.WaitGroup
		connections.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				connections.Go(func() {
					fmt.Fprintln(c, os.Getpid())
					io.Copy(c, c)
					c.Close()
				})
			}
		})
		err = daemonocle.Ready(ctx)
		<-ctx.Done()
		ln.Close()
		connections.Wait()
		return err
	}
	d, err := daemonocle.New(c)
	if err != nil {
		panic(err)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

// caller is a client of echoProgram.
type caller struct {
	net.Conn
	lines *bufio.Reader
	pid   int
}

func call(address string) (*caller, error) {
	conn, err := net.DialTimeout("tcp", address, testkit.Patience)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(testkit.Patience))
	c := &caller{Conn: conn, lines: bufio.NewReader(conn)}
	line, err := c.lines.ReadString('\n')
	if err == nil {
		c.pid, err = strconv.Atoi(strings.TrimSuffix(line, "\n"))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *caller) echo(text string) error {
	if _, err := fmt.Fprintln(c, text); err != nil {
		return err
	}
	if got, err := c.lines.ReadString('\n'); err != nil || got != text+"\n" {
		return fmt.Errorf("got %q, %v", got, err)
	}
	return nil
}

func TestSystemdReloadKeepsSocketsAndConnections(t *testing.T) {
	const address = "127.0.0.1:18083"
	s := describe(t, "echo", orders["ready first"], "E_ADDRESS="+address)
	u := s.unit("Type=notify", byAction(t))
	name := strings.TrimSuffix(u.name, ".service")
	writeUnit(t, name+".socket", "[Socket]\nListenStream="+address+"\n")
	systemctl(t, "start", name+".socket")
	old, err := call(address) // starts it
	must(t, err)
	pid := u.daemon()
	if old.pid != pid {
		t.Errorf("process %d answers, want %d", old.pid, pid)
	}

	// Somebody calls all the time.
	stop, calls := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { calls <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			c, err := call(address)
			if err == nil {
				err = errors.Join(c.echo("hello"), c.Close())
			}
			if err != nil {
				t.Errorf("call %d: %v", n, err)
				return
			}
		}
	}()
	for range 5 {
		systemctl(t, "reload", u.name)
		next := u.daemon()
		if next == pid {
			t.Fatal("it is the same process")
		}
		u.want("MainPID", fmt.Sprint(next))
		pid = next
	}
	close(stop)
	if n := <-calls; n < 5 {
		t.Errorf("only %d calls", n)
	}
	must(t, old.echo("are you there?")) // the first one still
	u.want("ActiveState", "active")
	old.Close()
	u.alone(pid)

	// What systemd made is systemd's: it starts the service again.
	systemctl(t, "stop", u.name)
	u.want("Result", "success")
	again, err := call(address)
	must(t, err)
	defer again.Close()
	if again.pid == pid || again.pid != u.daemon() {
		t.Errorf("process %d answers, want %d", again.pid, u.daemon())
	}
	u.calm()
}

func TestSystemdReloadType(t *testing.T) {
	requireVersion(t, 253, "Type=notify-reload")
	inTurn(t, func(t *testing.T, order string) {
		s := describe(t, "slow", order)
		out := filepath.Join(s.side, "out")
		u := s.unit("Type=notify-reload", "StandardOutput=append:"+out)
		systemctl(t, "start", "--no-block", u.name)
		waitText(t, out, "generation 1\n")
		s.letGo()
		u.await("ActiveState", "active")
		pid := u.daemon()
		for generation := 2; generation < 5; generation++ {
			r := s.begin(exec.Command("systemctl", "reload", u.name))
			waitText(t, out, fmt.Sprintf("generation %d\n", generation))
			select {
			case <-r.done:
				t.Fatalf("it does not wait until the new one is ready: %+v", r.wait())
			case <-time.After(testkit.Settle):
			}
			u.want("ActiveState", "reloading")
			s.letGo()
			if got := r.wait(); got != (ending{"", "", 0}) {
				t.Errorf("got %+v", got)
			}
			next := u.daemon()
			if next == pid {
				t.Fatal("it is the same process")
			}
			u.want("ActiveState", "active")
			u.want("MainPID", fmt.Sprint(next))
			testkit.WaitGone(t, pid)
			pid = next
		}
		u.want("StatusText", "generation 4")
		systemctl(t, "stop", u.name)
		u.want("Result", "success")
		u.calm()
	})
}

// systemd has no word for a reload that failed: the status says it.
func TestSystemdReloadTypeFails(t *testing.T) {
	requireVersion(t, 253, "Type=notify-reload")
	inTurn(t, func(t *testing.T, order string) {
		s := describe(t, "life", order)
		refuse := filepath.Join(s.side, "refuse")
		u := s.with("L_REFUSE=" + refuse).unit("Type=notify-reload")
		systemctl(t, "start", u.name)
		pid := u.daemon()
		must(t, os.WriteFile(refuse, []byte("coconut"), 0o644))
		systemctl(t, "reload", u.name)
		u.want("StatusText", "reload failed: coconut")
		u.want("ActiveState", "active")
		u.want("MainPID", fmt.Sprint(pid))
		must(t, os.Remove(refuse))
		systemctl(t, "reload", u.name)
		u.want("MainPID", fmt.Sprint(u.awaitSuccessor(pid)))
		u.calm()
	})
}

// Without a PID file a reload is refused, and the service goes on.
func TestSystemdReloadTypeWithoutPIDFile(t *testing.T) {
	requireVersion(t, 253, "Type=notify-reload")
	u := describe(t, "life", "D_PIDFILE=").unit("Type=notify-reload")
	systemctl(t, "start", u.name)
	pid := u.property("MainPID")
	systemctl(t, "reload", u.name)
	u.want("StatusText", "reload failed: cannot reload daemon without PID file")
	u.want("ActiveState", "active")
	u.want("MainPID", pid)
}
