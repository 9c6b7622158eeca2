//go:build !unix

package outside

import (
	"context"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/sockets"
)

func (l *Launcher) keep(_ context.Context, _ StartOptions, _ *sockets.Set, w *Watcher) (Started, error) {
	w.Begin()
	w.Settle(false)
	return Started{}, l.Plan.Fail("start", fault.ErrUnsupported)
}
