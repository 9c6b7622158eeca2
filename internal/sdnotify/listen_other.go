//go:build !linux

package sdnotify

import "errors"

// CanListen is an error: there are no abstract sockets here, and each system has its own
// way to say who has sent a datagram.
func CanListen() error { return errors.ErrUnsupported }

func Listen() (*Listener, error) { return nil, errors.ErrUnsupported }

func takeMessage(int) (string, Sender, bool) { return "", Sender{}, true }
