package proc

import (
	"os"
	"os/signal"

	"github.com/daemonocle/daemonocle/internal/signals"
)

// ReapOrphans calls reap whenever there may be one: for PID 1 or a subreaper, which the
// kernel gives them to.
func ReapOrphans(reap func()) (stop func()) {
	children := make(chan os.Signal, 1)
	signal.Notify(children, signals.Child...)
	done := make(chan struct{})
	go func() {
		for {
			reap()
			select {
			case <-children:
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(children)
		close(done)
	}
}
