package examples_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// sockets gives the names of a process's sockets.
func sockets(pid int) map[string]bool {
	names := map[string]bool{}
	for _, name := range testkit.FDs(pid) {
		if strings.HasPrefix(name, "socket:") {
			names[name] = true
		}
	}
	return names
}

// Whoever is connected when the daemon is replaced is answered, however late he asks,
// and told that the connection ends.
func TestFileserverAnswersTheLate(t *testing.T) {
	e, url := serving(t)
	old := e.pid()
	before := sockets(old)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	testkit.WaitFor(t, "the server to accept", func() bool {
		for name := range sockets(old) {
			if !before[name] {
				return true
			}
		}
		return false
	})

	e.expect("reload", `Reloading fileserver \.\.\. OK`, 0)
	testkit.WaitFor(t, "the old one to listen no more", func() bool {
		ours := sockets(old)
		for name := range sockets(e.pid()) {
			if ours[name] {
				return false
			}
		}
		return true
	})
	if _, err := io.WriteString(conn, "GET /small HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || len(body) != 1000 || !answer.Close {
		t.Errorf("got %d bytes, %v, Connection: close is %v", len(body), err, answer.Close)
	}
	testkit.WaitGone(t, old)
	e.expect("stop", `Stopping fileserver \.\.\. OK`, 0)
}
