//go:build unix

package daemonocle

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// notifyFD is a descriptor from which a supervisor reads a newline when the daemon is
// ready, as s6 does.
type notifyFD struct {
	once sync.Once
	f    *os.File
}

// checkNotifyFD refuses what the caller has not handed over. A descriptor of this
// program's own is close-on-exec.
func checkNotifyFD(n int) error {
	if n == 0 {
		return nil
	}
	if n < 3 {
		return fmt.Errorf("the descriptor to notify is %d, and must be 3 or more", n)
	}
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return fmt.Errorf("the descriptor to notify, %d, is not open", n)
	}
	mode, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
	if err != nil || mode&unix.O_ACCMODE == unix.O_RDONLY {
		return fmt.Errorf("the descriptor to notify, %d, is not open for writing", n)
	}
	return nil
}

// takeNotifyFD gives nil for 0.
func takeNotifyFD(n int) (*notifyFD, error) {
	if err := checkNotifyFD(n); err != nil || n == 0 {
		return nil, err
	}
	unix.CloseOnExec(n)
	return &notifyFD{f: os.NewFile(uintptr(n), "notification descriptor")}, nil
}

// ready is said once.
func (n *notifyFD) ready() (err error) {
	if n == nil {
		return nil
	}
	n.once.Do(func() {
		_, err = n.f.WriteString("\n")
		err = errors.Join(err, n.f.Close())
	})
	return err
}

// close gives the descriptor up, if nothing was said.
func (n *notifyFD) close() {
	if n != nil {
		n.once.Do(func() { n.f.Close() })
	}
}
