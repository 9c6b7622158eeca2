//go:build linux

package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// What is to be ready is what the options of start say, also in the foreground: until
// then a supervisor's descriptor says nothing.
func TestRunIsReadyWhenTheOptionsSay(t *testing.T) {
	h := newHouse(t)
	socket, port := filepath.Join(h.dir, "s"), testkit.FreePort(t)
	for _, tt := range []struct {
		option        string
		network, addr string
	}{
		{"--ready-socket=" + socket, "unix", socket},
		{"--ready-port=" + port, "tcp", "localhost:" + port},
	} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		cmd := h.command("run", "--quiet", tt.option, "--notify-fd=3", "--", "sh", "-c", "echo up; exec sleep 1000")
		cmd.ExtraFiles = []*os.File{write}
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		write.Close()
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
			t.Errorf("%s: stdout %q, %v", tt.option, line, err)
		}
		var listens atomic.Bool
		heard := make(chan string, 1)
		go func() {
			b, err := io.ReadAll(read)
			if err != nil || !listens.Load() {
				t.Errorf("%s: %q, %v before anything listens", tt.option, b, err)
			}
			heard <- string(b)
		}()
		listens.Store(true) // before it can be seen
		l, err := net.Listen(tt.network, tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := <-heard; got != "\n" {
			t.Errorf("%s: the supervisor reads %q", tt.option, got)
		}
		l.Close()
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}
}
