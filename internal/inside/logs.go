package inside

import (
	"errors"
	"os"

	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/signals"
)

// ReopenLogs opens the log files anew and puts them in the place of descriptors 1 and 2, or
// neither.
func (l *Life) ReopenLogs() error {
	if l.foreground {
		return nil
	}
	l.heard.reopenings.Add(1)
	if l.state().Left() {
		l.passOn(signals.Reopen)
	}
	if !l.isWorking() {
		l.unopened.Store(true) // until they are open, and under the name that they have then
		if !l.isWorking() || !l.unopened.Swap(false) {
			return nil
		}
	}
	l.logs.Lock()
	defer l.logs.Unlock()
	out, err, failed := openLogs(within(l.plan.Stdout), within(l.plan.Stderr), paths.Nobody, nil)
	if failed != nil {
		return failed
	}
	return errors.Join(putOn(1, out), putOn(2, err))
}

func (l *Life) isWorking() bool {
	return l.state().Begun()
}

// within is the name after the root directory has changed.
func within(n *paths.Name) *paths.Name {
	if n == nil {
		return nil
	}
	return &paths.Name{Path: n.Path}
}

// openLogs opens both or none. Two names of one path are one file.
func openLogs(stdout, stderr *paths.Name, owner paths.Owner, undo *paths.Undo) (out, err *os.File, failed error) {
	if stdout != nil {
		if out, failed = stdout.Log(owner, undo); failed != nil {
			return nil, nil, failed
		}
	}
	if stderr != nil {
		if err, failed = stderr.Log(owner, undo); failed != nil {
			if out != nil {
				out.Close()
			}
			return nil, nil, failed
		}
	}
	return out, err, nil
}

// putOn puts a file in the place of a standard stream.
func putOn(stream int, f *os.File) error {
	if f == nil {
		return nil
	}
	defer f.Close()
	return launch.Redirect(int(f.Fd()), stream)
}
