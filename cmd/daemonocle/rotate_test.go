//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// The example for logrotate succeeds whether the daemon runs or not, and each line is in
// the file of its time.
func TestLogrotate(t *testing.T) {
	testkit.RequireRoot(t) // who else may become somebody
	h := newHouse(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(h.dir, "daemonocle")
	if err := os.Symlink(self, bin); err != nil {
		t.Fatal(err)
	}
	log := h.log("echoer", "out.log")
	r := testkit.NewRotation(t, "../../docs/any-command.md", "/home/me/.local/state/daemonocle/web", filepath.Dir(log),
		"su me me", "su root root", "su me -c", "su root -c", "/usr/local/bin/daemonocle", bin, " web\"", " echoer\"")
	r.Env = h.command().Env
	rotate := func(when string) {
		t.Helper()
		if out, code := r.Run(); code != 0 || out != "" {
			t.Errorf("%s: exit code %d, %s", when, code, out)
		}
	}
	expect := func(file, want string) {
		t.Helper()
		testkit.WaitFor(t, file+" to have "+want, func() bool {
			got, err := os.ReadFile(file)
			return err == nil && string(got) == strings.ReplaceAll(want, " ", "\n")
		})
	}

	rotate("before there is a daemon")
	_, say := h.echoer()
	say("one\n")
	expect(log, "one ")
	rotate("while it runs")
	say("two\n")
	expect(log, "two ")
	expect(log+".1", "one ")
	h.must("stop", "--force", "echoer") // with its cat
	rotate("when it has stopped")
	expect(log+".1", "two ")
	rotate("when there is nothing to rotate")
}
