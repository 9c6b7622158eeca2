//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A program that is started again gets the bytes that start was told, also where they are
// no text.
func TestBytesAreRemembered(t *testing.T) {
	h := newHouse(t)
	dir := filepath.Join(h.dir, "d\xe9part")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(h.dir, "out")
	t.Cleanup(func() { h.run("stop", "--timeout=0", "--force", "web") })
	h.must("start", "--name", "web", "-C", dir, "--env", "V=\xfe", "--ready-line", "up", "--",
		"sh", "-c", `printf '%s|%s|%s' "$1" "$V" "$PWD" >"$0"; echo up; exec sleep 1000`, out, "\xff\xc3é")
	want := "\xff\xc3é|\xfe|" + dir
	check := func(when string) {
		t.Helper()
		if b, err := os.ReadFile(out); err != nil || string(b) != want {
			t.Errorf("%s: the program got %+q, %v; want %+q", when, b, err, want)
		}
	}
	check("at first")
	for _, again := range []string{"restart", "start"} {
		if again == "start" {
			h.must("stop", "web")
		}
		if err := os.Remove(out); err != nil {
			t.Fatal(err)
		}
		h.must(again, "web")
		check(again)
	}
}
