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
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func init() { helpers["listener"] = listener }

// listener is prog with sockets, each "network address": N_START is opened by the
// start hook, N_PRIV by the privileged hook, N_WORKER by the worker, with semicolons between. Who
// opens one says so. The worker answers each connection with its number and the
// socket's index. N_RETURN: the worker returns that error instead.
func listener() {
	c := progConfig()
	if os.Getenv("N_START") != "" {
		c.Hooks.Start = func(ctx context.Context, _ daemonocle.StartInfo) error { return listenAll(ctx, "N_START", false) }
	}
	if os.Getenv("N_PRIV") != "" {
		c.Hooks.Privileged = func(ctx context.Context) error { return listenAll(ctx, "N_PRIV", false) }
	}
	c.Worker = func(ctx context.Context) error {
		if err := listenAll(ctx, "N_WORKER", true); err != nil {
			return err
		}
		if text := os.Getenv("N_RETURN"); text != "" {
			return errors.New(text)
		}
		if err := daemonocle.Ready(ctx); err != nil {
			return err
		}
		out, _ := exec.Command("/bin/sh", "-c", "env | grep -E '^(LISTEN|NOTIFY|WATCHDOG)_'; ls -l /proc/self/fd | grep socket").Output()
		fmt.Printf("child: %q\n", out)
		<-ctx.Done()
		return nil
	}
	d, err := daemonocle.New(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

func listenAll(ctx context.Context, from string, serve bool) error {
	for i, line := range strings.Split(os.Getenv(from), ";") {
		network, address, ok := strings.Cut(line, " ")
		if !ok {
			continue
		}
		ln, err := daemonocle.Listen(ctx, network, address)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s %d: %s\n", from, i, ln.Addr())
		if !serve {
			continue
		}
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%d %d", os.Getpid(), i)
				c.Close()
			}
		}()
	}
	return nil
}

// query gives what the worker answers at the address.
func query(network, address string) string {
	c, err := net.DialTimeout(network, address, testkit.Patience)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	b, err := io.ReadAll(c)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (s *described) wantAnswer(network, address string, pid, index int) {
	s.t.Helper()
	if got, want := query(network, address), fmt.Sprintf("%d %d", pid, index); got != want {
		s.t.Errorf("%s %s: got %q, want %q", network, address, got, want)
	}
}

func (s *described) wantRefused(network, address string) {
	s.t.Helper()
	if got := query(network, address); !strings.Contains(got, "refused") && !strings.Contains(got, "no such file") {
		s.t.Errorf("%s %s: got %q, want nobody there", network, address, got)
	}
}

// said is what is behind "who index: " in the text.
func said(t *testing.T, text, who string, index int) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if address, ok := strings.CutPrefix(line, fmt.Sprintf("%s %d: ", who, index)); ok {
			return strings.TrimSuffix(address, "\n")
		}
	}
	t.Fatalf("no %s %d in %q", who, index, text)
	return ""
}

func TestStartHookListensForTheWorker(t *testing.T) {
	testkit.Parallel(t)
	for _, foreground := range []string{"", "1"} {
		t.Run("foreground="+foreground, func(t *testing.T) {
			s := describe(t, "listener", "D_FOREGROUND="+foreground)
			path := filepath.Join(s.dir, "sock")
			s.env = append(s.env, "N_START=tcp 127.0.0.1:0;unix "+path+";tcp 127.0.0.3:0", "N_WORKER=unix "+path+";tcp 127.0.0.1:0")
			r := s.begin(s.command("start"))
			worker := s.err // of the daemon
			if foreground != "" {
				worker = r.err
				waitText(t, r.out, "child: ")
			} else if r := r.wait(); r.code != 0 {
				t.Fatalf("got %+v", r)
			}
			pid := s.daemon()
			address := said(t, slurp(r.err), "N_START", 0)
			if got := said(t, slurp(worker), "N_WORKER", 1); got != address {
				t.Errorf("the worker listens on %s, the hook on %s", got, address)
			}
			s.wantAnswer("tcp", address, pid, 1)
			s.wantAnswer("unix", path, pid, 0)
			// The third one, which the worker has not asked for, and the launcher's own.
			s.wantRefused("tcp", said(t, slurp(r.err), "N_START", 2))
			text := waitText(t, map[bool]string{true: r.out, false: s.out}[foreground != ""], "child: ")
			if !strings.Contains(text, `child: ""`) {
				t.Errorf("a child of the worker's has sockets: %s", text)
			}
			s.stop()
			s.wantRefused("tcp", address)
			if onDisk(path) {
				t.Error("the socket's file is still there")
			}
		})
	}
}

func TestFailedStartLeavesNoSocket(t *testing.T) {
	for _, env := range []string{"N_RETURN=coconut", "D_WORKDIR=/nowhere", "N_WORKER=tcp nonsense"} {
		s := describe(t, "listener")
		path := filepath.Join(s.dir, "sock")
		s.env = append(s.env, "N_START=unix "+path, "N_WORKER=unix "+path, env)
		if r := s.do("start"); r.code != 1 {
			t.Errorf("%s: got %+v", env, r)
		}
		if onDisk(path) {
			t.Errorf("%s: the socket's file is still there", env)
		}
	}
}

func TestPrivilegedHookListensForAnotherUser(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	s := describe(t, "listener", fmt.Sprintf("D_USER=%d", uid))
	path := filepath.Join(s.side, "sock") // in a directory of root's
	if err := os.Chmod(s.side, 0o755); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "N_PRIV=unix "+path+";tcp 127.0.0.1:0", "N_WORKER=tcp 127.0.0.1:0;unix "+path)
	for range 2 {
		s.start()
		pid, text := s.daemon(), slurp(s.err)
		if a, b := said(t, text, "N_PRIV", 1), said(t, text, "N_WORKER", 0); a != b {
			t.Errorf("the hook listens on %s, the worker on %s", a, b)
		}
		s.wantAnswer("unix", path, pid, 1)
		s.wantAnswer("tcp", said(t, text, "N_WORKER", 0), pid, 0)
		s.stop()
		if !onDisk(path) {
			t.Error("the worker's user has removed a file of root's")
		}
		os.Truncate(s.err, 0)
	}
}

func TestPortThatIsTakenIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := describe(t, "listener", "N_WORKER=tcp "+ln.Addr().String())
	r := s.do("start")
	if want := "reason: listen tcp " + ln.Addr().String() + ": bind: address already in use\n"; r.code != 1 || !strings.Contains(r.err, want) {
		t.Errorf("got %+v, want %q", r, want)
	}
	if os.Geteuid() != 0 {
		s := describe(t, "listener", "N_WORKER=tcp 127.0.0.1:80")
		if r := s.do("start"); !strings.Contains(r.err, "ports below 1024 are root's") && !strings.Contains(r.err, "in use") && r.code != 0 {
			t.Errorf("got %+v", r)
		}
	}
}

// A directory that others can read they can lock.
func TestStrangerWhoLocksTheDirectoryOfASocket(t *testing.T) {
	s := describe(t, "listener")
	path := filepath.Join(s.side, "sock")
	s.env = append(s.env, "N_WORKER=unix "+path)
	s.start()
	dir, err := os.Open(s.side)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	s.stop()
	if onDisk(path) {
		t.Error("the daemon has left its file")
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	s.start()
	s.wantAnswer("unix", path, s.daemon(), 0)
	s.stop()
}

func TestPathThatIsTakenIsNamed(t *testing.T) {
	s := describe(t, "listener")
	path := filepath.Join(s.side, "sock")
	s.env = append(s.env, "N_WORKER=unix "+path)
	if err := os.Symlink("nowhere", path); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("reason: listen unix %s: bind: address already in use by a symbolic link of user %d\n", path, os.Geteuid())
	if r := s.do("start"); r.code != 1 || !strings.Contains(r.err, want) {
		t.Errorf("got %+v, want %q", r, want)
	}
}

// activated starts the program as a service manager would, with the listeners for
// its first descriptors.
func (s *described) activated(names string, listeners ...net.Listener) *running {
	s.t.Helper()
	cmd := shell(s.command("start"), fmt.Sprintf(
		"export SYSTEMD_EXEC_PID=$$ LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s; ", len(listeners), names))
	for _, ln := range listeners {
		f, err := ln.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return s.begin(cmd)
}

func TestSocketActivation(t *testing.T) {
	testkit.Parallel(t)
	for _, closeAll := range []string{"", "1"} {
		t.Run("close="+closeAll, func(t *testing.T) {
			s := describe(t, "listener", "D_CLOSE="+closeAll)
			path := filepath.Join(s.dir, "sock")
			var all []net.Listener
			for _, a := range [][2]string{{"tcp", "127.0.0.1:0"}, {"unix", path}, {"tcp", "127.0.0.3:0"}} {
				ln, err := net.Listen(a[0], a[1])
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				all = append(all, ln)
			}
			s.env = append(s.env, "N_WORKER=fdname web;unix "+path)
			r := s.activated("web:admin:lonely", all...)
			text := waitText(t, r.out, "child: ")
			if want := `child: ""`; !strings.Contains(text, want) {
				t.Errorf("got %q, want %q: nothing for the worker's children", text, want)
			}
			s.wantAnswer("tcp", all[0].Addr().String(), r.cmd.Process.Pid, 0)
			s.wantAnswer("unix", path, r.cmd.Process.Pid, 1)
			if want := "the service manager's socket lonely (" + all[2].Addr().String() + ") is not one"; !strings.Contains(slurp(r.err), want) {
				t.Errorf("got %q, want %q", slurp(r.err), want)
			}
			s.stop()
			r.wait()
			if !onDisk(path) {
				t.Error("the service manager's file is gone")
			}
		})
	}
}

func TestListenNeedsADaemonsContext(t *testing.T) {
	if ln, err := daemonocle.Listen(context.Background(), "tcp", "127.0.0.1:0"); err == nil {
		ln.Close()
		t.Error("it listens for nobody")
	}
}
