package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

func TestCause(t *testing.T) {
	errno := syscall.ENOENT
	own := errors.New("banana")
	for _, c := range []struct{ err, want error }{
		{own, own},
		{errno, errno},
		{&fs.PathError{Op: "open", Path: "/x", Err: errno}, errno},
		{fmt.Errorf("look: %w", &fs.PathError{Op: "open", Path: "/x", Err: errno}), errno},
		{&fs.PathError{Op: "use", Path: "/x", Err: os.NewSyscallError("chroot", errno)}, errno},
		{&os.LinkError{Op: "rename", Old: "/x", New: "/y", Err: errno}, errno},
		{Say("words", os.NewSyscallError("bind", errno)), errno},
	} {
		if got := Cause(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}

func TestHintWhereNoDescriptorIsLeft(t *testing.T) {
	for err, want := range map[error]string{
		syscall.EMFILE: "Raise the limit of open files (ulimit -n).", syscall.ENFILE: "The whole machine has too many files open.", syscall.ENOENT: "",
		&os.PathError{Op: "open", Path: "/", Err: syscall.EMFILE}: "Raise the limit of open files (ulimit -n).",
	} {
		if got := New("start", "foo", fmt.Errorf("look: %w", err)).Hint; got != want {
			t.Errorf("%v: got %q", err, got)
		}
	}
}
