package daemonocle

import (
	"github.com/daemonocle/daemonocle/internal/fault"
)

// ReopenLogs opens the log files anew and puts them in the place of descriptors
// 1 and 2, for a rotation that has renamed them: everything that the daemon and
// its children write from then on, a panic included, goes to the new files.
// SIGUSR1 does the same. It is for the daemon's own process (else the error wraps
// ErrOutside) and may be called at any time. If one file cannot be
// opened, as a path that is not writable any more after a change of user, both
// old ones stay.
//
// A daemon that is not detached has no log files: then nothing happens.
func (d *Daemon) ReopenLogs() error {
	l := d.life.Load()
	if l == nil {
		return public(d.plan.Fail("reopen logs of", fault.Say("only the daemon's own process has log files open", ErrOutside, ErrNotRunning)))
	}
	if err := l.ReopenLogs(); err != nil {
		return public(d.plan.Fail("reopen logs of", err))
	}
	return nil
}
