//go:build unix

package launch

import (
	"context"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// childOf gives both ends of a connection.
func childOf(t *testing.T) (c *Child, launcher *os.File) {
	t.Helper()
	pair, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	launcher = os.NewFile(uintptr(pair[0]), "launcher's end")
	t.Cleanup(func() { launcher.Close() })
	return &Child{fd: pair[1]}, launcher
}

// A launcher that is stopped holds nobody up. Of the notes that it could not hear it hears
// the last one, and all else in its order.
func TestSendWaitsForNobody(t *testing.T) {
	c, launcher := childOf(t)
	const notes = 5000
	c.Send(Message{Kind: Running})
	for i := range notes {
		c.Send(Message{Kind: Note, Text: strconv.Itoa(i) + strings.Repeat(" ", 1000)})
	}
	c.Send(Message{Kind: Ready})
	c.Send(Message{Kind: Note, Text: "last"})
	c.Send(Message{Kind: Reason, Text: "why"})
	c.mu.Lock()
	if n := len(c.queue); n < 2 || n > 4 {
		t.Errorf("%d messages are in the queue", n)
	}
	c.mu.Unlock()
	flushed := make(chan struct{})
	go func() {
		c.Flush(context.Background())
		close(flushed)
		c.Close()
	}()
	var kinds string
	last := ""
	for {
		m, err := receive(launcher)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == Note {
			last = m.Text
		} else {
			kinds += string(m.Kind)
		}
	}
	<-flushed
	if want := string([]Kind{Running, Ready, Reason}); kinds != want || last != "last" {
		t.Errorf("got %q, and the last note %q, want %q", kinds, last, want)
	}
	c.Send(Message{Kind: Ready}) // to nobody
	c.Flush(context.Background())
}

// What waits for a launcher that goes is given up.
func TestQueueEndsWithTheLauncher(t *testing.T) {
	for _, ours := range []bool{true, false} {
		c, launcher := childOf(t)
		var idle chan struct{}
		for idle == nil {
			c.Send(Message{Kind: Ready, Text: strings.Repeat(" ", maxText)})
			c.mu.Lock()
			idle = c.idle
			c.mu.Unlock()
		}
		if ours {
			c.Close()
		} else {
			unix.Shutdown(c.fd, unix.SHUT_RDWR)
			launcher.Close()
		}
		<-idle
		c.Flush(context.Background())
	}
}
