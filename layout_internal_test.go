//go:build linux

package daemonocle

import (
	"strings"
	"testing"
)

// In a network file system a lock may be another machine's.
func TestLayoutLeavesAHomeOnTheNetwork(t *testing.T) {
	p := Paths{PIDFile: "/st/foo/@0/foo.pid", Earlier: [3]string{"/rt/foo/foo.pid", "/tmp/d/foo/foo.pid"}}
	got := p.leaveHome("/st", true)
	if got.PIDFile != "/rt/foo/foo.pid" || got.Earlier != [3]string{"/tmp/d/foo/foo.pid"} || !strings.Contains(got.Warning, "last logout, for /st is") {
		t.Errorf("got %+v", got)
	}
	if got := p.leaveHome("/st", false); got.Warning != "" {
		t.Errorf("got %+v", got)
	}
}
