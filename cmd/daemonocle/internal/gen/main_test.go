package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEachCommandHasAManual(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "0")
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]string{
		"daemonocle.1": "Run any command as a daemon", "daemonocle-start.1": "is ready when it says so",
		"daemonocle-stop.1": "Kill the daemon forcefully", "daemonocle-restart.1": "NAME", "daemonocle-status.1": "Comma-separated list",
		"daemonocle-run.1": "Run a program in the foreground", "daemonocle-reload.1": "SIGHUP", "daemonocle-logs.1": "After a rotation",
		"daemonocle-list.1": "Ctrl-C", "daemonocle-show.1": "remembered", "daemonocle-forget.1": "log files",
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), part) || !strings.Contains(string(text), `"Jan 1970"`) {
			t.Errorf("%s: %v; want %q and the date of SOURCE_DATE_EPOCH in it:\n%.300s", name, err, part, text)
		}
	}
}
