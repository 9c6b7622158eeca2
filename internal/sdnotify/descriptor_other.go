//go:build !unix

package sdnotify

import "errors"

// Descriptor does not exist here: descriptors are not handed over by their numbers.
type Descriptor struct{}

func TakeDescriptor(n int) (*Descriptor, error) {
	if n != 0 {
		return nil, errors.ErrUnsupported
	}
	return nil, nil
}

func (*Descriptor) Ready() error { return nil }
func (*Descriptor) Close()       {}
