package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

func TestMissing(t *testing.T) {
	path := func(path string, err error) error { return &fs.PathError{Op: "open", Path: path, Err: err} }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("open a: no such file or directory"), ""},
		{fs.ErrNotExist, ""},
		{syscall.ENOENT, ""},
		{path("a", syscall.ENOENT), "a"},
		{path("/a", syscall.ENOENT), "/a"},
		{path("a", syscall.EACCES), ""},
		{path("a", syscall.ENOTDIR), ""},
		{fmt.Errorf("read: %w", path("../a", fs.ErrNotExist)), "../a"},
		{errors.Join(errors.New("x"), path("a", syscall.ENOENT)), "a"},
		{errors.New("x"), ""},
		{&os.LinkError{Op: "rename", Old: "a", New: "/b", Err: syscall.ENOENT}, "a"},
		{&os.LinkError{Op: "rename", Old: "/a", New: "b", Err: syscall.ENOENT}, "b"},
	} {
		if got := missing(tt.err); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}
