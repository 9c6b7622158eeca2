package daemonocle

import (
	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

var notifySupported error

func randomize(b []byte) error {
	_, err := retried.Getrandom(b, 0)
	return err
}

func tellSenders(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1) }

// receiveNotification takes one datagram; !ok means that there is none. What
// descriptors it brings are closed: whoever asks for a barrier waits for that.
func receiveNotification(fd int) (text string, from sender, ok bool) {
	b := make([]byte, 4096)
	oob := make([]byte, 4096)
	n, oobn, _, _, err := retried.Recvmsg(fd, b, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return "", sender{}, err != unix.EAGAIN
	}
	messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range messages {
		if cred, err := unix.ParseUnixCredentials(&m); err == nil {
			from = sender{int(cred.Pid), int(cred.Uid)}
		}
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
	return string(b[:n]), from, from.pid > 0
}
