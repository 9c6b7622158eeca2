package app

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// sparse makes a file of a gigabyte that takes next to nothing of the disk.
func sparse(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for i, text := range []string{"first\n", "middle\n", ""} {
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(int64(i+1) << 29); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// looksSparse compares a file with what sparse makes.
func looksSparse(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() != 3<<29 || used > 1<<20 {
		t.Errorf("%s has %d bytes, and takes %d of the disk", path, info.Size(), used)
	}
	for at, want := range map[int64]string{0: "first\n\x00", 1 << 29: "middle\n\x00", 3<<29 - 2: "\x00\x00"} {
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, at); err != nil || string(got) != want {
			t.Errorf("at %d: got %q, %v, want %q", at, got, err, want)
		}
	}
}

// TestReopenKeepsHoles: the service's user fills no disk with a file that takes none.
func TestReopenKeepsHoles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.log")
	open := sparse(t, path+".1")
	used, err := open.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := (logFile{path: path, fd: 1, stream: "stdout"}).bringBack(used); err != nil {
		t.Fatal(err)
	}
	looksSparse(t, path+".1")
	if info, err := os.Stat(path); err != nil || info.Size() != 0 || !os.SameFile(info, used) {
		t.Errorf("in its place is %v, %v", info, err)
	}
}

// TestCopyMoreEnds: with what was there when it began, or less where that is gone.
func TestCopyMoreEnds(t *testing.T) {
	dir := t.TempDir()
	from, err := os.OpenFile(filepath.Join(dir, "from"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(dir, "to"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	at := int64(0)
	for _, step := range []struct{ add, want string }{{"", ""}, {"one\n", "one\n"}, {"", "one\n"}, {"two\nthree\n", "one\ntwo\nthree\n"}} {
		if _, err := io.WriteString(from, step.add); err != nil {
			t.Fatal(err)
		}
		if at, err = copyMore(to, from, at); err != nil || at != int64(len(step.want)) {
			t.Fatalf("after %q: at %d, %v", step.add, at, err)
		}
		if got, err := os.ReadFile(to.Name()); err != nil || string(got) != step.want {
			t.Errorf("after %q: got %q, %v", step.add, got, err)
		}
	}
	if err := from.Truncate(2); err != nil {
		t.Fatal(err)
	}
	if now, err := copyMore(to, from, at); err != nil || now != at {
		t.Errorf("of a file that was truncated: %d, %v", now, err)
	}
}
