// Package paths opens and creates what a daemon's settings name, also inside a
// directory that becomes the root directory later, and takes back what a failed
// start has created.
package paths

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Owner receives what is created. A negative number changes nothing.
type Owner struct{ UID, GID int }

// Nobody leaves created files with the process that creates them.
var Nobody = Owner{UID: -1, GID: -1}

// Name is a path, inside Root unless that is empty.
type Name struct {
	Root string
	Path string
}

// String is the path as it is seen from outside Root.
//
// It is called from many places, each of which would be larger with its code.
//
//go:noinline
func (n Name) String() string { return filepath.Join("/", n.Root, n.Path) }

// split gives the directory, relative to Root, and the last element.
func (n Name) split() (dir, base string, err error) {
	p := filepath.Clean("/" + n.Path)
	if p == "/" {
		return "", "", errors.New("names a directory")
	}
	dir, base = filepath.Split(p)
	return filepath.Clean(dir), base, nil
}

// UnsafeError names a directory that somebody who is not trusted decides about.
type UnsafeError struct {
	Path string
	UID  int // of its owner
	Mode fs.FileMode
}

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("%s is not safe: owner %d, mode %v", e.Path, e.UID, e.Mode)
}

// LinkError names a symbolic link on the way to a file or directory that belongs
// neither to root nor to this process's user.
type LinkError struct {
	Path string
	UID  int // of its owner, or of the directory's if that one has given it this name
}

func (e *LinkError) Error() string {
	return fmt.Sprintf("symbolic link %s belongs to user %d", e.Path, e.UID)
}

func elements(dir string) []string {
	dir = strings.Trim(filepath.Clean("/"+dir), "/")
	if dir == "" {
		return nil
	}
	return strings.Split(dir, "/")
}

// Undo remembers how to take back what a start has created, newest first. The
// zero value is ready. It is not safe for concurrent use.
type Undo struct{ steps []step }

type step struct{ undo, release func() }

func (u *Undo) add(undo, release func()) {
	if u == nil {
		release()
		return
	}
	u.steps = append(u.steps, step{undo, release})
}

// Back takes everything back.
func (u *Undo) Back() {
	for i := len(u.steps) - 1; i >= 0; i-- {
		u.steps[i].undo()
		u.steps[i].release()
	}
	u.steps = nil
}

// Keep forgets how to take things back.
func (u *Undo) Keep() {
	for _, s := range u.steps {
		s.release()
	}
	u.steps = nil
}
