package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Rotation is the example of a document for logrotate, with other places.
type Rotation struct {
	t    testing.TB
	dir  string
	conf string
	Env  []string // of logrotate and its scripts
}

// NewRotation takes it from the block of the document that has a postrotate script. places
// are pairs: a place in the document, which must be there, and one of the test's.
func NewRotation(t testing.TB, document string, places ...string) *Rotation {
	t.Helper()
	if _, err := exec.LookPath("logrotate"); err != nil {
		Skip(t, "logrotate", err.Error())
	}
	text, err := os.ReadFile(document)
	if err != nil {
		Skip(t, "source", err.Error())
	}
	for i, block := range strings.Split(string(text), "\n```") {
		if i%2 == 0 || !strings.Contains(block, "postrotate") {
			continue
		}
		for i := 0; i < len(places); i += 2 {
			if !strings.Contains(block, places[i]) {
				t.Fatalf("testkit: %s has no %s in its example", document, places[i])
			}
		}
		r := &Rotation{t: t, dir: TempDir(t), Env: os.Environ()}
		r.conf = filepath.Join(r.dir, "conf")
		if err := os.WriteFile(r.conf, []byte(strings.NewReplacer(places...).Replace(block)), 0o600); err != nil {
			t.Fatal(err)
		}
		return r
	}
	t.Fatalf("testkit: %s has no example with postrotate", document)
	return nil
}

// Run rotates, whatever time it is, and gives what logrotate says and its exit code.
func (r *Rotation) Run() (string, int) {
	r.t.Helper()
	cmd := exec.Command("logrotate", "--force", "--state", filepath.Join(r.dir, "state"), r.conf)
	cmd.Env = r.Env
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		r.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
