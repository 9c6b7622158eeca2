package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { testkit.Main(m, nil) }

// listen is a service manager's end.
func listen(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(testkit.Patience))
	t.Cleanup(func() { c.Close() })
	return c
}

func dial(t *testing.T, address string) *Conn {
	t.Helper()
	c, err := Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(c.fd) })
	return c
}

// receive gives the next message and the descriptors with it.
func receive(t *testing.T, c *net.UnixConn) (string, []int) {
	t.Helper()
	b, oob := make([]byte, 8192), make([]byte, 128)
	n, m, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	if controls, err := unix.ParseSocketControlMessage(oob[:m]); err == nil && len(controls) > 0 {
		fds, _ = unix.ParseUnixRights(&controls[0])
	}
	return string(b[:n]), fds
}

func path(t *testing.T) string { return filepath.Join(testkit.TempDir(t), "notify") }

func TestMessages(t *testing.T) {
	for _, address := range []string{path(t), fmt.Sprintf("@sdnotify-test-%d-%d", os.Getpid(), time.Now().UnixNano())} {
		manager := listen(t, address)
		c := dial(t, address)
		for _, fields := range [][]string{{Ready}, {Ready, Status("serving")}, {Stopping}, {Watchdog}} {
			if err := c.Send(fields...); err != nil {
				t.Fatal(err)
			}
			if got, fds := receive(t, manager); got != strings.Join(fields, "\n") || fds != nil {
				t.Errorf("got %q with %v, want %q", got, fds, fields)
			}
		}
	}
}

func TestStatusIsOneField(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "STATUS=",
		"loading 3/4":             "STATUS=loading 3/4",
		"a\nREADY=1\x00\x1b[1m\r": "STATUS=a READY=1  [1m ",
		"\xff\xfe":                "STATUS=?",
		"grün":                    "STATUS=grün",
	} {
		if got := Status(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	long := Status(strings.Repeat("ü", 5000) + "\xff")
	if len(long) > 4000 || len(long) < 2000 || !strings.HasSuffix(long, "ü") {
		t.Errorf("got %d bytes", len(long))
	}
}

// The manager compares the time with its own clock.
func TestReloadingHasTheExactTime(t *testing.T) {
	now := func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		return int64(ts.Sec)*1e6 + int64(ts.Nsec)/1000
	}
	before := now()
	text, found := strings.CutPrefix(Reloading(), "RELOADING=1\nMONOTONIC_USEC=")
	after := now()
	if got, err := strconv.ParseInt(text, 10, 64); !found || err != nil || got < before || got > after {
		t.Errorf("got %q, want %d to %d", text, before, after)
	}
}

func TestHandOverWaitsForTheManager(t *testing.T) {
	address := path(t)
	manager := listen(t, address)
	c := dial(t, address)
	done := make(chan error)
	go func() { done <- c.HandOver(context.Background(), 42) }()
	if got, fds := receive(t, manager); got != "MAINPID=42" || fds != nil {
		t.Fatalf("got %q with %v", got, fds)
	}
	got, fds := receive(t, manager)
	if got != "BARRIER=1" || len(fds) != 1 {
		t.Fatalf("got %q with %v", got, fds)
	}
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(testkit.Settle):
	}
	unix.Close(fds[0])
	if err := <-done; err != nil {
		t.Error(err)
	}

	ctx, stop := context.WithCancelCause(context.Background())
	go func() {
		receive(t, manager)
		_, fds := receive(t, manager)
		stop(errors.New("coconut"))
		<-done
		unix.Close(fds[0])
	}()
	if err := c.HandOver(ctx, 42); err == nil || !strings.Contains(err.Error(), "coconut") {
		t.Errorf("got %v", err)
	}
	done <- nil

	if err := errors.Join(c.Send(Watchdog), c.TakeBack(), c.Send(Ready)); err != nil {
		t.Error(err)
	}
	for _, want := range []string{fmt.Sprintf("MAINPID=%d", os.Getpid()), Ready} {
		if got, _ := receive(t, manager); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestManagerThatIsBusyOrNew(t *testing.T) {
	address := path(t)
	manager := listen(t, address)
	c := dial(t, address)
	// Until its queue is full.
	n := 0
	for ; unix.Sendmsg(c.fd, []byte("STATUS=full"), nil, nil, unix.MSG_DONTWAIT) == nil; n++ {
	}
	// It does not wait, and what is out of date by now is not sent.
	for i := range 1000 {
		for _, fields := range [][]string{{Status(fmt.Sprint(i))}, {Watchdog}, {Ready, Status("serving")}, {Reloading()}} {
			if err := c.Send(fields...); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Send(Stopping); err != nil {
		t.Fatal(err)
	}
	handed := make(chan error)
	go func() { handed <- c.HandOver(context.Background(), 42) }()
	for range n {
		receive(t, manager)
	}
	for _, want := range []string{Status("999"), Watchdog, Ready + "\n" + Status("serving"), "RELOADING=1\n", Stopping, "MAINPID=42"} {
		if got, _ := receive(t, manager); got != want && (want != "RELOADING=1\n" || !strings.HasPrefix(got, want)) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	_, fds := receive(t, manager)
	for _, fd := range fds {
		unix.Close(fd)
	}
	if err := errors.Join(<-handed, c.Flush(), c.TakeBack()); err != nil {
		t.Error(err)
	}
	receive(t, manager)

	manager.Close()
	os.Remove(address)
	if err := c.Send(Ready); err == nil {
		t.Error("nobody is there, and it was no error")
	}
	manager = listen(t, address)
	if err := c.Send(Stopping); err != nil {
		t.Fatal(err)
	}
	if got, _ := receive(t, manager); got != Stopping {
		t.Errorf("got %q", got)
	}
}

// A message for which there is no room in time is given up, and the next call says so.
func TestManagerThatHangs(t *testing.T) {
	address := path(t)
	listen(t, address)
	c := dial(t, address)
	for unix.Sendmsg(c.fd, []byte("STATUS=full"), nil, nil, unix.MSG_DONTWAIT) == nil {
	}
	if err := c.Send(Stopping); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	stop(errors.New("coconut"))
	if err := c.HandOver(ctx, 42); err == nil || !strings.Contains(err.Error(), "coconut") {
		t.Errorf("got %v", err)
	}
	if err := c.Flush(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("got %v", err)
	}
	if err := c.Flush(); err != nil {
		t.Errorf("got %v once more", err)
	}
}

func TestNobodyToTell(t *testing.T) {
	var c *Conn
	if err := errors.Join(c.Send(Ready), c.HandOver(context.Background(), 42), c.TakeBack()); err != nil {
		t.Error(err)
	}
	for _, address := range []string{"", "vsock:2:1234", "relative", path(t)} {
		if _, err := Dial(address); err == nil {
			t.Errorf("%q: got a connection", address)
		}
	}
}

func TestSocketIsNotInherited(t *testing.T) {
	address := path(t)
	listen(t, address)
	flags, err := unix.FcntlInt(uintptr(dial(t, address).fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("got flags %d, %v", flags, err)
	}
}
