package sdnotify

import (
	"context"
	"os"
	"strings"
	"sync"
)

// Listener receives messages of the protocol, as a service manager does.
type Listener struct {
	Name string // as in NOTIFY_SOCKET
	f    *os.File

	mu     sync.Mutex
	status string
}

// Sender is who the kernel says has sent a message.
type Sender struct{ PID, UID int }

func (l *Listener) Close() { l.f.Close() }

// Status is the last one that was heard.
func (l *Listener) Status() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// Ready waits for READY=1 from one who is trusted.
func (l *Listener) Ready(ctx context.Context, trusted func(Sender) bool) bool {
	stop := context.AfterFunc(ctx, l.Close)
	defer stop()
	raw, err := l.f.SyscallConn()
	if err != nil {
		return false
	}
	ready := false
	for !ready {
		err := raw.Read(func(fd uintptr) bool {
			text, from, ok := takeMessage(int(fd))
			if ok && trusted(from) {
				ready = l.hear(text) || ready
			}
			return ok || ready
		})
		if err != nil {
			return false
		}
	}
	return true
}

// hear takes one message, and reports whether it says ready.
func (l *Listener) hear(text string) bool {
	ready := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == Ready {
			ready = true
		}
		if status, ok := strings.CutPrefix(line, "STATUS="); ok {
			l.mu.Lock()
			l.status = status
			l.mu.Unlock()
		}
	}
	return ready
}
