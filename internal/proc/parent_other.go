//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd

package proc

func (*handle) parent() (int, error) { return 0, errOther }
