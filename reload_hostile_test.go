//go:build linux

package daemonocle_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func init() { helpers["stranger"] = stranger }

// stranger is a local user who is in a daemon's way. It says "ready" when it is, and goes
// on until its stdin ends.
//
//	name NAME     takes the abstract name, as soon as it is free
//	silent NAME   connects two hundred times and says nothing
//	garbage NAME  connects and writes megabytes, again and again
//	lock PATH     takes a read lock on byte 0 as soon as it is free
func stranger() {
	switch what, arg := os.Args[1], os.Args[2]; what {
	case "name":
		for {
			ln, err := net.Listen("unix", arg)
			if err == nil {
				go func() {
					for {
						c, err := ln.Accept()
						if err != nil {
							return
						}
						fmt.Fprintf(c, "\"\" \"%d\" \"2\" \"\" \"\"\n", os.Getpid()) // all is well
						c.Close()
					}
				}()
				break
			}
		}
		fmt.Println("ready")
	case "silent":
		var all []net.Conn
		for range 200 {
			if c, err := net.Dial("unix", arg); err == nil {
				all = append(all, c)
			}
		}
		fmt.Println("ready", len(all))
		defer func() { fmt.Fprintln(os.Stderr, len(all)) }()
	case "garbage":
		for range 20 {
			go func() {
				line := bytes.Repeat([]byte("\"\\x00reload"), 1<<17)
				for {
					if c, err := net.Dial("unix", arg); err == nil {
						c.Write(line)
						c.Close()
					}
				}
			}()
		}
		fmt.Println("ready")
	case "lock":
		f, err := os.Open(arg)
		if err != nil {
			panic(err)
		}
		fmt.Println("ready")
		lock := unix.Flock_t{Type: unix.F_RDLCK, Start: 0, Len: 1}
		go func() { // it may never get it
			os.Stdin.Read(make([]byte, 1))
			os.Exit(0)
		}()
		for unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock) != nil {
		}
		fmt.Println("locked")
		select {}
	}
	os.Stdin.Read(make([]byte, 1))
}

// attacked runs the stranger as an ordinary user, if the daemon is not his, until the test or the
// function ends it.
func (s *reloader) attacked(asOwner bool, args ...string) (r *running, end func()) {
	s.t.Helper()
	cmd := testkit.Helper(s.t, "stranger", args...)
	if !asOwner {
		uid, gid := testkit.Unprivileged(s.t)
		cmd.Path = "/proc/self/exe"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	stdin, err := cmd.StdinPipe()
	must(s.t, err)
	r = s.begin(cmd)
	return r, func() { stdin.Close(); r.wait() }
}

// controlName is where the daemon listens to those who ask it to reload.
func (s *reloader) controlName() string {
	s.t.Helper()
	var st unix.Stat_t
	must(s.t, unix.Stat(s.pid, &st))
	return fmt.Sprintf("@daemonocle/%x:%x", uint64(st.Dev), st.Ino)
}

// Names of sockets are those of a network namespace.
func TestReloadFromAnotherNetwork(t *testing.T) {
	if os.Getuid() != 0 {
		testkit.Skip(t, "root", "only root can have a network namespace for itself")
	}
	s := newReloader(t, "detached", orders["set up"])
	pid := s.up()
	asker := s.tool("util-linux", "unshare", "--net", self(t), "reload")
	asker.Env = append(asker.Env, "TESTKIT_NODEATH=1")
	got := s.begin(asker).wait()
	want := fmt.Sprintf("ERROR: Process %d cannot be asked (the daemon is in another network namespace)\nhint: Ask from where it runs, or send SIGHUP to process %d.\n", pid, pid)
	if got != (ending{"Reloading foo ... FAILED\n", want, 1}) {
		t.Errorf("got %+v, want %q", got, want)
	}
	s.untouched(t, pid, "")
	s.down()
}

func TestStrangerWhoTakesTheDaemonsName(t *testing.T) {
	testkit.Parallel(t)
	for _, owner := range []bool{true, false} {
		t.Run(fmt.Sprint("owner=", owner), func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				s := newReloader(t, "detached", order)
				pid := s.up()
				// It is free for as long as the new one needs to take the dead one's place.
				name := s.controlName()
				at := s.hold("main")
				must(t, syscall.Kill(pid, syscall.SIGHUP))
				at.reached()
				s.unplan("main")
				kill(t, pid)
				r, end := s.attacked(owner, "name", name)
				waitText(t, r.out, "ready")
				at.open()
				next := s.await(pid)
				waitText(t, s.out, reloadedLine)
				s.only(next)
				got := s.do("reload")
				if got.code != 1 || got.out != "Reloading foo ... FAILED\n" || !strings.HasPrefix(got.err, fmt.Sprintf("ERROR: Process %d cannot be asked (another process answers in the daemon's name)\n", next)) {
					t.Errorf("reload: %+v", got)
				}
				s.only(next)
				must(t, syscall.Kill(next, syscall.SIGHUP))
				last := s.await(next)
				testkit.WaitGone(t, next)
				s.only(last)
				waitText(t, s.err, "ERROR: Listen to who asks for a reload: bind: address already in use; SIGHUP works nevertheless\n")
				end()
				s.dialControl().Close()
				if got := s.do("reload"); got != (ending{reloadedLine, "", 0}) {
					t.Errorf("reload: %+v", got)
				}
				s.only(s.await(0))
				s.down()
			})
		})
	}
}

func TestStrangerWhoTalks(t *testing.T) {
	testkit.Parallel(t)
	for _, owner := range []bool{true, false} {
		for _, what := range []string{"silent", "garbage"} {
			t.Run(fmt.Sprint(what, " owner=", owner), func(t *testing.T) {
				eachOrder(t, func(t *testing.T, order string) {
					s := newReloader(t, "detached", order)
					pid := s.up()
					r, end := s.attacked(owner, what, s.controlName())
					waitText(t, r.out, "ready")
					for range 3 {
						if got := s.do("reload"); got != (ending{reloadedLine, "", 0}) {
							t.Errorf("reload: %+v", got)
						}
						testkit.WaitGone(t, pid)
						pid = s.holder()
					}
					end()
					s.only(pid)
					s.down()
				})
			})
		}
	}
}

func TestStrangerWhoAsks(t *testing.T) {
	uid, gid := testkit.Unprivileged(t)
	s := newReloader(t, "detached")
	pid := s.up()
	s.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	got := s.do("reload")
	if got.code != 1 || !strings.HasPrefix(got.err, "ERROR: Only root and the daemon's own user may ask it to reload\n") {
		t.Errorf("got %+v", got)
	}
	s.user = nil
	s.untouched(t, pid, "")
	s.down()
}

// The lock that says who the daemon is may be in somebody's hands when the new one is to
// have it.
func TestStrangerWhoReadLocksDuringTheHandOver(t *testing.T) {
	testkit.Parallel(t)
	for _, owner := range []bool{true, false} {
		t.Run(fmt.Sprint("owner=", owner), func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				s := newReloader(t, "detached", order)
				must(t, os.Chmod(s.dir, 0o755))
				pid := s.up()
				r, end := s.attacked(owner, "lock", s.pid)
				waitText(t, r.out, "ready")
				began := time.Now()
				locked := 0
				for range 5 {
					if got := s.do("reload"); got != (ending{reloadedLine, "", 0}) {
						t.Fatalf("reload after %v: %+v; the stranger %q", time.Since(began), got, slurp(r.out))
					}
					testkit.WaitGone(t, pid)
					pid = s.daemon()
					if strings.Contains(slurp(r.out), "locked") {
						locked++
						if got := s.do("status"); got.code != 0 || !strings.HasPrefix(got.out, fmt.Sprintf("foo -- pid: %d, ", pid)) {
							t.Errorf("status: %+v, want process %d", got, pid)
						}
					}
				}
				t.Logf("locked in %d of 5 reloads, which took %v", locked, time.Since(began))
				end()
				if got := s.do("reload"); got != (ending{reloadedLine, "", 0}) {
					t.Errorf("reload: %+v", got)
				}
				testkit.WaitGone(t, pid)
				s.only(s.await(0))
				s.down()
			})
		})
	}
}
