//go:build unix

package outside

import "syscall"

// station is where a keeper stands: it decides what a signal to it means.
type station int

const (
	offTerminal  station = iota // without a controlling terminal when it began
	onTerminal                  // with one
	firstProcess                // PID 1
)

// fate is what a keeper does with a signal.
type fate int

const (
	unheard    fate = iota // it has its default effect on the keeper, if any
	dropped                // it has none
	passed                 // the daemon gets it
	announced              // the same, and a line says so: it asks the daemon to end
	terminates             // the daemon gets SIGTERM: the terminal has gone
	stops                  // the daemon's process group is stopped
	continues              // it is continued
)

// maxSignal is the last signal on Linux; other systems have fewer.
const maxSignal = syscall.Signal(64)

// fateOf is for each signal from 1 to maxSignal. stop is what ends this daemon.
//
// The first process of a PID namespace gets what is meant for the service, whatever it
// is: another one that the keeper would take for itself is not to be had there.
func fateOf(sig syscall.Signal, at station, stop syscall.Signal) fate {
	switch sig {
	case syscall.SIGKILL, syscall.SIGSTOP, // nobody hears them
		syscall.SIGCHLD,                  // of the keeper's own children
		syscall.SIGTTIN, syscall.SIGTTOU, // of the keeper's own terminal
		syscall.SIGPROF, syscall.SIGURG, // Go's runtime sends them to itself
		32, 33, 34: // so do the C libraries
		return unheard
	case syscall.SIGPIPE:
		return dropped // or a reader who goes away would end the daemon, not the reading
	case syscall.SIGTSTP:
		if at == firstProcess {
			return unheard
		}
		return stops
	case syscall.SIGCONT:
		return continues
	case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGABRT:
		// os/signal gives those that a process has sent. A fault of the keeper's own
		// stays one.
		if at != firstProcess {
			return unheard // whoever sends it wants to see the stacks of this very process
		}
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM:
		return announced
	case syscall.SIGHUP:
		if at == onTerminal {
			return terminates
		}
	}
	if sig == stop {
		return announced
	}
	return passed
}
