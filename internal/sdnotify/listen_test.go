package sdnotify

import (
	"strings"
	"testing"
)

// FuzzNotification: a datagram is anybody's bytes. Only a whole line says ready, and a
// status is one of the message's lines.
func FuzzNotification(f *testing.F) {
	f.Add("READY=1")
	f.Add("STATUS=a\nREADY=1\nSTATUS=b\n")
	f.Add("XREADY=1\nREADY=1 \nREADY=10\n")
	f.Add("STATUS=\xff\x1b]0;x\x07\n\n=\n")
	f.Fuzz(func(t *testing.T, text string) {
		var l Listener
		lines := strings.Split(text, "\n")
		want, status := false, ""
		for _, line := range lines {
			want = want || line == "READY=1"
			if after, ok := strings.CutPrefix(line, "STATUS="); ok {
				status = after
			}
		}
		if got := l.hear(text); got != want || l.Status() != status {
			t.Errorf("%q: ready %v, status %q, want %v, %q", text, got, l.Status(), want, status)
		}
	})
}
