//go:build unix

package console

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestJournalHearsPriorities: only the stream that JOURNAL_STREAM names has them.
func TestJournalHearsPriorities(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stream")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	ours := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	for stream, want := range map[string]string{
		ours:       "<3>ERROR: banana\n<3>  split\n<3>reason: coconut\n<4>WARNING: foo\nhint: peel it\n",
		"":         "ERROR: banana\n  split\nreason: coconut\nWARNING: foo\nhint: peel it\n",
		ours + "1": "ERROR: banana\n  split\nreason: coconut\nWARNING: foo\nhint: peel it\n",
	} {
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(0, 0); err != nil {
			t.Fatal(err)
		}
		c := New(Options{Err: f, Getenv: func(name string) string {
			if name == "JOURNAL_STREAM" {
				return stream
			}
			return ""
		}})
		c.Error("banana\nsplit")
		c.Reason("coconut")
		c.Warn("foo")
		c.Hint("peel it")
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", stream, got, err, want)
		}
	}
}
