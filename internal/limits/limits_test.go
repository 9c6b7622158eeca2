//go:build unix

package limits

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func limit(t *testing.T, resource int) (soft, hard uint64) {
	t.Helper()
	var r unix.Rlimit
	if err := unix.Getrlimit(resource, &r); err != nil {
		t.Fatal(err)
	}
	return uint64(r.Cur), uint64(r.Max)
}

func TestLimits(t *testing.T) {
	soft, hard := limit(t, unix.RLIMIT_NOFILE)
	set := func(soft uint64) {
		if err := Set(unix.RLIMIT_NOFILE, soft, hard); err != nil {
			t.Fatal(err)
		}
	}
	defer set(soft)
	if err := spareFiles(6); err != nil {
		t.Errorf("with a limit of %d: %v", soft, err)
	}
	set(5)
	err := spareFiles(6)
	if now, same := limit(t, unix.RLIMIT_NOFILE); now != 5 || same != hard {
		t.Errorf("limits are %d and %d, want 5 and %d", now, same, hard)
	}
	set(soft)
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("with a limit of 5: %v", err)
	}
	if err := Raise(unix.RLIMIT_NOFILE, hard-1); err != nil {
		t.Error(err)
	}
	if now, same := limit(t, unix.RLIMIT_NOFILE); now != soft || same != hard {
		t.Errorf("what was to be raised is %d and %d, was %d and %d", now, same, soft, hard)
	}
	if err := NoCoreDumps(); err != nil {
		t.Fatal(err)
	}
	if soft, hard := limit(t, unix.RLIMIT_CORE); soft != 0 || hard != 0 {
		t.Errorf("the limits of core dumps are %d and %d", soft, hard)
	}
}
