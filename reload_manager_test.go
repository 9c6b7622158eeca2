//go:build linux

package daemonocle_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func init() { helpers["slow"] = slowProgram }

func microseconds(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

func signalTo(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// wantReloading takes the message with which a reload begins. f causes it.
func (m *fakeManager) wantReloading(pid int, f func()) {
	m.t.Helper()
	since := microseconds(m.t)
	f()
	got := m.next("RELOADING=1")
	text, ok := strings.CutPrefix(got.text, "RELOADING=1\nMONOTONIC_USEC=")
	at, err := strconv.ParseInt(text, 10, 64)
	if now := microseconds(m.t); !ok || err != nil || at < since || at > now || got.from != pid {
		m.t.Fatalf("the service manager got %q of process %d, want a time from %d to %d of process %d", got.text, got.from, since, now, pid)
	}
}

func mainPIDOf(pid int) string { return fmt.Sprintf("MAINPID=%d", pid) }

var mainPID = regexp.MustCompile(`^MAINPID=(\d+)$`)

// wantMainPID takes what the process says when it hands the service over, and returns
// to whom.
func (m *fakeManager) wantMainPID(from int) (to int) {
	m.t.Helper()
	got := m.next("MAINPID")
	match := mainPID.FindStringSubmatch(got.text)
	if match == nil || got.from != from {
		m.t.Fatalf("the service manager got %q of process %d, want MAINPID of process %d", got.text, got.from, from)
	}
	m.wantFrom(from, "BARRIER=1")
	to, _ = strconv.Atoi(match[1])
	return to
}

// wantSuccession takes all that comes of a reload that f causes and that goes well; the
// worker says that it is ready at once.
func (m *fakeManager) wantSuccession(order string, from int, f func()) (to int) {
	m.t.Helper()
	m.wantReloading(from, f)
	to = m.wantMainPID(from)
	if order == orders["ready first"] {
		m.wantFrom(to, "READY=1\nSTATUS=")
	} else {
		m.wantFrom(to, "STATUS=", "READY=1")
	}
	return to
}

// wantEnd ends the process and takes its last words.
func (m *fakeManager) wantEnd(pid int, messages ...string) {
	m.t.Helper()
	signalTo(m.t, pid, syscall.SIGTERM)
	m.wantFrom(pid, append([]string{"STOPPING=1"}, messages...)...)
	testkit.WaitGone(m.t, pid)
	m.wantNone(testkit.Settle)
}

func TestServiceManagerHearsOfReloads(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		// The old worker's error is of no interest to the manager when that has a
		// new main process.
		s, m := describe(t, "life", order, "L_RETURN=error:banana"), newManager(t)
		r := s.service(m)
		pid := r.cmd.Process.Pid
		m.wantFrom(pid, "READY=1")
		for generation := 2; generation < 5; generation++ {
			next := m.wantSuccession(order, pid, func() {
				if generation == 3 {
					signalTo(t, pid, syscall.SIGHUP)
				} else {
					s.tell("reload")
				}
			})
			testkit.WaitGone(t, pid)
			pid = next
			if got := s.daemon(); got != pid {
				t.Errorf("process %d is the daemon, the service manager was told %d", got, pid)
			}
			s.tell("note generation %d", generation)
			m.wantFrom(pid, fmt.Sprintf("STATUS=generation %d", generation))
		}
		m.wantEnd(pid, "STATUS=banana")
	})
}

func TestServiceManagerIsNotInherited(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s, m := describe(t, "life", order), newManager(t)
		r := s.watchedService(m, "WATCHDOG_PID=$$ LISTEN_FDS=0 LISTEN_PID=$$")
		pid := r.cmd.Process.Pid
		waitText(t, r.out, workerLine(pid))
		s.tell("reload")
		pid = s.awaitReload(pid)
		s.alone(pid)
		s.tell("sh env | grep -c -E '^(NOTIFY|WATCHDOG|LISTEN)_'; ls -l /proc/self/fd | grep -c -E 'socket|foo.pid'")
		if text := waitText(t, r.out, "sh:"); !strings.Contains(text, "\n0\n0\nsh:") {
			t.Errorf("a child inherits something of it: %q", text)
		}
		signalTo(t, pid, syscall.SIGTERM)
		testkit.WaitGone(t, pid)
	})
}

func TestServiceManagerHearsWhyAReloadFailed(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s, m := describe(t, "life", order), newManager(t)
		refuse, fail := filepath.Join(s.side, "refuse"), filepath.Join(s.side, "fail")
		s.with("L_REFUSE="+refuse, "L_FAIL="+fail)
		pid := s.service(m).cmd.Process.Pid
		m.wantFrom(pid, "READY=1")
		s.tell("note serving")
		m.wantFrom(pid, "STATUS=serving")
		wantFailure := func(path, why string) {
			t.Helper()
			must(t, os.WriteFile(path, []byte("coconut\nREADY=1"), 0o644))
			defer os.Remove(path)
			m.wantReloading(pid, func() { s.tell("reload") })
			m.wantFrom(pid, "READY=1\nSTATUS=reload failed: "+why)
		}
		for range 2 {
			wantFailure(refuse, "coconut READY=1")
		}
		if order == orders["ready first"] {
			wantFailure(fail, "child exited immediately: coconut READY=1")
		}
		// It is forgotten when all is well.
		next := m.wantSuccession(order, pid, func() { s.tell("reload") })
		testkit.WaitGone(t, pid)
		m.wantEnd(next)
	})
}

// slowProgram is prog with a worker that says which generation it is, and is ready when
// somebody opens the FIFO L_FIFO for writing. M_BEAT: before that its heart beats once.
// M_HOOK: a file, whose text is the error of a reload hook; no file: none.
func slowProgram() {
	c := progConfig()
	c.Worker = func(ctx context.Context) error {
		text := fmt.Sprintf("generation %d", daemonocle.Generation(ctx))
		err := daemonocle.Notify(ctx, text)
		if os.Getenv("M_BEAT") != "" {
			err = errors.Join(err, daemonocle.Heartbeat(ctx))
		}
		fmt.Println(text)
		f, failed := os.Open(os.Getenv("L_FIFO"))
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		f.Close()
		err = daemonocle.Ready(ctx)
		<-ctx.Done()
		return err
	}
	if path := os.Getenv("M_HOOK"); path != "" {
		c.Hooks.Reload = func(context.Context) error {
			if text := slurp(path); text != "" {
				return errors.New(text)
			}
			return nil
		}
	}
	d, err := daemonocle.New(c)
	if err != nil {
		panic(err)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

// letGo makes a worker of slowProgram ready.
func (s *described) letGo() {
	s.t.Helper()
	f, err := os.OpenFile(s.setting("L_FIFO"), os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	f.Close()
}

// What the new worker says of itself while the old one is the service is kept until it
// is that.
func TestServiceManagerHearsTheNewWorkerAfterwards(t *testing.T) {
	testkit.Parallel(t)
	for name, beats := range map[string]bool{"heartbeat": true, "status": false} {
		t.Run(name, func(t *testing.T) {
			s, m := describe(t, "slow", orders["ready first"]), newManager(t)
			var beat []string
			watch := ""
			if beats {
				s.with("M_BEAT=1")
				beat = []string{"WATCHDOG=1"}
				watch = fmt.Sprintf("export WATCHDOG_USEC=%d; ", time.Hour.Microseconds())
			}
			r := s.begin(shell(s.command("start"), watch+"export SYSTEMD_EXEC_PID=$$ NOTIFY_SOCKET="+m.path+"; "))
			pid := r.cmd.Process.Pid
			m.wantFrom(pid, append([]string{"STATUS=generation 1"}, beat...)...)
			s.letGo()
			m.wantFrom(pid, "READY=1")
			m.wantReloading(pid, func() { signalTo(t, pid, syscall.SIGHUP) })
			waitText(t, r.out, "generation 2\n")
			m.wantNone(testkit.Settle)
			s.letGo()
			next := m.wantMainPID(pid)
			m.wantFrom(next, append([]string{"READY=1\nSTATUS=generation 2"}, beat...)...)
			testkit.WaitGone(t, pid)
			m.wantEnd(next)
		})
	}
}

func TestServiceManagerHearsOfTheReloadHook(t *testing.T) {
	s, m := describe(t, "slow", orders["ready first"]), newManager(t)
	hook := filepath.Join(s.side, "hook")
	s.with("M_HOOK=" + hook)
	pid := s.service(m).cmd.Process.Pid
	s.letGo()
	m.wantFrom(pid, "STATUS=generation 1", "READY=1")
	for range 2 {
		must(t, os.WriteFile(hook, []byte("coconut"), 0o644))
		m.wantReloading(pid, func() { signalTo(t, pid, syscall.SIGHUP) })
		m.wantFrom(pid, "READY=1\nSTATUS=reload failed: coconut")
		must(t, os.Remove(hook))
		m.wantReloading(pid, func() { signalTo(t, pid, syscall.SIGHUP) })
		m.wantFrom(pid, "READY=1\nSTATUS=generation 1")
	}
	m.wantEnd(pid)
}

// The watchdog hears the main process, and nobody else; and the new one at once, for
// nobody knows how long ago the old one has spoken.
func TestWatchdogHearsTheMainProcess(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s, m := describe(t, "life", order), newManager(t)
		r := s.begin(shell(s.command("start"), "export SYSTEMD_EXEC_PID=$$ WATCHDOG_USEC=4000 NOTIFY_SOCKET="+m.path+"; "))
		pid := r.cmd.Process.Pid
		waitText(t, r.out, workerLine(pid))
		for range 5 {
			signalTo(t, pid, syscall.SIGHUP)
			reloading := false
			got := m.next("MAINPID")
			for ; !strings.HasPrefix(got.text, "MAINPID="); got = m.next("MAINPID") {
				if got.from != pid {
					t.Fatalf("process %d says %q while %d is the service", got.from, got.text, pid)
				}
				reloading = reloading || strings.HasPrefix(got.text, "RELOADING=1\n")
			}
			next, err := strconv.Atoi(strings.TrimPrefix(got.text, "MAINPID="))
			if err != nil || got.from != pid || !reloading {
				t.Fatalf("process %d says %q, reloading %v", got.from, got.text, reloading)
			}
			m.wantFrom(pid, "BARRIER=1")
			if order == orders["ready first"] {
				m.wantFrom(next, "READY=1\nSTATUS=", "WATCHDOG=1")
			} else {
				m.wantFrom(next, "STATUS=", "WATCHDOG=1")
			}
			for fed := 0; fed < 10; {
				got := m.next("WATCHDOG=1")
				if got.from != next {
					t.Fatalf("process %d says %q while %d is the service", got.from, got.text, next)
				}
				if got.text == "WATCHDOG=1" {
					fed++
				}
			}
			pid = next
		}
		signalTo(t, pid, syscall.SIGTERM)
		testkit.WaitGone(t, pid)
	})
}

// Without a PID file there is no reload, and a SIGHUP from who expects one is no end.
func TestServiceManagerHearsThatThereIsNoReload(t *testing.T) {
	s, m := describe(t, "life"), newManager(t)
	s.with("D_PIDFILE=")
	r := s.service(m)
	pid := r.cmd.Process.Pid
	m.wantFrom(pid, "READY=1")
	m.wantReloading(pid, func() { signalTo(t, pid, syscall.SIGHUP) })
	m.wantFrom(pid, "READY=1\nSTATUS=reload failed: cannot reload daemon without PID file")
	waitText(t, r.err, "ERROR: Reload: cannot reload daemon without PID file\n")
	m.wantEnd(pid)
}

// The signal may have come for what the new one has read already.
func TestReloadThatTheNewOneOwes(t *testing.T) {
	s := describe(t, "life", "L_STUBBORN=1")
	pid := s.start()
	signalTo(t, pid, syscall.SIGHUP)
	waitText(t, s.out, "cause: reloading")
	next := 0
	for _, p := range s.processes() {
		if p != pid {
			next = p
		}
	}
	if next == 0 {
		t.Fatal("there is no new process")
	}
	signalTo(t, next, syscall.SIGHUP)
	s.tell("return")
	testkit.WaitGone(t, pid)
	testkit.WaitFor(t, "the other reload", func() bool { return strings.Count(slurp(s.out), "cause: reloading") == 2 })
	s.tell("return")
	testkit.WaitGone(t, next)
	last := s.awaitReload(next)
	waitText(t, s.out, workerLine(last))
	s.alone(last)
	if got := slurp(s.err); got != "" {
		t.Errorf("stderr has %q", got)
	}
	signalTo(t, last, syscall.SIGTERM)
	s.tell("return")
	testkit.WaitGone(t, last)
}

// A stop that comes while the old one says goodbye is the service's end.
func TestServiceManagerHearsOfAStopDuringAReload(t *testing.T) {
	s, m := describe(t, "life", "L_STUBBORN=1"), newManager(t)
	r := s.service(m)
	pid := r.cmd.Process.Pid
	m.wantFrom(pid, "READY=1")
	m.wantReloading(pid, func() { signalTo(t, pid, syscall.SIGHUP) })
	waitText(t, r.out, "cause: reloading")
	signalTo(t, pid, syscall.SIGTERM)
	m.wantFrom(pid, "STOPPING=1")
	s.tell("return")
	if got := r.wait(); got.code != 0 {
		t.Errorf("got %+v", got)
	}
	testkit.WaitFor(t, "nobody to be left", func() bool { return len(s.processes()) == 0 })
	m.wantNone(testkit.Settle)
	if onDisk(s.pid) {
		t.Error("the PID file is there still")
	}
}

// handingOver brings a service to the middle of a hand-over, which goes on when the
// barrier is unlocked.
func (s *described) handingOver(m *fakeManager) (r *running, pid, next int) {
	s.t.Helper()
	r = s.service(m)
	pid = r.cmd.Process.Pid
	m.wantFrom(pid, "READY=1")
	m.barrier.Lock()
	m.wantReloading(pid, func() { signalTo(s.t, pid, syscall.SIGHUP) })
	next, _ = strconv.Atoi(strings.TrimPrefix(m.next("MAINPID").text, "MAINPID="))
	return r, pid, next
}

// A stop in the middle of the hand-over reaches whoever is the daemon in the end, whether
// it is said to the old process or to the new one. Nobody leaves the PID file to the other.
func TestStopDuringTheHandOver(t *testing.T) {
	testkit.Parallel(t)
	for _, to := range []string{"old", "new"} {
		t.Run(to, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				s, m := describe(t, "life", order), newManager(t)
				r, pid, next := s.handingOver(m)
				signalTo(t, map[string]int{"old": pid, "new": next}[to], syscall.SIGTERM)
				m.wantNone(testkit.Settle) // and it is heard meanwhile
				m.barrier.Unlock()
				m.wantFrom(pid, "BARRIER=1")
				testkit.WaitGone(t, pid)
				testkit.WaitGone(t, next)
				for !strings.Contains(m.next("STOPPING=1").text, "STOPPING=1") {
				}
				if onDisk(s.pid) {
					t.Error("the PID file is there still")
				}
				if got := slurp(r.err); got != "" {
					t.Errorf("stderr has %q", got)
				}
			})
		})
	}
}

// A service manager that does not say that it knows of the new process must not lose the
// daemon: where both are ready the old one stays, and where the old one has ended already
// the new one comes.
func TestServiceManagerThatIsDeafDuringTheHandOver(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		s, m := describe(t, "life", order), newManager(t)
		r, pid, next := s.handingOver(m)
		if order == orders["ready first"] {
			testkit.WaitGone(t, next) // which takes as long as the old one waits for the manager
			m.barrier.Unlock()
			m.wantFrom(pid, "BARRIER=1", mainPIDOf(pid))
			if got := m.next("READY=1"); got.from != pid || !strings.HasPrefix(got.text, "READY=1\nSTATUS=reload failed: ") {
				t.Errorf("the service manager got %+v", got)
			}
			next = m.wantSuccession(order, pid, func() { signalTo(t, pid, syscall.SIGHUP) })
		} else {
			testkit.WaitGone(t, pid)
			m.barrier.Unlock()
			m.wantFrom(pid, "BARRIER=1")
			m.wantFrom(next, "STATUS=", "READY=1")
		}
		testkit.WaitGone(t, pid)
		if got := slurp(r.err); !strings.Contains(got, "wait for the service manager") {
			t.Errorf("stderr has %q", got)
		}
		m.wantEnd(next)
	})
}

// Also if the old worker has returned by itself meanwhile, so that its process ends anyway.
func TestStopDuringTheHandOverOfAWorkerThatHasReturned(t *testing.T) {
	s, m := describe(t, "life", orders["ready first"]), newManager(t)
	r, pid, next := s.handingOver(m)
	testkit.Freeze(t, next)
	s.tellGeneration(1, "return")
	waitText(t, s.hooks, "Shutting down normally")
	signalTo(t, pid, syscall.SIGTERM)
	m.wantNone(testkit.Settle) // and it is heard meanwhile
	signalTo(t, next, syscall.SIGCONT)
	m.barrier.Unlock()
	testkit.WaitGone(t, pid)
	testkit.WaitGone(t, next)
	if onDisk(s.pid) {
		t.Error("the PID file is there still")
	}
	if got := slurp(r.err); got != "" {
		t.Errorf("stderr has %q", got)
	}
}

// Who is told by two that it is to end is told once: nothing is cut short.
func TestEndThatIsPassedOnIsOneEnd(t *testing.T) {
	s, m := newReloader(t, "service", orders["ready first"]), newManager(t)
	at := s.hold("goodbye")
	r, pid, next := s.handingOver(m)
	signalTo(t, next, syscall.SIGTERM)
	at.reached()
	signalTo(t, pid, syscall.SIGINT)
	m.wantNone(testkit.Settle) // and it is heard meanwhile
	m.barrier.Unlock()
	m.wantFrom(pid, "BARRIER=1")
	time.Sleep(testkit.Settle)
	if testkit.Gone(next) {
		t.Error("the new process did not wait for its worker")
	}
	at.open()
	testkit.WaitGone(t, pid)
	testkit.WaitGone(t, next)
	if got := slurp(r.err); got != "" {
		t.Errorf("stderr has %q", got)
	}
}
