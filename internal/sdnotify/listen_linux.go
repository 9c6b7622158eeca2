package sdnotify

import (
	"errors"
	"fmt"
	"os"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// CanListen is an error where Listen is one always.
func CanListen() error { return nil }

// Listen begins to receive messages. The name is abstract: the same in a chroot, and nobody
// need remove it. It is no secret, for the kernel lists it: the sender is what counts.
func Listen() (*Listener, error) {
	var random [16]byte
	if _, err := retried.Getrandom(random[:], 0); err != nil {
		return nil, fmt.Errorf("name a socket for notifications: %w", err)
	}
	l := &Listener{Name: fmt.Sprintf("@daemonocle/%x", random)}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("create a socket for notifications: %w", err)
	}
	if err := errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1), unix.Bind(fd, &unix.SockaddrUnix{Name: l.Name})); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen for notifications: %w", err)
	}
	l.f = os.NewFile(uintptr(fd), "notifications")
	return l, nil
}

// takeMessage takes one datagram; !ok means that there is none. What descriptors it brings are
// closed: whoever asks for a barrier waits for that.
func takeMessage(fd int) (text string, from Sender, ok bool) {
	b := make([]byte, 4096)
	oob := make([]byte, 4096)
	n, oobn, _, err := retried.Recvmsg(fd, b, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return "", Sender{}, err != unix.EAGAIN
	}
	messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range messages {
		if cred, err := unix.ParseUnixCredentials(&m); err == nil {
			from = Sender{int(cred.Pid), int(cred.Uid)}
		}
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
	return string(b[:n]), from, from.PID > 0
}
