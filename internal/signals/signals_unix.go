//go:build unix

package signals

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	End   = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} // the daemon is to end
	Child = []os.Signal{syscall.SIGCHLD}                                  // a child has ended
)

const (
	HangUp   = syscall.SIGHUP  // the daemon is to reload
	Reopen   = syscall.SIGUSR1 // the daemon is to open its log files again
	Continue = syscall.SIGCONT // a process that was stopped is to go on
)

// CheckStop refuses what is no signal, and what does not end a process. What the
// reopening of log files is for Go code may be the end for another program.
func CheckStop(sig syscall.Signal, goCode bool) error {
	switch {
	case sig < 0 || sig > 64:
		return errors.New("is no signal")
	case sig == syscall.SIGSTOP || sig == Continue || sig == Reopen && goCode || sig == syscall.SIGCHLD:
		return errors.New("does not end a daemon")
	}
	return nil
}

func word(sig syscall.Signal) string { return unix.SignalName(sig) }
