package daemonocle

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
)

// programHost is a daemon as its own process sees the program: a pointer, so that no method is
// linked twice.
type programHost Daemon

func (h *programHost) Code() inside.Code {
	c := h.code
	own := inside.Code{
		Worker: c.Worker, Check: c.Hooks.Check, Privileged: c.Hooks.Privileged, Reload: c.Hooks.Reload, Health: c.Health,
	}
	if hook := c.Hooks.Shutdown; hook != nil {
		own.Shutdown = func(s inside.Shutdown) { hook(Shutdown(s)) }
	}
	return own
}

func (h *programHost) Life() *atomic.Pointer[inside.Life] { return &h.life }

func (h *programHost) Raise(op string) error { return h.foreign.Raise(h.plan, op) }

func (h *programHost) Manager() (*sdnotify.Conn, time.Duration) { return manager() }

func (h *programHost) Complain(act string, err error) { (*Daemon)(h).complain(act, err) }

func (h *programHost) Ours(err error) bool { return ours(err) }

func (h *programHost) InWords(err error) error {
	if e, is := errors.AsType[*Error](public(err)); is { // one that a worker has from Reload
		err = (*fault.Fault)(e)
	}
	return fault.InWords(err)
}

func (h *programHost) Exit(err error) (code int, message string, is bool) {
	e, is := errors.AsType[*ExitError](err)
	if !is {
		return 0, "", false
	}
	return e.code(), e.Message, true
}

func (h *programHost) Signalled(sig syscall.Signal) error { return &SignalError{sig} }

func (h *programHost) BySignal(err error) (cause error, is bool) {
	return errors.AsType[*SignalError](err)
}

func (h *programHost) Refused(p plan.Problem) error {
	return &ConfigError{Setting: p.Setting, Value: p.Value, Err: p.Err, Hint: p.Hint}
}
