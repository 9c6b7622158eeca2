package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFollower writes to a log file by the piece: a line counts once it is whole, and once.
func TestFollower(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	log.WriteString("up of another start\n")
	f := &follower{f: log, at: int64(len("up of another start\n"))}
	for _, step := range []struct {
		written string
		is      bool
	}{
		{"", false},
		{"coming ", false},
		{"up", false}, // goes on, perhaps
		{"\r\n", true},
		{"", false},
		{"\nfirst\nup\nlast", true},
		{" and up, and more", false},
		{"\n", false}, // "last and up, and more"
		{long + long + "\nup\n", true},
		{long + long + long, false},
		{"up\n", true}, // of a line that is too long the end is seen
	} {
		if _, err := log.WriteString(step.written); err != nil {
			t.Fatal(err)
		}
		if got := f.has(func(line string) bool { return strings.HasSuffix(line, "up") }); got != step.is {
			t.Errorf("after %.20q: %t, want %t", step.written, got, step.is)
		}
	}
}
