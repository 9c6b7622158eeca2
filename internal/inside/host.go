package inside

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
)

// Host is the program whose daemon a life is: its functions, the types by which its code
// knows errors, and the words for them.
type Host interface {
	Code() Code
	// Life is where the life is found while it lasts.
	Life() *atomic.Pointer[Life]

	// Raise takes what a worker that is another program needs of the privileges that the
	// daemon still has.
	Raise(op string) error

	// Manager is the service manager that wants to hear of this process, nil if there is none,
	// and how often.
	Manager() (*sdnotify.Conn, time.Duration)

	// Complain is for what no caller can be told.
	Complain(act string, err error)
	// Ours reports whether an error, which is no fault, begins with our own words.
	Ours(err error) bool
	// InWords is a reload's error with the new process's reason.
	InWords(err error) error

	// Exit reports how a worker wants to leave the process.
	Exit(err error) (code int, message string, is bool)
	// Signalled is the cause of a context that ends by a signal.
	Signalled(syscall.Signal) error
	// BySignal finds such a cause in an error.
	BySignal(err error) (cause error, is bool)
	// Refused is the error for a setting.
	Refused(plan.Problem) error
}

// Code are the program's functions. All but the worker may be nil.
type Code struct {
	Worker, Check, Privileged, Reload, Health func(context.Context) error

	Shutdown func(Shutdown)
}

// Shutdown is how a worker has ended: daemonocle.Shutdown.
type Shutdown struct {
	Message string
	Code    int
}
