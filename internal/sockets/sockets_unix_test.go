//go:build unix

package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { testkit.Main(m, nil) }

func nothing() []Passed { return nil }

func newSet(t *testing.T) *Set {
	s := &Set{}
	t.Cleanup(s.End)
	return s
}

func (s *Set) mustListen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	ln, err := s.Listen(context.Background(), network, address, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// handOn gives a set what another process would get from this one.
func (s *Set) handOn(t *testing.T) *Set {
	t.Helper()
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	next := newSet(t)
	for _, f := range files {
		next.Hand(f)
	}
	return next
}

// reaches fails the test unless a client of the address gets to the listener.
func reaches(t *testing.T, ln net.Listener) {
	t.Helper()
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if d, ok := ln.(interface{ SetDeadline(time.Time) error }); ok {
		d.SetDeadline(time.Now().Add(testkit.Patience))
		defer d.SetDeadline(time.Time{})
	}
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
}

func refused(t *testing.T, a net.Addr) {
	t.Helper()
	if c, err := net.Dial(a.Network(), a.String()); err == nil {
		c.Close()
		t.Errorf("somebody still listens on %s", a)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// leave makes the file of a Unix socket whose process is dead.
func leave(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
}

func TestTheSameAddressIsTheSameListenerUntilItIsClosed(t *testing.T) {
	s := newSet(t)
	path := filepath.Join(testkit.TempDir(t), "s")
	for _, a := range []struct{ network, address string }{{"tcp", "127.0.0.1:0"}, {"unix", path}} {
		first := s.mustListen(t, a.network, a.address)
		if again := s.mustListen(t, a.network, a.address); again != first {
			t.Errorf("%s: got another listener", a.network)
		}
		first.Close()
		refused(t, first.Addr())
		reaches(t, s.mustListen(t, a.network, a.address))
	}
}

func TestHandedOverSocketsAreFoundByWordsAndByAddress(t *testing.T) {
	path := filepath.Join(testkit.TempDir(t), "s")
	s := newSet(t)
	any := s.mustListen(t, "tcp", "127.0.0.1:0")
	file := s.mustListen(t, "unix", path)
	_, port, _ := net.SplitHostPort(any.Addr().String())
	for _, a := range []struct {
		network, address string
		want             net.Listener
	}{
		{"tcp", "127.0.0.1:0", any},
		{"tcp", any.Addr().String(), any},
		{"tcp4", any.Addr().String(), any},
		{"tcp", "[::ffff:127.0.0.1]:" + port, any},
		{"unix", path, file},
	} {
		next := s.handOn(t)
		ln := next.mustListen(t, a.network, a.address)
		if got := ln.Addr().String(); got != a.want.Addr().String() {
			t.Errorf("%s %s: got %s, want %s", a.network, a.address, got, a.want.Addr())
		}
		reaches(t, ln)
	}
	for _, address := range []string{"127.0.0.2:" + port, "127.0.0.1:0"} {
		network := "tcp"
		if address == "127.0.0.1:0" {
			network = "tcp4" // other words: another free port is wanted
		}
		if ln := s.handOn(t).mustListen(t, network, address); ln.Addr().String() == any.Addr().String() {
			t.Errorf("%s %s: got the socket of another address", network, address)
		}
	}
}

func TestWhatIsClosedIsNotHandedOver(t *testing.T) {
	s := newSet(t)
	s.mustListen(t, "tcp", "127.0.0.1:0").Close()
	s.mustListen(t, "tcp", "[::1]:0")
	files, err := s.Files()
	if err != nil || len(files) != 1 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	closed(files)
}

func closed(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func TestUnclaimedSocketsAreClosed(t *testing.T) {
	for _, listens := range []bool{false, true} { // the second set, at all
		t.Run(fmt.Sprint(listens), func(t *testing.T) {
			path := filepath.Join(testkit.TempDir(t), "s")
			s := newSet(t)
			kept, left := s.mustListen(t, "tcp", "127.0.0.1:0"), s.mustListen(t, "unix", path)
			next := s.handOn(t)
			s.End()
			if listens {
				next.mustListen(t, "tcp", "127.0.0.1:0")
			}
			if names := next.CloseUnclaimed(); names != nil {
				t.Errorf("got %q, but no service manager listens there", names)
			}
			refused(t, left.Addr())
			if exists(path) {
				t.Error("its file is still there")
			}
			if listens {
				reaches(t, next.mustListen(t, "tcp", "127.0.0.1:0"))
			} else {
				refused(t, kept.Addr())
			}
		})
	}
}

// The file of a Unix socket goes with the last who listens on it.
func TestFileGoesWithTheLastListener(t *testing.T) {
	path := filepath.Join(testkit.TempDir(t), "s")
	s := newSet(t)
	s.mustListen(t, "unix", path)
	next := s.handOn(t)
	ln := next.mustListen(t, "unix", path)
	s.End()
	if !exists(path) {
		t.Fatal("the first one's end has removed it")
	}
	reaches(t, ln)
	ln.Close()
	if !exists(path) {
		t.Fatal("to close it has removed it")
	}
	next.End()
	if exists(path) {
		t.Error("it is still there")
	}
	if _, err := next.Listen(context.Background(), "unix", path, nothing); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: got %v", err)
	}
}

func TestForeignFilesStay(t *testing.T) {
	dir := testkit.TempDir(t)
	path := filepath.Join(dir, "s")

	s := newSet(t)
	s.mustListen(t, "unix", path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s.End()
	reaches(t, other)

	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	gram := filepath.Join(dir, "gram")
	g, err := net.ListenPacket("unixgram", gram)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, plain, gram, link} {
		kind := map[string]string{plain: "file", link: "symbolic link"}[path]
		if kind == "" {
			kind = "socket"
		}
		_, err := newSet(t).Listen(context.Background(), "unix", path, nothing)
		if want := fmt.Sprintf("listen unix %s: bind: address already in use by a %s of user %d", path, kind, os.Geteuid()); !errors.Is(err, syscall.EADDRINUSE) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if !exists(path) {
			t.Errorf("%s is gone", path)
		}
	}
}

// Of many who find the file of a dead one, one gets the address, and keeps it.
func TestManyMeetAStaleFile(t *testing.T) {
	for range 20 {
		path := filepath.Join(testkit.TempDir(t), "s")
		leave(t, path)
		var mu sync.Mutex
		var won []net.Listener
		var all sync.WaitGroup
		begin := make(chan struct{})
		for range 16 {
			s := newSet(t)
			all.Go(func() {
				<-begin
				ln, err := s.Listen(context.Background(), "unix", path, nothing)
				if err == nil {
					mu.Lock()
					won = append(won, ln)
					mu.Unlock()
				} else if !errors.Is(err, syscall.EADDRINUSE) {
					t.Error(err)
				}
			})
		}
		close(begin)
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("%d got the address", len(won))
		}
		reaches(t, won[0])
	}
}

// Whoever can read a directory can lock it.
func TestStrangerWhoLocksTheDirectory(t *testing.T) {
	dir := testkit.TempDir(t)
	path := filepath.Join(dir, "s")
	leave(t, path)
	stranger, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if err := unix.Flock(int(stranger.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	s := newSet(t)
	reaches(t, s.mustListen(t, "unix", path))
	s.End()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestLockOfASocket(t *testing.T) {
	dir := testkit.TempDir(t)
	path := filepath.Join(dir, "s")
	name := filepath.Join(dir, ".s.lock")
	leave(t, path)
	// A dead process has left it, too.
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := at(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	unlock, err := p.lock(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = newSet(t).Listen(context.Background(), "unix", path, nothing)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "lock "+name) {
		t.Errorf("got %v", err)
	}
	// Who has opened it before it went has no lock by that.
	late, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	unlock()
	if exists(name) {
		t.Error("it is still there")
	}
	if p.names(".s.lock", int(late.Fd())) {
		t.Error("a file that is gone has the name")
	}
	unlock, err = p.lock(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v: others could lock it", info.Mode(), err)
	}
	if p.names(".s.lock", int(late.Fd())) {
		t.Error("a file that is gone has the name of another")
	}
	unlock()
	newSet(t).mustListen(t, "unix", path)
}

// passes gives duplicates of what the listeners are, as a service manager would.
func passes(t *testing.T, names []string, files ...syscall.Conn) (list []Passed) {
	t.Helper()
	for i, f := range files {
		c, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		c.Control(func(old uintptr) {
			fd, err := unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, Passed{fd, names[i]})
		})
	}
	return list
}

func TestServiceManagersSockets(t *testing.T) {
	path := filepath.Join(testkit.TempDir(t), "s")
	manager := newSet(t)
	one := manager.mustListen(t, "tcp", "127.0.0.1:0").(*net.TCPListener)
	two := manager.mustListen(t, "tcp", "[::1]:0").(*net.TCPListener)
	three := manager.mustListen(t, "unix", path).(*net.UnixListener)
	gram, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer gram.Close()
	list := passes(t, []string{"web", "web", "admin", "dns"}, one, two, three, gram.(*net.UDPConn))
	s := newSet(t)
	times := 0
	passed := func() []Passed {
		if times++; times == 1 {
			return list
		}
		return nil
	}
	listen := func(network, address string) (net.Listener, error) {
		return s.Listen(context.Background(), network, address, passed)
	}
	for _, a := range []struct {
		network, address string
		want             net.Listener
	}{
		{NameNetwork, "web", one}, {NameNetwork, "web", two}, {"unix", path, three}, {NameNetwork, "admin", three},
	} {
		ln, err := listen(a.network, a.address)
		if err != nil || ln.Addr().String() != a.want.Addr().String() {
			t.Errorf("%s %s: got %v, %v", a.network, a.address, ln, err)
		}
	}
	_, err = listen(NameNetwork, "dns")
	if !errors.Is(err, ErrNoSocket) || !strings.Contains(err.Error(), "web, web, admin") {
		t.Errorf("got %v", err)
	}
	if _, err := unix.FcntlInt(uintptr(list[3].FD), unix.F_GETFD, 0); err != nil {
		t.Errorf("what is no listener was closed: %v", err)
	}
	unix.Close(list[3].FD)
	// The manager's own file is not ours to remove.
	s.End()
	if !exists(path) {
		t.Error("the file of the service manager's socket is gone")
	}
	for _, ln := range []net.Listener{one, two, three} {
		ln.Close()
		refused(t, ln.Addr()) // or a duplicate was left open
	}
}

func TestUnclaimedSocketsOfTheServiceManagerAreNamed(t *testing.T) {
	manager := newSet(t)
	one := manager.mustListen(t, "tcp", "127.0.0.1:0").(*net.TCPListener)
	list := passes(t, []string{"web"}, one)
	s := newSet(t)
	if _, err := s.Listen(context.Background(), "tcp", "127.0.0.1:0", func() []Passed { return list }); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(s.CloseUnclaimed()), fmt.Sprintf("[web (%s)]", one.Addr()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBadAddresses(t *testing.T) {
	for _, a := range []struct{ network, address, want string }{
		{"udp", ":53", "the network is none of"},
		{"unix", "relative", "not absolute"},
		{"unix", "/" + strings.Repeat("x", 200), "longer than"},
		{"unix", "/a\tb", "control characters"},
		{"tcp", "nonsense", "missing port"},
		{NameNetwork, "web", "there are none"},
	} {
		if _, err := newSet(t).Listen(context.Background(), a.network, a.address, nothing); err == nil || !strings.Contains(err.Error(), a.want) {
			t.Errorf("%s %q: got %v, want %q", a.network, a.address, err, a.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("tcp\t\tweb\t:80")
	f.Add("unix\t1:2\t\t/run/a b")
	f.Fuzz(func(t *testing.T, name string) {
		k := parse(name)
		if k != nil && k.String() != name {
			t.Errorf("%q became %q", name, k.String())
		}
	})
}
