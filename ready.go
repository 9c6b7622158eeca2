package daemonocle

import (
	"context"

	"github.com/daemonocle/daemonocle/internal/program"
)

// Readiness is how a Program that knows nothing of this library shows that it is
// ready. With one, Start waits for it, up to StartTimeout. Where the program does not
// say so itself, with ReadyNotify, it must live on for another 100 ms: some listen
// before they go into the background, which a daemon must not.
type Readiness struct{ probe program.Probe }

// ReadyNotify waits for READY=1 on a socket that the launcher listens on and the
// program finds in NOTIFY_SOCKET: the protocol of sd_notify(3). Only the daemon's
// process group is heard. After the start nobody listens there: what the
// program then sends is refused by the kernel, which clients of the protocol
// ignore.
func ReadyNotify() Readiness { return Readiness{program.Notify()} }

// ReadySocket waits until a stream socket accepts a connection: "tcp" with
// "host:port", or "unix" with a path. If one does before the start, the start
// fails: whose connection would it be?
func ReadySocket(network, address string) Readiness {
	return Readiness{program.Socket(network, address)}
}

// ReadyWhen waits until probe returns nil. It is called again and again, in the
// launcher, at most 20 ms after it has failed; ctx ends with the waiting. What
// names it in messages. If it succeeds before the start, whose success would it
// be? The start then fails.
func ReadyWhen(what string, probe func(ctx context.Context) error) Readiness {
	return Readiness{program.Ask(what, probe)}
}

// ReadyLine waits for a line, on stdout or stderr, that matches. A *regexp.Regexp
// is such a pattern. It looks into the log files, of which there must be one;
// many programs write lines there only by the block, unless told otherwise.
func ReadyLine(pattern interface{ MatchString(line string) bool }) Readiness {
	return Readiness{program.Line(pattern)}
}
