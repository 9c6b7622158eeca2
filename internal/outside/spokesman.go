package outside

import (
	"strings"
	"sync"

	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
)

// spokesman tells those who wait for a daemon how it is, from the process that keeps
// it: a service manager, which hears no other, and who reads the descriptor of
// StartOptions.NotifyFD. MAINPID is never said: the keeper is the service's main process
// from its first generation to its last, and as PID 1 it does not know the numbers by
// which its manager knows processes.
type spokesman struct {
	complain func(act string, err error)
	manager  *sdnotify.Conn       // nil: there is none
	watches  bool                 // it wants to hear again and again
	fd       *sdnotify.Descriptor // nil: there is none

	mu   sync.Mutex
	said phase.Notification
}

// needed reports whether anybody listens.
func (s *spokesman) needed() bool { return s.manager != nil || s.fd != nil }

// become says what the daemon has become, and reports whether that was news.
func (s *spokesman) become(e phase.NotificationEvent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.said.Next(e)
	phase.Taken(s, "Notification", uint8(s.said), uint8(e), uint8(next.To), 0)
	s.said = next.To
	if !next.Say {
		return false
	}
	switch e {
	case phase.IsUp:
		s.tell(sdnotify.Ready)
		if err := s.fd.Ready(); err != nil {
			s.complain("notify", err)
		}
	case phase.IsReloading:
		s.tell(sdnotify.Reloading())
	case phase.IsEnding:
		s.tell(sdnotify.Stopping)
	}
	return true
}

func (s *spokesman) tell(fields ...string) {
	if err := s.manager.Send(fields...); err != nil {
		s.complain("notify", err)
	}
}

// hear takes what the daemon wants its service manager to know. The daemon may have
// given up the rights that the manager sees in us: it says how it is, and no more.
func (s *spokesman) hear(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		status, isStatus := strings.CutPrefix(line, "STATUS=")
		switch {
		case isStatus:
			s.tell(sdnotify.Status(status))
		case line == sdnotify.Ready:
			s.become(phase.IsUp)
		case line == "RELOADING=1":
			s.become(phase.IsReloading)
		case line == sdnotify.Stopping:
			s.become(phase.IsEnding)
		case line == sdnotify.Watchdog && s.watches:
			s.tell(sdnotify.Watchdog)
		}
	}
}
