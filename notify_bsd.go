//go:build unix && !linux

package daemonocle

// There are no abstract sockets here, and each system has its own way to say who
// has sent a datagram.
var notifySupported = ErrUnsupported

func randomize([]byte) error { return ErrUnsupported }

func tellSenders(int) error { return ErrUnsupported }

func receiveNotification(int) (string, sender, bool) { return "", sender{}, true }
