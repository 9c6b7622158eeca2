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
