package daemonocle

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/plan"
)

// host is the program whose daemon a life is: its functions, the types by which its code
// knows errors, and the words for them.
type host interface {
	Code() ownCode
	// Life is where the life is found while it lasts.
	Life() *atomic.Pointer[life]

	// Foreign: the worker is another program.
	Foreign() bool
	// Raise takes what that program needs of the privileges that the daemon still has.
	Raise(op string) error

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

// ownCode are the program's functions. All but the worker may be nil.
type ownCode struct {
	Worker, Check, Privileged, Reload, Health func(context.Context) error

	Shutdown func(Shutdown)
}

// programHost is the host of a daemon of this package's user.
type programHost struct{ d *Daemon }

func (h programHost) Code() ownCode {
	c := h.d.code
	return ownCode{
		Worker: c.Worker, Check: c.Hooks.Check, Privileged: c.Hooks.Privileged, Reload: c.Hooks.Reload, Health: c.Health,
		Shutdown: c.Hooks.Shutdown,
	}
}

func (h programHost) Life() *atomic.Pointer[life]    { return &h.d.life }
func (h programHost) Foreign() bool                  { return h.d.foreign != nil }
func (h programHost) Raise(op string) error          { return h.d.foreign.raise(h.d.plan, op) }
func (h programHost) Complain(act string, err error) { h.d.complain(act, err) }
func (h programHost) Ours(err error) bool            { return ours(err) }
func (h programHost) InWords(err error) error        { return inWords(err) }

func (h programHost) Exit(err error) (code int, message string, is bool) {
	e, is := errors.AsType[*ExitError](err)
	if !is {
		return 0, "", false
	}
	return e.code(), e.Message, true
}

func (h programHost) Signalled(sig syscall.Signal) error { return &SignalError{sig} }

func (h programHost) BySignal(err error) (cause error, is bool) {
	return errors.AsType[*SignalError](err)
}

func (h programHost) Refused(p plan.Problem) error {
	return &ConfigError{Setting: p.Setting, Value: p.Value, Err: p.Err, Hint: p.Hint}
}
