//go:build linux

package daemonocle_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// fakeManager is a service manager's socket. Its messages are in the order in which
// they came.
type fakeManager struct {
	t        *testing.T
	path     string
	messages chan message
	barrier  sync.Mutex // who holds it lets a process wait at its barrier
}

// message is what a process has said, as the kernel knows who that is.
type message struct {
	text string
	from int
}

func newManager(t *testing.T) *fakeManager {
	t.Helper()
	dir := testkit.TempDir(t)
	m := &fakeManager{t: t, path: filepath.Join(dir, "notify"), messages: make(chan message, 1000)}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(m.path, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	conn, err := c.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			got, err := m.receive(c)
			if err != nil {
				return
			}
			m.messages <- got
		}
	}()
	return m
}

// receive takes the next message. Who has sent a descriptor with it waits for that to be
// closed.
func (m *fakeManager) receive(c *net.UnixConn) (message, error) {
	b, oob := make([]byte, 8192), make([]byte, 256)
	n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return message{}, err
	}
	got := message{text: string(b[:n])}
	controls, err := unix.ParseSocketControlMessage(oob[:oobn])
	for _, control := range controls {
		if cred, err := unix.ParseUnixCredentials(&control); err == nil {
			got.from = int(cred.Pid)
		}
		if fds, err := unix.ParseUnixRights(&control); err == nil {
			if got.text != "BARRIER=1" || len(fds) != 1 {
				got.text += fmt.Sprintf(" with %d descriptors", len(fds))
			}
			m.barrier.Lock()
			for _, fd := range fds {
				unix.Close(fd)
			}
			m.barrier.Unlock()
		}
	}
	return got, err
}

func (m *fakeManager) next(want string) message {
	m.t.Helper()
	select {
	case got := <-m.messages:
		return got
	case <-time.After(testkit.Patience):
		m.t.Fatalf("the service manager got nothing, want %q", want)
	}
	return message{}
}

// want takes the next messages.
func (m *fakeManager) want(messages ...string) {
	m.t.Helper()
	for _, want := range messages {
		if got := m.next(want); got.text != want {
			m.t.Fatalf("the service manager got %q, want %q", got.text, want)
		}
	}
}

// wantFrom takes the next messages, which must be that process's.
func (m *fakeManager) wantFrom(pid int, messages ...string) {
	m.t.Helper()
	for _, want := range messages {
		if got := m.next(want); got != (message{want, pid}) {
			m.t.Fatalf("the service manager got %q of process %d, want %q of %d", got.text, got.from, want, pid)
		}
	}
}

// wantNone fails the test if anything comes within the time.
func (m *fakeManager) wantNone(limit time.Duration) {
	m.t.Helper()
	select {
	case got := <-m.messages:
		m.t.Fatalf("the service manager got %q of process %d", got.text, got.from)
	case <-time.After(limit):
	}
}

// drain forgets what has come.
func (m *fakeManager) drain() {
	for len(m.messages) > 0 {
		<-m.messages
	}
}

// service starts the daemon as the service manager would.
func (s *described) service(m *fakeManager) *running {
	s.t.Helper()
	return s.begin(shell(s.command("start"), "export SYSTEMD_EXEC_PID=$$ NOTIFY_SOCKET="+m.path+"; "))
}

func TestServiceManagerHearsOfTheWholeLife(t *testing.T) {
	s, m := describe(t, "life", "L_QUIET=1", "D_REQUIRE_READY=1", "D_START_WINDOW=1ms"), newManager(t)
	r := s.service(m)
	s.tell("note loading")
	m.want("STATUS=loading") // and nothing before, for RequireReady
	s.tell("ready")
	s.tell("ready")
	s.tell("note serving\tall")
	m.want("READY=1", "STATUS=serving all")
	s.tell("sh env | grep -c -E '^(NOTIFY_SOCKET|WATCHDOG_USEC)='; ls -l /proc/self/fd | grep -c socket")
	if text := waitText(t, r.out, "sh:"); !strings.Contains(text, "\n0\n0\nsh:") {
		t.Errorf("a child inherits something of it: %q", text)
	}
	r.signal(syscall.SIGTERM)
	m.want("STOPPING=1")
	if got := r.wait(); got.code != 0 {
		t.Errorf("got %+v", got)
	}
	m.wantNone(0)
}

// A worker that is ready when it has counted as started already is no news: in the middle
// of a reload it would pass for the end of that.
func TestServiceManagerHearsOnceThatTheWorkerIsReady(t *testing.T) {
	s, m := describe(t, "life", "L_QUIET=1", "D_START_WINDOW=1ms"), newManager(t)
	r := s.service(m)
	m.want("READY=1")
	s.tell("ready")
	waitText(t, r.out, "ready: <nil>\n")
	r.signal(syscall.SIGTERM)
	m.want("STOPPING=1")
	r.wait()
	m.wantNone(0)
}

func TestServiceManagerHearsWhy(t *testing.T) {
	testkit.Parallel(t)
	for _, tt := range []struct {
		name     string
		env      string
		command  string
		messages []string
	}{
		{"worker ends", "", "return nil", []string{"READY=1", "STOPPING=1"}},
		{"worker fails", "", "return error:banana", []string{"READY=1", "STOPPING=1", "STATUS=banana"}},
		{"set-up fails", "L_PRIV=coconut", "", []string{"STATUS=coconut"}},
		{"alive", "L_QUIET=1", "", []string{"READY=1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, m := describe(t, "life", tt.env, "D_START_WINDOW=10ms"), newManager(t)
			r := s.service(m)
			if tt.command != "" {
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

func TestServiceManagerIsHeardOfFromAChroot(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	root := testkit.TempDir(t)
	s, m := describe(t, "life", fmt.Sprintf("D_USER=%d", uid), "D_CHROOT="+root, "D_PIDFILE=/foo.pid"), newManager(t)
	r := s.service(m)
	m.want("READY=1")
	s.tell("note inside")
	m.want("STATUS=inside")
	r.signal(syscall.SIGTERM)
	m.want("STOPPING=1")
	r.wait()
}

// A process that a service's process starts is not the service.
func TestServiceManagerMeansOneProcess(t *testing.T) {
	m := newManager(t)
	s := describe(t, "life", "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=10000", "LISTEN_FDS=1", "LISTEN_PID=1", "SYSTEMD_EXEC_PID=1")
	s.start()
	s.tell("note hello")
	s.tell("beat")
	s.tell("sh env | grep -E '^(NOTIFY|WATCHDOG|LISTEN)_'")
	if text := waitText(t, s.out, "sh:"); !strings.Contains(text, "note: <nil>\nbeat: <nil>\nsh: exit status 1") {
		t.Errorf("got %q", text)
	}
	s.stop()
	m.wantNone(testkit.Settle)
}

func TestStillStartingSaysWhatItIsDoing(t *testing.T) {
	growing(t, func(limit time.Duration) bool {
		s := describe(t, "life", "L_QUIET=1", "D_REQUIRE_READY=1", "D_START_TIMEOUT="+limit.String())
		r := s.begin(s.command("start"))
		s.tell("note loading 3 of 4")
		got := r.wait()
		if got.code != 75 {
			t.Errorf("got %+v", got)
		}
		s.stop()
		return strings.Contains(got.err, "\nreason: loading 3 of 4\n")
	})
}

const watchdogTime = 200 * time.Millisecond

func (s *described) watchedService(m *fakeManager, more string) *running {
	s.t.Helper()
	return s.begin(shell(s.command("start"), fmt.Sprintf(
		"export SYSTEMD_EXEC_PID=$$ NOTIFY_SOCKET=%s WATCHDOG_USEC=%d %s; ", m.path, watchdogTime.Microseconds(), more)))
}

// wantFed waits for the watchdog to be told several times.
func (m *fakeManager) wantFed() {
	m.t.Helper()
	m.drain()
	for fed := 0; fed < 3; {
		select {
		case got := <-m.messages:
			if got.text == "WATCHDOG=1" { // else the end of what came before
				fed++
			}
		case <-time.After(testkit.Patience):
			m.t.Fatal("the watchdog is not told that all is well")
		}
	}
}

// wantStarved waits until the watchdog has heard nothing for longer than it would
// suffer.
func (m *fakeManager) wantStarved() {
	m.t.Helper()
	testkit.WaitFor(m.t, "the watchdog to hear nothing", func() bool {
		m.drain()
		time.Sleep(2 * watchdogTime)
		return len(m.messages) == 0
	})
}

func TestWatchdogHearsOfHealth(t *testing.T) {
	s, m := describe(t, "life"), newManager(t)
	path := filepath.Join(s.side, "health")
	s.env = append(s.env, "L_HEALTH="+path)
	set := func(text string) {
		if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	r := s.watchedService(m, "WATCHDOG_PID=$$")
	waitText(t, r.out, "worker ")
	m.wantFed()
	for _, text := range []string{"coconut", "slow"} {
		set(text)
		m.wantStarved()
		set("")
		m.wantFed()
	}
	if got := waitText(t, r.err, "coconut"); strings.Count(got, "coconut") != 1 {
		t.Errorf("one illness was reported more than once: %q", got)
	}
	set("hang")
	waitText(t, r.out, "health hangs")
	m.wantStarved()
	r.signal(syscall.SIGTERM) // is heard nevertheless
	if got := r.wait(); got.code != 0 || strings.Count(got.out, "health hangs") != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestWatchdogHearsHeartbeats(t *testing.T) {
	s, m := describe(t, "life", "L_STUBBORN=1"), newManager(t)
	r := s.watchedService(m, "")
	waitText(t, r.out, "worker ")
	m.wantFed() // the daemon's own loop, until the first beat
	s.tell("beat")
	waitText(t, r.out, "beat: <nil>") // before that, silence says nothing
	m.wantStarved()
	for range 3 {
		time.Sleep(watchdogTime)
		s.tell("beat")
		m.want("WATCHDOG=1")
	}
	r.signal(syscall.SIGTERM)
	m.want("STOPPING=1")
	m.wantFed() // the goodbye has its own limit
	s.tell("return nil")
	r.wait()
}

func TestWatchdogOfAnotherProcess(t *testing.T) {
	s, m := describe(t, "life"), newManager(t)
	r := s.watchedService(m, "WATCHDOG_PID=1")
	m.want("READY=1")
	s.tell("beat")
	waitText(t, r.out, "beat: <nil>")
	m.wantNone(2 * watchdogTime)
	r.signal(syscall.SIGTERM)
	r.wait()
}

// A service manager whose socket is not there: the daemon works all the same.
func TestServiceManagerThatIsNotThere(t *testing.T) {
	s, m := describe(t, "life"), newManager(t)
	m.path += "-not"
	r := s.service(m)
	s.tell("note hello")
	waitText(t, r.out, "note: <nil>")
	if got := slurp(r.err); !strings.Contains(got, "ERROR: Connect to the service manager: "+m.path) {
		t.Errorf("got %q", got)
	}
	r.signal(syscall.SIGTERM)
	if got := r.wait(); got.code != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestNobodyToNotify(t *testing.T) {
	if daemonocle.Notify(context.Background(), "hello") == nil || daemonocle.Heartbeat(context.Background()) == nil {
		t.Error("no error for a context that is no worker's")
	}
}
