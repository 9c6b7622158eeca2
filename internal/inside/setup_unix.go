//go:build unix

package inside

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/limits"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/privs"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// setUp makes this process what the settings say, in the order in which it is
// safe: what needs privilege first, the proof that it is gone last. What it has
// created before an error is in l.undo.
func (l *Life) setUp() error {
	if l.plan.PID != nil && l.plan.Worker != plan.Program { // or there is no reload
		launch.Locate()
	}
	// Before anything is created, so that everything has the right mode.
	syscall.Umask(l.plan.Umask)
	steps := []func() error{
		l.checkLayout,
		l.takePIDFile,
		l.makeOtherDirs,
		l.takeStreams,
		l.closeInherited,
		l.privileged,
		l.confine,
	}
	switch {
	case l.link != nil && l.link.Gated:
		// All that can be done without being in the other one's way.
		steps = []func() error{
			l.checkLayout,
			l.makeOtherDirs,
			l.takeStreams,
			l.closeInherited,
			l.waitAtGate,
			l.takePIDFile,
			l.privileged,
			l.confine,
		}
	case l.succession != nil:
		steps = []func() error{
			l.check,
			l.inheritPIDFile,
			l.inheritStreams,
			l.closeInherited,
			l.privileged,
			l.confine,
		}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
		// Who is asked to end before the predecessor counts on him ends alone.
		if err := context.Cause(l.ctx); errors.Is(err, fault.ErrStartCancelled) || err != nil && l.succession.others() {
			return l.fail(err)
		}
	}
	return nil
}

func (l *Life) takePIDFile() error {
	if l.plan.Private != "" {
		err := paths.Name{Path: l.plan.Private}.MakeAll(0o700, paths.Nobody, &l.undo)
		if err == nil {
			err = paths.CheckPrivate(l.plan.Private)
		}
		if err != nil {
			return l.cannot("create", l.plan.Private, err, "Set "+l.plan.Setting("PIDFile")+", or XDG_RUNTIME_DIR to a directory of your own.")
		}
	}
	if err := l.makeLayoutDirs(true); err != nil {
		return err
	}
	if l.plan.PID == nil {
		return nil
	}
	<-l.safe // from here on others know whom to signal
	held, err := l.plan.PID.Acquire(l.ctx, l.plan.Owner(), &l.undo)
	if err != nil {
		return l.plan.PIDFileFault(l.op, err)
	}
	l.held = held
	if l.link != nil {
		l.link.Send(launch.Message{Kind: launch.Locked})
	}
	return nil
}

// waitAtGate is where a restart finds out that the new daemon gets this far, before it
// stops the old one. If the launcher is gone, taking the PID file shows how things are.
func (l *Life) waitAtGate() error {
	l.link.Send(launch.Message{Kind: launch.Waiting})
	select {
	case <-l.gate:
	case <-l.ctx.Done():
		return l.fail(context.Cause(l.ctx))
	}
	return nil
}

func (l *Life) inheritPIDFile() error {
	if err := l.succession.broken; err != nil {
		return l.plan.Fail("reload", err)
	}
	l.held = l.succession.held
	return nil
}

func (l *Life) takeStreams() error {
	if l.foreground {
		return nil
	}
	if l.plan.ChrootDir != "" {
		if _, err := (paths.Name{Root: l.plan.ChrootDir, Path: os.DevNull}).Stat(); err != nil {
			return l.fail(fault.Say(`the "/dev/null" device does not exist. It must be created within the chroot directory for the daemon to function correctly.`, err))
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return l.cannot("open", os.DevNull, err, "")
	}
	out, errFile, err := openLogs(l.plan.Stdout, l.plan.Stderr, l.plan.Owner(), &l.undo)
	if err != nil {
		null.Close()
		return l.cannotOpenLog(err)
	}
	for _, f := range []*os.File{out, errFile} {
		if f != nil {
			if err := launch.HasRoom(f); err != nil {
				return l.cannot("write to log file", f.Name(), err, "Make room on the disk, or set another path.")
			}
		}
	}
	if out != nil && l.plan.Worker == plan.Program {
		l.link.Send(logMessage(launch.Stdout, out))
	}
	return l.putStreams(out, errFile, null)
}

// putStreams puts the files, or null, in the place of the standard streams.
func (l *Life) putStreams(out, errFile, null *os.File) error {
	if err := launch.Redirect(int(null.Fd()), 0); err != nil {
		return l.cannot("redirect", "stdin", err, "")
	}
	var err error
	if out == nil {
		err = launch.Redirect(int(null.Fd()), 1)
	} else {
		err = putOn(1, out)
	}
	if err != nil {
		return l.cannot("redirect", "stdout", err, "")
	}
	if errFile == nil {
		l.stderrLater(null)
		return nil
	}
	null.Close()
	stderr := logMessage(launch.Stderr, errFile)
	if err := putOn(2, errFile); err != nil {
		return l.cannot("redirect", "stderr", err, "")
	}
	l.link.Send(stderr)
	return nil
}

// stderrLater puts the file in the place of stderr with the verdict: until then what we
// write is for the launcher.
func (l *Life) stderrLater(f *os.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.null = f
	if l.verdict == phase.Alone {
		l.dropStderr()
	}
}

func (l *Life) cannotOpenLog(err error) *fault.Fault {
	thing := "log file"
	if path, is := errors.AsType[*fs.PathError](err); is {
		thing += " " + path.Path
	}
	hint := ""
	if fault.Has[*paths.LinkError](err) {
		hint = "Remove the link, give it to root, or set another path."
	}
	return l.cannot("open", thing, err, hint)
}

// inheritStreams opens the log files anew, as a start does, or goes on with those that the
// predecessor had open: the user that it has become may not be allowed to open them.
func (l *Life) inheritStreams() error {
	if l.foreground {
		return nil
	}
	theirs := l.succession.stderr
	out, errFile, err := openLogs(within(l.plan.Stdout), within(l.plan.Stderr), paths.Nobody, &l.undo)
	if errors.Is(err, fs.ErrPermission) {
		l.stderrLater(theirs)
		return nil
	}
	if err != nil {
		return l.cannotOpenLog(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		// As the predecessor, who was allowed to open it, has it for stdin.
		null, err = launch.Duplicate(0, os.DevNull)
	}
	if err != nil {
		return l.cannot("open", os.DevNull, err, "")
	}
	theirs.Close()
	return l.putStreams(out, errFile, null)
}

// logMessage says which file a stream has, and how long it was before this start.
func logMessage(kind launch.Kind, f *os.File) launch.Message {
	m := launch.Message{Kind: kind, Text: launch.Identity(f)}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		m.Code = int(info.Size())
	}
	return m
}

func (l *Life) closeInherited() error {
	switch {
	case l.link != nil && l.plan.CloseOpenFiles:
		l.link.CloseInherited()
	case l.link == nil && l.plan.CloseOpenFiles:
		// Sockets that a service manager passed are passed on purpose.
		passed, _ := environ.ListenFDs()
		launch.CloseInheritable(func(fd int) bool { return slices.Contains(passed, fd) })
	case l.link == nil:
		launch.SealInheritable()
	}
	return nil
}

// check lets the program look whether it could do its work.
func (l *Life) check() error {
	hook := l.code.Check
	if hook == nil {
		return nil
	}
	if err := usercode.Call("check hook", func() error { return hook(l.ctx) }); err != nil {
		return l.relay(err)
	}
	return nil
}

func (l *Life) privileged() error {
	hook := l.code.Privileged
	if hook == nil || l.succession != nil && (l.plan.ChrootDir != "" || !l.plan.ID.IsZero()) {
		return nil // in the latter case the privileges are gone
	}
	err := usercode.Call("privileged hook", func() error { return hook(l.ctx) })
	if err != nil {
		return l.relay(err)
	}
	return nil
}

// confine changes root directory, limits, working directory and identity.
func (l *Life) confine() error {
	change, err := privs.Prepare(l.plan.ID)
	if err != nil {
		return l.fail(err)
	}
	defer change.Close()
	if l.plan.Stranger() {
		environ.LeaveTerminal()
	}
	if dir := l.plan.ChrootDir; dir != "" && !Jailed() {
		if err := (paths.Name{Path: dir}).Chroot(); err != nil {
			hint := ""
			if fault.Has[*paths.LinkError](err) {
				hint = l.plan.LinkHint("ChrootDir")
			}
			if errors.Is(err, syscall.EPERM) {
				hint = "Only root can change the root directory; start as root, or do without " + l.plan.Setting("ChrootDir") + "."
			}
			return l.cannot("change root directory", "", err, hint)
		}
	}
	if l.plan.Worker == plan.Program {
		// It has the limits of whoever starts it, or those that it asks for.
		if err := l.host.Raise(l.op); err != nil {
			return err
		}
	} else if err := limits.NoCoreDumps(); err != nil {
		return l.cannot("switch off core dumps", "", err, "")
	}
	if err := (paths.Name{Path: l.plan.WorkDir}).Chdir(); err != nil {
		hint := ""
		if fault.Has[*paths.LinkError](err) {
			hint = l.plan.LinkHint("WorkDir")
		}
		return l.cannot("change working directory", "", err, hint)
	}
	if err := change.Drop(); err != nil {
		e := l.fail(err)
		if refused, is := errors.AsType[*privs.Error](err); is {
			e.Hint = refused.Hint(l.plan.Setting("User", "Group"))
		}
		return e
	}
	return nil
}
