package proc

import (
	"os"
	"testing"
)

func TestParent(t *testing.T) {
	eachSource(t, func(t *testing.T) {
		p := run(t, "wait")
		parent, err := mustOpen(t, p.pid()).Parent()
		if err != nil || parent != os.Getpid() {
			t.Errorf("Parent = %d, %v, want %d", parent, err, os.Getpid())
		}
		if parent, err := mustOpen(t, os.Getpid()).Parent(); err != nil || parent != os.Getppid() {
			t.Errorf("own Parent = %d, %v, want %d", parent, err, os.Getppid())
		}
	})
}
