//go:build !unix

package daemonocle

import (
	"context"

	"github.com/daemonocle/daemonocle/internal/outside"
)

func (d *Daemon) keep(_ context.Context, w outside.Watcher) (Started, error) {
	w.Begin()
	w.Settle(false)
	return Started{}, d.plan.Fail("start", ErrUnsupported)
}
