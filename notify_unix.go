//go:build unix

package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/daemonocle/daemonocle/internal/proc"
	"golang.org/x/sys/unix"
)

type notifyProbe struct{}

func notifications() probe { return &notifyProbe{} }

func (*notifyProbe) suits(*Daemon) error { return notifySupported }

// notifySocket receives datagrams of the protocol of sd_notify(3), until the
// verdict.
type notifySocket struct {
	name string // as in NOTIFY_SOCKET
	f    *os.File
	uids []int // whose word counts if the process that sent it has ended

	mu     sync.Mutex
	status string
}

func listenForNotifications(d *Daemon) (*notifySocket, error) {
	// An abstract name is the same in a chroot, and nobody need remove it. It
	// is no secret, for the kernel lists it: the sender is what counts.
	s := &notifySocket{uids: []int{0, os.Geteuid()}}
	var random [16]byte
	if err := randomize(random[:]); err != nil {
		return nil, fmt.Errorf("name a socket for notifications: %w", err)
	}
	s.name = fmt.Sprintf("@daemonocle/%x", random)
	if d.id.SwitchUser {
		s.uids = append(s.uids, d.id.UID)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, fmt.Errorf("create a socket for notifications: %w", err)
	}
	unix.CloseOnExec(fd)
	unix.SetNonblock(fd, true)
	if err := errors.Join(tellSenders(fd), unix.Bind(fd, &unix.SockaddrUnix{Name: s.name})); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen for notifications: %w", err)
	}
	s.f = os.NewFile(uintptr(fd), "notifications")
	return s, nil
}

func (s *notifySocket) close() { s.f.Close() }

func (s *notifySocket) lastStatus() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// ready waits for READY=1 from the daemon.
func (s *notifySocket) ready(ctx context.Context, daemon int) bool {
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	raw, err := s.f.SyscallConn()
	if err != nil {
		return false
	}
	ready := false
	for !ready {
		err := raw.Read(func(fd uintptr) bool {
			text, from, ok := receiveNotification(int(fd))
			if ok && s.trusts(from, daemon) {
				ready = s.hear(text) || ready
			}
			return ok || ready
		})
		if err != nil {
			return false
		}
	}
	return true
}

// sender is who the kernel says has sent a datagram.
type sender struct{ pid, uid int }

// trusts reports whether the word of that process counts. Of one that has ended,
// such as systemd-notify without its barrier, only the user is known.
func (s *notifySocket) trusts(from sender, daemon int) bool {
	if from.pid == daemon {
		return true
	}
	group, _, err := proc.GroupID(from.pid)
	if errors.Is(err, proc.ErrGone) {
		for _, uid := range s.uids {
			if uid == from.uid {
				return true
			}
		}
	}
	return err == nil && group == daemon
}

// hear takes one message, and reports whether it says ready.
func (s *notifySocket) hear(text string) bool {
	ready := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "READY=1" {
			ready = true
		}
		if status, ok := strings.CutPrefix(line, "STATUS="); ok {
			s.mu.Lock()
			s.status = status
			s.mu.Unlock()
		}
	}
	return ready
}
