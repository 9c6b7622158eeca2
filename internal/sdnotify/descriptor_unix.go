//go:build unix

package sdnotify

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Descriptor is one from which a supervisor reads a newline when the daemon is ready, as
// s6 does. The methods of a nil Descriptor do nothing.
type Descriptor struct {
	once sync.Once
	f    *os.File
}

// TakeDescriptor gives nil for 0, and refuses what the caller has not handed over. A
// descriptor of this program's own is close-on-exec.
func TakeDescriptor(n int) (*Descriptor, error) {
	if n == 0 {
		return nil, nil
	}
	if n < 3 {
		return nil, fmt.Errorf("the descriptor to notify is %d, and must be 3 or more", n)
	}
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return nil, fmt.Errorf("the descriptor to notify, %d, is not open", n)
	}
	mode, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
	if err != nil || mode&unix.O_ACCMODE == unix.O_RDONLY {
		return nil, fmt.Errorf("the descriptor to notify, %d, is not open for writing", n)
	}
	unix.CloseOnExec(n)
	return &Descriptor{f: os.NewFile(uintptr(n), "notification descriptor")}, nil
}

// Ready is said once.
func (d *Descriptor) Ready() (err error) {
	if d == nil {
		return nil
	}
	d.once.Do(func() {
		_, err = d.f.WriteString("\n")
		err = errors.Join(err, d.f.Close())
	})
	return err
}

// Close gives the descriptor up, if nothing was said.
func (d *Descriptor) Close() {
	if d != nil {
		d.once.Do(func() { d.f.Close() })
	}
}
