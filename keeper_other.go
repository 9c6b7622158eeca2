//go:build !unix

package daemonocle

import "context"

func (d *Daemon) keep(_ context.Context, w watcher) (Started, error) {
	w.begin()
	w.settle(false)
	return Started{}, d.plan.Fail("start", ErrUnsupported)
}
