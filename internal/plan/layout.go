package plan

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/daemonocle/daemonocle/internal/paths"
)

// Paths are what a layout fills in; daemonocle.Paths says what they mean.
type Paths struct {
	PIDFile    string
	StdoutFile string
	StderrFile string
	WorkDir    string
	Private    string
	Earlier    [3]string
	Warning    string
	Prefix     string
	System     bool
}

// Laid is what came from the layout.
type Laid struct {
	PID, Stdout, Stderr bool // these files' paths did
	Earlier             [3]string
	Private             string
	Warning             string

	// WorkDir is the working directory if the start is to create it.
	WorkDir *paths.Name

	prefix string
}

// layOut fills the settings that are empty.
func (m *maker) layOut() {
	if m.given.Layout == nil || len(m.problems) > 0 {
		return
	}
	p, err := m.given.Layout(m.Name)
	if err == nil {
		err = m.fill(p)
	}
	if err != nil {
		m.bad("Layout", "", err, "set "+m.Setting("PIDFile", "StdoutFile", "StderrFile")+" instead")
		return
	}
	if p.System {
		m.checkSystem()
	}
}

func (m *maker) fill(p Paths) (err error) {
	s, laid := &m.given, &m.Laid
	if p.Prefix != "" {
		if laid.prefix, err = absolute(s.ChrootDir, p.Prefix); err != nil {
			return err
		}
	}
	laid.Private = p.Private
	if s.PIDFile == "" {
		laid.Earlier, laid.Warning = p.Earlier, p.Warning
		if p.Private != "" && strings.HasPrefix(p.PIDFile, p.Private+"/") {
			m.Private = p.Private
			if err := paths.CheckPrivate(p.Private); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	var workDir bool // is checked like any other
	for _, f := range []struct {
		to   *string
		from string
		laid *bool
	}{
		{&s.PIDFile, p.PIDFile, &laid.PID},
		{&s.StdoutFile, p.StdoutFile, &laid.Stdout},
		{&s.StderrFile, p.StderrFile, &laid.Stderr},
		{&m.WorkDir, p.WorkDir, &workDir},
	} {
		if *f.to == "" {
			*f.to, *f.laid = f.from, true
		}
	}
	return nil
}

// checkSystem finds settings that do not go with a layout whose paths are those
// of the whole system.
func (m *maker) checkSystem() {
	if m.given.Name == "" {
		m.bad("Name", "", errors.New("is needed for the layout's paths"), "give the daemon a name")
	}
	if m.given.ChrootDir != "" {
		m.bad("ChrootDir", m.given.ChrootDir, errors.New("does not go with the layout, whose paths are those of the whole system"),
			"leave it empty, or set the paths instead of a layout")
	}
	if m.Foreground {
		m.bad("Foreground", "", errors.New("does not go with the layout, which is for detached daemons"),
			"leave it false; a single start stays in the foreground with Debug (start --debug)")
	}
}

// isPrefix reports whether the layout lets the start create the directory.
func (m *maker) isPrefix(dir string) bool {
	switch {
	case m.Laid.prefix == "":
		return false
	case m.ChrootDir != "":
		return dir == m.Laid.prefix
	}
	return Resolved(dir) == Resolved(m.Laid.prefix)
}

// Resolved follows the symbolic links in as much of a path as exists.
func Resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	dir := filepath.Dir(path)
	if dir == path {
		return path
	}
	return filepath.Join(Resolved(dir), filepath.Base(path))
}
