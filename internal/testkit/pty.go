package testkit

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// PtyPair is a pseudo terminal of 80 columns and 24 lines. What is written to
// the slave is read from the master all the time, so that no writer is held up.
type PtyPair struct {
	Master *os.File
	Slave  *os.File // blocking, close-on-exec, not anybody's controlling terminal yet
	Name   string   // the slave's path

	mu   sync.Mutex
	out  bytes.Buffer
	more chan struct{} // closed and replaced when out grows
	eof  bool
}

// Pty returns a new pseudo terminal, closed when the test ends, or skips the
// test where there are none. Its line discipline is the usual one: "\n" comes
// out as "\r\n", and what is typed is echoed.
func Pty(t testing.TB) *PtyPair {
	t.Helper()
	p, err := openPty()
	if err != nil {
		Skip(t, "pty", err.Error())
	}
	p.more = make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.collect()
	}()
	t.Cleanup(func() {
		p.Slave.Close()
		p.Master.Close()
		<-done
		if t.Failed() {
			t.Logf("the terminal shows %q", p.Output())
		}
	})
	return p
}

func (p *PtyPair) collect() {
	buf := make([]byte, 4096)
	for {
		n, err := p.Master.Read(buf)
		p.mu.Lock()
		p.out.Write(buf[:n])
		p.eof = err != nil // EIO when the last slave descriptor is closed
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Output returns everything that was written to the terminal and has been read
// so far.
func (p *PtyPair) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Expect waits until the terminal has shown substr, and returns all output so
// far. It fails the test when that takes longer than Patience, or when nobody
// has the terminal open any more.
func (p *PtyPair) Expect(t testing.TB, substr string) string {
	t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	for {
		p.mu.Lock()
		out, more, eof := p.out.String(), p.more, p.eof
		p.mu.Unlock()
		switch {
		case strings.Contains(out, substr):
			return out
		case eof:
			t.Fatalf("the terminal was closed without %q; it shows %q", substr, out)
		}
		select {
		case <-more:
		case <-limit.C:
			t.Fatalf("waited %v for %q on the terminal; it shows %q", Patience, substr, out)
		}
	}
}

// Type writes to the terminal as its user does: "\x03" is Ctrl-C.
func (p *PtyPair) Type(t testing.TB, keys string) {
	t.Helper()
	if _, err := p.Master.WriteString(keys); err != nil {
		t.Fatalf("testkit: type on the terminal: %v", err)
	}
}
