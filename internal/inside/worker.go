package inside

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// work runs the worker and says goodbye. The process is set up.
func (l *Life) work() *fault.Fault {
	<-l.installed
	if l.held != nil && l.plan.Worker != plan.Program {
		l.inode = l.held.Inode()
	}
	l.mu.Lock()
	l.step(phase.Begin, demand{})
	l.mu.Unlock()
	if l.unopened.Swap(false) {
		l.signalled(signals.Reopen)
	}
	l.open()
	ended := make(chan outcome, 1)
	go l.callWorker(ended)

	var o outcome
	select {
	case o = <-ended:
	case <-l.ctx.Done():
		select {
		case o = <-ended:
		case <-l.abandonTimer():
			o = l.abandoned()
		case <-l.abrupt:
			o = l.abandoned()
		}
	}
	l.mu.Lock()
	l.step(phase.WorkerEnded, demand{})
	l.mu.Unlock()
	l.callHook(o.Shutdown)
	l.cancel(context.Canceled) // for what the worker has left behind
	l.depart()
	return o.err
}

// abandonTimer is a channel that says when the goodbye has taken too long; nil, so
// never, without AbandonAfter.
func (l *Life) abandonTimer() <-chan time.Time {
	if l.plan.AbandonAfter == 0 {
		return nil
	}
	return time.After(l.plan.AbandonAfter)
}

// outcome is how the worker ended: what the hook is told, and the error that
// the process ends with, nil if all is well.
type outcome struct {
	Shutdown
	err *fault.Fault
}

// callWorker is a goroutine of its own, which a runtime.Goexit of the worker ends
// without a return: only what is deferred is certain to happen.
func (l *Life) callWorker(ended chan<- outcome) {
	var err error
	returned := false
	defer func() {
		if returned {
			ended <- l.outcomeFrom(err)
			return
		}
		v := recover()
		if v == nil {
			v = "the worker called runtime.Goexit"
		}
		ended <- l.panicked(v, debug.Stack())
	}()
	err = l.code.Worker(l.ctx)
	returned = true
}

func (l *Life) panicked(v any, stack []byte) outcome {
	text := fmt.Sprint(v)
	fmt.Fprintf(os.Stderr, "panic: %s\n\n%s", text, stack)
	e := l.fail(errors.New("dying due to unhandled panic: " + text))
	if err, ok := v.(error); ok {
		l.hintAtDirectory(e, err)
	}
	return l.outcome("Dying due to unhandled panic: "+text, 2, "panic: "+text, e)
}

// outcomeFrom reads the worker's return value.
func (l *Life) outcomeFrom(err error) outcome {
	l.mu.Lock()
	sig, stopping := l.signal, l.phase.Ending()
	l.mu.Unlock()
	asked := stopping && (err == nil || errors.Is(err, l.ctx.Err()) || errors.Is(err, context.Cause(l.ctx)))
	code, message, exits := l.host.Exit(err)
	switch {
	case asked && sig != 0:
		return outcome{Shutdown: Shutdown{"Terminated by " + signals.Name(sig), -int(sig)}}
	case asked && errors.Is(context.Cause(l.ctx), fault.ErrStartCancelled):
		return outcome{Shutdown: Shutdown{"Start was cancelled", 0}}
	case asked && errors.Is(context.Cause(l.ctx), fault.ErrReload):
		return outcome{Shutdown: Shutdown{"Shutting down for reload", 0}}
	case asked || err == nil:
		return outcome{Shutdown: Shutdown{"Shutting down normally", 0}}
	case !exits:
		return l.outcome("Dying due to unhandled error: "+err.Error(), 1, err.Error(), l.relay(err))
	case message != "":
		return l.outcome("Exiting with message: "+message, code, message, l.relay(err))
	case code != 0:
		return l.outcome(fmt.Sprintf("Exiting with non-zero exit code %d", code), code, "", l.relay(err))
	}
	return outcome{Shutdown: Shutdown{"Shutting down normally", 0}}
}

func (l *Life) outcome(message string, code int, reason string, e *fault.Fault) outcome {
	e.PID, e.Code, e.Reason = os.Getpid(), code, reason
	l.hintAtDirectory(e, e.Err)
	return outcome{Shutdown{message, code}, e}
}

// hintAtDirectory says where the worker is, if it has died of a relative path: main, and the hooks in
// the launcher, are in the directory of whoever has called the program.
func (l *Life) hintAtDirectory(e *fault.Fault, cause error) {
	if path := missing(cause); path != "" && !filepath.IsAbs(path) && e.Hint == "" {
		e.Hint = fmt.Sprintf("The worker's directory is %s, and %s is not there: give the absolute path, or set %s.", l.plan.WorkDir, path, l.plan.Setting("WorkDir"))
	}
}

// missing is the path of an error that says that nothing is there.
func missing(err error) string {
	if !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if file, is := errors.AsType[*fs.PathError](err); is {
		return file.Path
	}
	if link, is := errors.AsType[*os.LinkError](err); is {
		if filepath.IsAbs(link.Old) {
			return link.New
		}
		return link.Old
	}
	return ""
}

func (l *Life) abandoned() outcome {
	l.mu.Lock()
	sig := l.signal
	l.mu.Unlock()
	if sig == 0 {
		return l.outcome("Shutting down normally", 1, "", l.fail(errors.New("the worker was abandoned")))
	}
	err := fmt.Errorf("the worker was abandoned after %s", signals.Name(sig))
	return l.outcome("Terminated by "+signals.Name(sig), -int(sig), "", l.fail(err))
}

// callHook gives the shutdown hook its one call. One that hangs is left behind
// like a worker.
func (l *Life) callHook(s Shutdown) {
	hook := l.code.Shutdown
	if hook == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := usercode.Call("shutdown hook", func() error { hook(s); return nil }); err != nil {
			l.complain("call the shutdown hook", err)
		}
	}()
	select {
	case <-done:
	case <-l.abandonTimer():
		l.complain("call the shutdown hook", errors.New("it did not return in time"))
	case <-l.abrupt:
		l.complain("call the shutdown hook", errors.New("it was cut short by a signal"))
	}
}
