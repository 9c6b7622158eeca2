//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

func (h *handle) parent() (int, error) {
	if h.err != nil {
		return 0, h.err
	}
	k, err := info(h.pid)
	if err != nil {
		return 0, err
	}
	return k.ppid, nil
}
