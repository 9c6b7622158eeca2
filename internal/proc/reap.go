package proc

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/signals"
)

// Stray is a process that ReapStrays has reaped.
type Stray struct {
	PID, Group int
	Status     syscall.WaitStatus
}

// ReapStrays reaps zombie children of this process that nobody in this program
// will wait for, and returns them: for a process with the number 1,
// or a subreaper, which orphans are given to.
//
// A child is somebody's when this process holds a pidfd for it, as os.Process
// does from the start until Wait, and also a [Handle]; or when its number is in
// keep. Children started by other means (syscall.ForkExec, C) must be in keep.
//
// Where os.Process works without pidfds, or /proc cannot be read, only children
// of other process groups than ours are reaped, and one child of our group
// that is a zombie may hide others: children that this program starts with
// their own group must be in keep then.
//
// Only Linux has this; elsewhere nothing is reaped.
func ReapStrays(keep ...int) []Stray { return reapStrays(keep) }

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
