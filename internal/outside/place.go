package outside

import (
	"sync"

	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/launch"
)

// survey is made once: what a process was started for does not change, and several ask.
var survey struct {
	once  sync.Once
	place environ.Place
}

func here() environ.Place {
	survey.once.Do(func() { survey.place = environ.Here() })
	return survey.place
}

// Where says where this process is. What started a daemon's own process was meant for
// that daemon, not for those that it starts.
func Where() environ.Place {
	if p := here(); p == environ.Init || launch.Self() == nil {
		return p
	}
	return environ.Shell
}

// stays reports whether a start there keeps this process, so that a daemon that runs already
// is a failure: whoever started this one would take its end for the service's. A person at a
// terminal is told so, and no more. A unit of Type=forking finds the daemon that runs.
func stays(p environ.Place, foreground, terminal bool) bool {
	return !Detaches(p) || foreground && !terminal
}

// Detaches reports whether a start there leaves the process that was called.
func Detaches(p environ.Place) bool {
	return p == environ.Shell || p == environ.Unseen || p == environ.Forking
}
