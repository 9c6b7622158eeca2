package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/proc"
)

// What more than one room has to say of a daemon is worded here. op is the action that has
// failed: it is given once, where the fault is made.

// Fail is a fault in our own words, which begin it.
//
// It is called from many places, each of which would be larger with its code.
//
//go:noinline
func (p *Plan) Fail(op string, err error) *fault.Fault { return fault.New(op, p.Name, err) }

// Relay is a fault that begins with a name, or with the words of somebody else.
func (p *Plan) Relay(op string, err error) *fault.Fault {
	f := fault.New(op, p.Name, err)
	f.Capital = false
	return f
}

// Misused is for a call that cannot be meant, before anything is tried.
func (p *Plan) Misused(op string, err error) *fault.Fault { return p.Fail(op, err).Misused() }

// Negative is for a timeout of a call's options.
func (p *Plan) Negative(op string, timeout time.Duration) *fault.Fault {
	f := p.Misused(op, fmt.Errorf("timeout %v is negative", timeout))
	f.Hint = "Use 0 for the default, or a positive duration."
	return f
}

// Cancelled words the end of a caller's context before a start was decided.
func (p *Plan) Cancelled(op string, ctx context.Context) *fault.Fault {
	f := p.Fail(op, fault.Say("start was cancelled", fault.ErrStartCancelled, context.Cause(ctx)))
	f.Code = fault.ExitCancelled
	return f
}

// NoWorker is for a start of a daemon that has nothing to do.
func (p *Plan) NoWorker(op string) *fault.Fault {
	return p.Fail(op, fault.Say("no worker is defined for daemon", fault.ErrNoWorker))
}

// NotRunning is for an action that needs a running daemon.
func (p *Plan) NotRunning(op string) *fault.Fault {
	return p.Relay(op, fault.Say(p.Name+" is not running", fault.ErrNotRunning))
}

// AlreadyRunning is for a start beside the daemon that runs as process pid, 0 if it cannot
// be named.
func (p *Plan) AlreadyRunning(op string, pid int) *fault.Fault {
	text := p.Name + " already running"
	if pid > 0 {
		text += fmt.Sprintf(" with PID %d", pid)
	}
	f := p.Relay(op, fault.Say(text, fault.ErrAlreadyRunning))
	f.PID = pid
	return f
}

// Held is for a PID file that somebody holds.
func (p *Plan) Held(op string, r *pidfile.Report) *fault.Fault {
	if r.State == pidfile.Running && !r.Severed {
		return p.AlreadyRunning(op, r.PID)
	}
	text := "PID file " + p.PIDPath() + " is locked by "
	if r.PID > 0 {
		text += fmt.Sprintf("process %d", r.PID)
		if r.UID >= 0 {
			text += " of user " + proc.Username(r.UID)
		}
	} else {
		text += "a process that cannot be named from here"
	}
	f := p.Fail(op, fault.Say(text, fault.ErrBlocked))
	f.PID = r.PID
	f.Hint = "It is no daemon of this program; end that process, or set " + p.Setting("PIDFile") + " to a path that others cannot read."
	if r.Severed {
		f.Hint = "A daemon has ended, and what it has left behind keeps its locks: look who has the file open, as with fuser, and end that."
	}
	return f
}

// PIDFileFault words what can be wrong with a PID file.
func (p *Plan) PIDFileFault(op string, err error) *fault.Fault {
	if err == fault.ErrUnsupported { // this system has none
		return p.Fail(op, err)
	}
	if busy, is := errors.AsType[*pidfile.BusyError](err); is {
		return p.Held(op, busy.Report)
	}
	if untrusted, is := errors.AsType[*pidfile.UntrustedError](err); is {
		f := p.Fail(op, fault.Say(err.Error(), fault.ErrBlocked, err))
		f.Hint = "Remove it, or set " + p.Setting("PIDFile") + " to another path."
		if untrusted.Kind == pidfile.OtherType { // as /dev/null, which the system needs
			f.Hint = "Set " + p.Setting("PIDFile") + " to another path."
		}
		return f
	}
	if unsafe, is := errors.AsType[*paths.UnsafeError](err); is {
		return p.Unsafe(op, unsafe, "PIDFile")
	}
	hint := ""
	switch {
	case fault.Has[*paths.LinkError](err):
		hint = p.LinkHint("PIDFile")
	case errors.Is(err, fs.ErrPermission):
		hint = "Run as a user who may use " + filepath.Dir(p.PIDPath()) + ", or set " + p.Setting("PIDFile") + " to another path."
	}
	return p.Cannot(op, "use PID file", p.PIDPath(), err, hint)
}

// Unsafe words what is wrong with the directory of a setting, which others could change.
func (p *Plan) Unsafe(op string, odd *paths.UnsafeError, setting string) *fault.Fault {
	owner := proc.Username(odd.UID)
	why := fmt.Sprintf("it belongs to %s: mode %04o", owner, odd.Mode.Perm())
	remedy := "Give it to root or to the daemon's user (chown)"
	if odd.Mode&0o002 != 0 {
		why = fmt.Sprintf("everybody can write to it: mode %04o, owner %s", odd.Mode.Perm(), owner)
		remedy = "Take the right to write from others (chmod o-w)"
	}
	return p.Cannot(op, "use directory", odd.Path, errors.New(why), remedy+", or set "+p.Setting(setting)+" to another path.")
}

// Cannot is for a system call that was refused: thing may be empty, and hint as well.
func (p *Plan) Cannot(op, act, thing string, err error, hint string) *fault.Fault {
	text := "unable to " + act
	if thing != "" {
		text += " " + thing
	}
	f := p.Fail(op, fault.Say(text+" ("+Cause(err)+")", err))
	if hint != "" {
		f.Hint = hint
	}
	return f
}

// PIDs lists processes.
func PIDs(pids []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(pids)), ", "), "[]")
}

// LinkHint says what to do about a stranger's symbolic link in the path of a setting.
func (p *Plan) LinkHint(setting string) string {
	return "Remove the link, give it to root, or set " + p.Setting(setting) + " to another path."
}

// Cause is the reason in an error whose path is named already.
func Cause(err error) string {
	if link, is := errors.AsType[*paths.LinkError](err); is {
		return "symbolic link " + link.Path + " belongs to user " + proc.Username(link.UID)
	}
	return fault.Cause(err).Error()
}

// FailureMessage carries the error of a set-up to the launcher.
func FailureMessage(err error) launch.Message {
	m := launch.Message{Kind: launch.Failed, Text: err.Error()}
	if f, is := errors.AsType[*fault.Fault](err); is {
		m.Text, m.Hint, m.PID = f.Err.Error(), f.Hint, f.PID
		switch {
		case errors.Is(err, fault.ErrAlreadyRunning):
			m.Kind = launch.Held
		case !f.Capital:
			m.Kind = launch.Refused
		case errors.Is(err, fault.ErrBlocked):
			m.Kind = launch.Blocked
		}
	}
	if errno, is := errors.AsType[syscall.Errno](err); is {
		m.Code = int(errno)
	}
	return m
}

// Failure is what the launcher makes of such a message.
func (p *Plan) Failure(op string, m launch.Message) *fault.Fault {
	if strings.TrimSpace(m.Text) == "" { // a worker can say so, which may be anybody's
		switch m.Kind {
		case launch.Held:
			return p.AlreadyRunning(op, m.PID)
		case launch.Blocked:
			return p.Held(op, &pidfile.Report{State: pidfile.Blocked, PID: m.PID, UID: -1})
		}
		m.Kind, m.Text = launch.Failed, "the daemon has not said why it does not start"
	}
	kinds := map[launch.Kind]error{launch.Held: fault.ErrAlreadyRunning, launch.Blocked: fault.ErrBlocked}
	var is []error
	if kind := kinds[m.Kind]; kind != nil {
		is = append(is, kind)
	}
	if m.Code != 0 {
		is = append(is, syscall.Errno(m.Code))
	}
	f := p.Relay(op, fault.Say(m.Text, is...))
	f.Capital = m.Kind == launch.Failed || m.Kind == launch.Blocked
	f.PID = m.PID
	if m.Hint != "" {
		f.Hint = m.Hint
	}
	return f
}
