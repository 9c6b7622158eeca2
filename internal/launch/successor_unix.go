//go:build unix

package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/retried"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// Locate notes the path by which this program was called, where a successor finds
// what is the program then. It is called while root directory and user are those of
// the call.
func Locate() {
	if origin.path != "" || len(origin.args) == 0 {
		return
	}
	called := origin.args[0]
	switch {
	case strings.Contains(called, "/"):
		if !filepath.IsAbs(called) {
			called = filepath.Join(origin.dir, called)
		}
	default:
		called = inPath(called)
	}
	if leadsToUs(called) {
		origin.path = called
	} else if exe, err := os.Executable(); err == nil && leadsToUs(exe) {
		origin.path = exe // somebody has called us by a name of his own
	}
}

func inPath(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if filepath.IsAbs(path) && retried.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	return ""
}

func leadsToUs(path string) bool {
	running, err := image()
	if err != nil || path == "" {
		return false
	}
	ours, err := fileid.OfPath(running)
	theirs, missing := fileid.OfPath(path)
	return err == nil && missing == nil && ours == theirs
}

// imageForSuccessor is the file that a successor executes: what is now at the path by which this
// program was called. Where there is no such path, and in a jail, it is the running
// image.
func imageForSuccessor(jailed bool) (string, error) {
	if origin.path != "" && !jailed {
		return origin.path, nil
	}
	path, err := image()
	if jailed && (err != nil || !ownName(path)) {
		return "", errors.New("find this program's own file: /proc is not mounted in the root directory")
	}
	return path, err
}

// Successor starts the process that is to take this one's place: with the arguments,
// the environment and the working directory that this program was started with, in a
// process group of its own, and with this process's streams. If it is not in the
// foreground, its stderr is the Launch's until the verdict. sibling makes it the
// child of our parent where the system can do that: its wait status is then our
// parent's, too.
func Successor(h Hello, pass []Passed, files []*os.File, sibling bool) (*Launch, error) {
	t, err := newTemplate()
	if err != nil {
		return nil, err
	}
	if t.path, err = imageForSuccessor(h.Jailed); err != nil {
		return nil, err
	}
	l := &Launch{}
	std := [3]int{0, 1, 2}
	if !h.Foreground {
		if l.stderr, err = scratch(); err != nil {
			return nil, err
		}
		std[2] = int(l.stderr.Fd())
	}
	for _, f := range files {
		pass = append(pass, Passed{f.Name(), int(f.Fd())})
	}
	for _, p := range pass {
		h.Files = append(h.Files, p.Name)
	}
	theirs, err := l.connect(h)
	if err != nil {
		l.Close()
		return nil, err
	}
	defer unix.Close(theirs)
	fds := []int{theirs}
	for _, p := range pass {
		fds = append(fds, p.FD)
	}
	var pid int
	for end, pause := time.Now().Add(timing.ImageBusy), time.Millisecond; ; pause *= 2 {
		pid, err = t.spawn("daemon", 1, fds, std, successorAttr(sibling))
		if !errors.Is(err, syscall.ETXTBSY) || time.Now().Add(pause).After(end) {
			break
		}
		time.Sleep(pause)
	}
	runtime.KeepAlive(files)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("execute %s: %w", t.path, err)
	}
	l.adopt(pid)
	return l, nil
}

// Adopted is a keeper's hold on a daemon that another daemon has started to take its
// place. It says nothing: the wire is the first one's still.
func Adopted(h *proc.Handle) *Launch { return &Launch{pid: h.PID(), handle: h} }
