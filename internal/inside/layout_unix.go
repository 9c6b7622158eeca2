//go:build unix

package inside

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/proc"
)

// layoutDir is a directory that the layout has chosen, not the program.
type layoutDir struct {
	paths.Name
	setting string
	early   bool // the PID file needs it
}

// layoutDirs are those that this life uses.
func (l *Life) layoutDirs() []layoutDir {
	var list []layoutDir
	if n := l.plan.Laid.WorkDir; n != nil {
		// Before the PID file only if that is inside: a start that loses to another
		// one takes back what it has created, unless the winner has a file in it.
		inside := l.plan.PID != nil && strings.HasPrefix(l.plan.PID.Path, n.Path+"/")
		list = append(list, layoutDir{*n, "WorkDir", inside})
	}
	for _, f := range []struct {
		laid    bool
		name    *paths.Name
		setting string
	}{
		{l.plan.Laid.PID, l.plan.PIDName(), "PIDFile"},
		{l.plan.Laid.Stdout && !l.foreground, l.plan.Stdout, "StdoutFile"},
		{l.plan.Laid.Stderr && !l.foreground, l.plan.Stderr, "StderrFile"},
	} {
		if f.laid && f.name != nil {
			list = append(list, layoutDir{paths.Name{Root: f.name.Root, Path: filepath.Dir(f.name.Path)}, f.setting, f.setting == "PIDFile"})
		}
	}
	return list
}

// checkLayout comes before anything is created. The directory of the PID file is
// looked at wherever it comes from: who can rename it decides what runs.
func (l *Life) checkLayout() error {
	for _, dir := range l.layoutDirs() {
		if err := l.lookSafe(dir); err != nil {
			return err
		}
	}
	if l.plan.PID == nil || l.plan.Laid.PID {
		return nil
	}
	err := (paths.Name{Root: l.plan.PID.Root, Path: filepath.Dir(l.plan.PID.Path)}).Owned(l.plan.Trusted())
	if odd, is := errors.AsType[*paths.UnsafeError](err); is {
		return l.plan.Unsafe(l.op, odd, "PIDFile")
	}
	return nil
}

func (l *Life) makeOtherDirs() error { return l.makeLayoutDirs(false) }

// makeLayoutDirs creates what is missing, not even with umask 0 so that the next
// start would refuse it, and looks again: in a directory such as /tmp somebody else
// may have been faster.
func (l *Life) makeLayoutDirs(early bool) error {
	for _, dir := range l.layoutDirs() {
		if dir.early != early {
			continue
		}
		err := paths.Insist(func() error { return dir.MakeAll(0o775, l.plan.Owner(), &l.undo) })
		switch {
		case err == nil:
		case dir.setting == "PIDFile":
			return l.plan.PIDFileFault(l.op, err)
		default:
			hint := ""
			if errors.Is(err, fs.ErrPermission) {
				hint = "Run as a user who may create it, or set " + l.plan.Setting(dir.setting) + " to another path."
			}
			return l.cannot("create directory", dir.String(), err, hint)
		}
		if err := l.lookSafe(dir); err != nil {
			return err
		}
	}
	return nil
}

// lookSafe words what is wrong with a directory of the layout. What cannot be looked
// at cannot be used either, which the use will say.
func (l *Life) lookSafe(dir layoutDir) error {
	err := dir.Safe(l.plan.Trusted())
	if odd, is := errors.AsType[*paths.UnsafeError](err); is {
		return l.plan.Unsafe(l.op, odd, dir.setting)
	}
	if link, is := errors.AsType[*paths.LinkError](err); is {
		return l.cannot("use directory", link.Path, errors.New("it is a symbolic link that belongs to "+proc.Username(link.UID)), l.plan.LinkHint(dir.setting))
	}
	return nil
}
