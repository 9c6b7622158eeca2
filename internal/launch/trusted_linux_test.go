package launch

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTrusted: who may tell a new process what it is. A connection has the user of the
// listening side as its peer, which a setuid program's caller could have chosen.
func TestTrusted(t *testing.T) {
	pair, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if !trusted(pair[0]) || !trusted(pair[1]) {
		t.Error("a pair of our own is not trusted")
	}

	socket := func(name string) int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if name != "" {
			if err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		return fd
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "s"), "@daemonocle-test-trusted"} {
		listener := socket(name)
		if err := unix.Listen(listener, 1); err != nil {
			t.Fatal(err)
		}
		client := socket("")
		if err := unix.Connect(client, &unix.SockaddrUnix{Name: name}); err != nil {
			t.Fatal(err)
		}
		server, _, err := unix.Accept(listener)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(server)
		if trusted(client) {
			t.Errorf("a connection to %q is trusted", name)
		}
		if trusted(server) {
			t.Errorf("a connection at %q is trusted", name)
		}
		if trusted(listener) {
			t.Errorf("a listener at %q is trusted", name)
		}
	}
	if trusted(socket("")) {
		t.Error("a socket without a peer is trusted")
	}
	if trusted(-1) {
		t.Error("no descriptor at all is trusted")
	}
}
