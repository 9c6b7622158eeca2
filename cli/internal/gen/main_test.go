package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestManualsAreTheSameEachTime(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "0")
	pages := func() map[string]string {
		dir := t.TempDir()
		if err := write(dir); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*.1"))
		all := map[string]string{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(file)] = string(text)
		}
		return all
	}
	first, second := pages(), pages()
	for _, name := range []string{"myapp.1", "myapp-start.1", "myapp-stop.1", "myapp-restart.1", "myapp-status.1"} {
		if first[name] == "" || first[name] != second[name] {
			t.Errorf("%s is empty, or another each time", name)
		}
		if !strings.Contains(first[name], `"Jan 1970"`) {
			t.Errorf("%s does not bear the date of SOURCE_DATE_EPOCH: %.200s", name, first[name])
		}
	}
	if !strings.Contains(first["myapp-start.1"], "Do NOT detach and run in the background.") {
		t.Errorf("myapp-start.1 does not know its options:\n%s", first["myapp-start.1"])
	}
}
