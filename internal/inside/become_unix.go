//go:build unix

package inside

import (
	"context"

	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/launch"
)

// HandOn makes what the program is to have inheritable, and tells the launcher that it comes.
func (l *Life) HandOn() error {
	if l.link == nil {
		passed, _ := environ.ListenFDs()
		launch.Unseal(passed) // by a service manager, to this very process
	}
	if l.held != nil {
		if err := l.held.Inherit(); err != nil {
			return err
		}
	}
	if l.link != nil {
		l.link.Send(launch.Message{Kind: launch.Executing})
		l.link.Flush(context.Background()) // a signal still ends this process
	}
	// Its own errors could fill the launcher's memory for the rest of its life.
	l.mu.Lock()
	l.dropStderr()
	l.mu.Unlock()
	return nil
}
