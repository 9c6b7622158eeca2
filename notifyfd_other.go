//go:build !unix

package daemonocle

// notifyFD does not exist here: descriptors are not handed over by their numbers.
type notifyFD struct{}

func checkNotifyFD(n int) error {
	if n != 0 {
		return ErrUnsupported
	}
	return nil
}

func takeNotifyFD(n int) (*notifyFD, error) { return nil, checkNotifyFD(n) }

func (*notifyFD) ready() error { return nil }
func (*notifyFD) close()       {}
