//go:build unix

package environ

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func quiet(string) string { return "" }

func overSSH(name string) string {
	if name == "SSH_CONNECTION" {
		return "192.0.2.1 50000 192.0.2.2 22"
	}
	return ""
}

// descriptor returns one that lives until the test ends.
func descriptor(t *testing.T, f interface{ File() (*os.File, error) }) int {
	t.Helper()
	file, err := f.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return int(file.Fd())
}

// connection returns a listener's descriptor and that of an accepted connection.
func connection(t *testing.T, network, address string) (listening, accepted int) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	client, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	type filer interface{ File() (*os.File, error) }
	return descriptor(t, l.(filer)), descriptor(t, server.(filer))
}

func TestSuperServer(t *testing.T) {
	tcpListener, tcp := connection(t, "tcp", "127.0.0.1:0")
	dir, err := os.MkdirTemp("", "env") // t.TempDir may be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	unixListener, unix := connection(t, "unix", filepath.Join(dir, "s"))
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range pair {
			syscall.Close(fd)
		}
		r.Close()
		w.Close()
		null.Close()
	})
	closed, err := syscall.Dup(int(null.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(closed)

	tests := []struct {
		name   string
		fd     int
		getenv func(string) string
		want   bool
	}{
		{"tcp connection", tcp, quiet, true},
		{"tcp listener", tcpListener, quiet, true},
		{"unix connection", unix, quiet, true},
		{"unix listener", unixListener, quiet, true},
		{"nameless pair", pair[0], quiet, true},
		{"nameless pair of sshd", pair[0], overSSH, false},
		// An inetd that was started in somebody's session is still one.
		{"tcp connection in a session", tcp, overSSH, true},
		{"unix connection in a session", unix, overSSH, true},
		{"pipe", int(r.Fd()), quiet, false},
		{"device", int(null.Fd()), quiet, false},
		{"closed", closed, quiet, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := superServer(tt.fd, tt.getenv); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if Terminal(tt.fd) {
				t.Error("taken for a terminal")
			}
		})
	}
}
