package daemonocle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Layout says where a daemon of a name keeps its files. It creates nothing.
type Layout func(name string) (Paths, error)

// Paths are what a Layout fills in; see the fields of Config of the same names.
type Paths struct {
	PIDFile    string
	StdoutFile string
	StderrFile string
	WorkDir    string

	// Private, if set, is a directory that is created with mode 0700 when
	// missing, and refused when it is anybody else's.
	Private string
}

// XDG is the layout for daemons of ordinary users, after the XDG base directory
// specification:
//
//	PID file  $XDG_RUNTIME_DIR/NAME/NAME.pid
//	stdout    $XDG_STATE_HOME/NAME/out.log
//	stderr    $XDG_STATE_HOME/NAME/err.log
//
// XDG_STATE_HOME is ~/.local/state by default. Without XDG_RUNTIME_DIR it is
// /run/user/UID if that is there and the user's, else a private directory
// daemonocle-UID in the temporary directory. Some systems remove the runtime
// directory at the user's last logout, and the PID file with it: see
// loginctl enable-linger.
func XDG(name string) (Paths, error) {
	var p Paths
	runtime := os.Getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(runtime) {
		runtime = filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
		if checkPrivate(runtime) != nil {
			runtime = filepath.Join(os.TempDir(), "daemonocle-"+strconv.Itoa(os.Getuid()))
			p.Private = runtime
		}
	}
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, err := os.UserHomeDir()
		if err != nil {
			return p, fmt.Errorf("find the home directory: %w", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	p.PIDFile = filepath.Join(runtime, name, name+".pid")
	p.StdoutFile = filepath.Join(state, name, "out.log")
	p.StderrFile = filepath.Join(state, name, "err.log")
	return p, nil
}

// layOut fills the settings that are empty.
func (d *Daemon) layOut() error {
	p, err := d.cfg.Layout(d.cfg.Name)
	if err != nil {
		return err
	}
	if d.cfg.PIDFile == "" && p.Private != "" {
		d.private = p.Private
		if err := checkPrivate(p.Private); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&d.cfg.PIDFile, p.PIDFile},
		{&d.cfg.StdoutFile, p.StdoutFile},
		{&d.cfg.StderrFile, p.StderrFile},
		{&d.cfg.WorkDir, p.WorkDir},
	} {
		if *f.to == "" {
			*f.to = f.from
		}
	}
	return nil
}

// checkPrivate refuses a directory that others could put names into: in a
// shared place such as /tmp anybody may have made it first.
func checkPrivate(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory; remove it", dir)
	case !owned(info):
		return fmt.Errorf("%s belongs to somebody else; it must be your own", dir)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to others; chmod 0700 it", dir)
	}
	return nil
}
