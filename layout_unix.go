//go:build unix

package daemonocle

import (
	"errors"
	"fmt"
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
func (l *life) layoutDirs() []layoutDir {
	d := l.d
	var list []layoutDir
	if n := d.laid.workDir; n != nil {
		// Before the PID file only if that is inside: a start that loses to another
		// one takes back what it has created, unless the winner has a file in it.
		inside := d.pid != nil && strings.HasPrefix(d.pid.Path, n.Path+"/")
		list = append(list, layoutDir{*n, "WorkDir", inside})
	}
	add := func(from bool, n *paths.Name, setting string) {
		if from && n != nil {
			list = append(list, layoutDir{paths.Name{Root: n.Root, Path: filepath.Dir(n.Path)}, setting, setting == "PIDFile"})
		}
	}
	add(d.laid.pid, d.pidName(), "PIDFile")
	if !l.foreground {
		add(d.laid.stdout, d.stdout, "StdoutFile")
		add(d.laid.stderr, d.stderr, "StderrFile")
	}
	return list
}

// checkLayout comes before anything is created.
func (l *life) checkLayout() error {
	for _, dir := range l.layoutDirs() {
		if err := l.d.safe(dir); err != nil {
			return err
		}
	}
	return nil
}

func (l *life) makeOtherDirs() error { return l.makeLayoutDirs(false) }

// makeLayoutDirs creates what is missing, not even with umask 0 so that the next
// start would refuse it, and looks again: in a directory such as /tmp somebody else
// may have been faster.
func (l *life) makeLayoutDirs(early bool) error {
	d := l.d
	for _, dir := range l.layoutDirs() {
		if dir.early != early {
			continue
		}
		err := paths.Insist(func() error { return dir.MakeAll(0o775, d.owner(), &l.undo) })
		switch {
		case err == nil:
		case dir.setting == "PIDFile":
			return d.pidFileError("start", err)
		default:
			hint := ""
			if errors.Is(err, fs.ErrPermission) {
				hint = "Run as a user who may create it, or set " + dir.setting + " to another path."
			}
			return d.unable("create directory", dir.String(), err, hint)
		}
		if err := d.safe(dir); err != nil {
			return err
		}
	}
	return nil
}

// safe words what is wrong with a directory of the layout. What cannot be looked
// at cannot be used either, which the use will say.
func (d *Daemon) safe(dir layoutDir) error {
	var trusted []int
	if d.id.SwitchUser {
		trusted = append(trusted, d.id.UID)
	}
	var odd *paths.UnsafeError
	if !errors.As(dir.Safe(trusted), &odd) {
		return nil
	}
	var why, remedy string
	owner := proc.Username(odd.UID)
	switch {
	case odd.Mode&fs.ModeSymlink != 0:
		why, remedy = "it is a symbolic link that belongs to "+owner, "Remove it"
	case odd.Mode&0o002 != 0:
		why = fmt.Sprintf("everybody can write to it: mode %04o, owner %s", odd.Mode.Perm(), owner)
		remedy = "Take the right to write from others (chmod o-w)"
	default:
		why = fmt.Sprintf("it belongs to %s: mode %04o", owner, odd.Mode.Perm())
		remedy = "Give it to root or to the daemon's user (chown)"
	}
	return d.unable("use directory", odd.Path, errors.New(why), remedy+", or set "+dir.setting+" to another path.")
}
