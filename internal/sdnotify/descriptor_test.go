//go:build unix

package sdnotify

import (
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDescriptor(t *testing.T) {
	for _, says := range []bool{true, false} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if d, err := TakeDescriptor(int(w.Fd())); err == nil {
			t.Errorf("took this program's own: %v", d)
		}
		n, err := unix.Dup(int(w.Fd()))
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		d, err := TakeDescriptor(n)
		if err != nil {
			t.Fatal(err)
		}
		if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("got flags %d, %v", flags, err)
		}
		want := ""
		if says {
			want = "\n"
			for range 2 {
				if err := d.Ready(); err != nil {
					t.Error(err)
				}
			}
		}
		d.Close()
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		r.Close()
	}
}

func TestDescriptorsThatAreNone(t *testing.T) {
	r, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := unix.Dup(int(r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(n)
	for _, fd := range []int{-1, 2, n, 1 << 20} {
		if d, err := TakeDescriptor(fd); err == nil {
			t.Errorf("%d: got %v", fd, d)
		}
	}
	d, err := TakeDescriptor(0)
	if d != nil || err != nil {
		t.Errorf("none: got %v, %v", d, err)
	}
	d.Close()
	if err := d.Ready(); err != nil {
		t.Error(err)
	}
}
