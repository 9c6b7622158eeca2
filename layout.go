package daemonocle

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/privs"
)

// Layout says where a daemon of a name keeps its files. It creates nothing. New
// calls it, in every process of the program, so that it must always give the
// same answer.
//
// A start refuses a directory of a layout that is not safe: one that neither
// root, nor the user who starts, nor User owns, or that everybody can write to
// without the sticky bit. That is the directory of the PID file or of a log file,
// and the one in which that directory is, or if it is missing, the innermost that
// exists. Paths that are set in Config are the program's own choice, but for whose the
// PID file's directory is.
type Layout func(name string) (Paths, error)

// Paths are what a Layout fills in; see the fields of Config of the same names.
type Paths struct {
	PIDFile    string
	StdoutFile string
	StderrFile string
	WorkDir    string

	// Private, if set, is a directory that is created with mode 0700 when
	// missing and the PID file is to be in it, and refused when it is anybody else's.
	Private string

	// Earlier are up to three other places of the PID file, for instance those of an
	// earlier layout: a daemon that runs there is found, and none is started beside it.
	// The first is used where the file system of PIDFile does not name the holder of a
	// lock. Empty ones are none.
	Earlier [3]string

	// Warning is what a start warns of, as it goes on behind "The PID file of NAME".
	Warning string

	// Prefix, if set, is a directory that the start creates when it is missing
	// and Config.WorkDir names it. User and Group get it.
	Prefix string

	// System means that the files are in places that all programs share: Config
	// must have a Name, and neither Foreground nor ChrootDir.
	System bool
}

// FHS is a layout for daemons of the whole system, after the Filesystem Hierarchy
// Standard. The place depends on where the program is installed:
//
//	prefix      PID file                      logs
//	/opt        /var/opt/NAME/run/NAME.pid    /var/opt/NAME/log/
//	/usr/local  /var/local/run/NAME/NAME.pid  /var/local/log/NAME/
//	/usr        /var/run/NAME/NAME.pid        /var/log/NAME/
//	any other   PREFIX/run/NAME.pid           PREFIX/log/
//
// The logs are called out.log and err.log, with logPrefix before that. An empty
// prefix is /opt. A relative one is resolved against the current directory in
// New. One that leads to a prefix of the table by symbolic links counts as that.
//
// Foreground, ChrootDir and an empty Name are errors from New: such a daemon is
// detached, except where that makes no sense (see Config.Foreground). A single
// start can stay in the foreground with StartOptions.Debug.
func FHS(prefix, logPrefix string) Layout {
	return func(name string) (Paths, error) {
		if err := plan.CheckName(name); err != nil {
			return Paths{}, fmt.Errorf("name %q %w", name, err)
		}
		home, err := filepath.Abs(cmp.Or(prefix, "/opt"))
		if err != nil {
			return Paths{}, fmt.Errorf("prefix %q: %w", prefix, err)
		}
		// Links decide which row of the table it is, and stay in the paths: the
		// kernel knows better than to follow a stranger's link in /tmp.
		run, log := fhsDirs(home, name)
		if run == "" {
			run, log = fhsDirs(plan.Resolved(home), name)
		}
		if run == "" {
			run, log = filepath.Join(home, "run"), filepath.Join(home, "log")
		}
		return Paths{
			PIDFile:    filepath.Join(run, name+".pid"),
			StdoutFile: filepath.Join(log, logPrefix+"out.log"),
			StderrFile: filepath.Join(log, logPrefix+"err.log"),
			Prefix:     home,
			System:     true,
		}, nil
	}
}

// fhsDirs are those for the prefixes that the standard names.
func fhsDirs(prefix, name string) (run, log string) {
	switch prefix {
	case "/opt":
		return "/var/opt/" + name + "/run", "/var/opt/" + name + "/log"
	case "/usr/local":
		return "/var/local/run/" + name, "/var/local/log/" + name
	case "/usr":
		return "/var/run/" + name, "/var/log/" + name
	}
	return "", ""
}

// Systemd is the layout for units that ask systemd for directories; see
// RuntimeDirectory= in systemd.exec(5):
//
//	PID file  $RUNTIME_DIRECTORY/NAME.pid
//	logs      $LOGS_DIRECTORY/out.log and err.log, without it $STATE_DIRECTORY/...
//
// Of a list it takes the first directory; one that is not absolute counts as
// empty. What the variables do not give is as fallback says; nil leaves it empty.
// Only systemd sets the variables: for an action on a terminal to find the daemon
// of a unit, the fallback must lead to the same PID file. With
// RuntimeDirectory=NAME it does that for FHS("/usr", ""), and for XDG, which looks
// there as well, in a unit of the user's.
func Systemd(fallback Layout) Layout {
	return func(name string) (p Paths, err error) {
		if fallback != nil {
			p, err = fallback(name)
		}
		runtime, logs := firstDir("RUNTIME_DIRECTORY"), firstDir("LOGS_DIRECTORY")
		if logs == "" {
			logs = firstDir("STATE_DIRECTORY")
		}
		if runtime != "" {
			was := p.PIDFile
			p.PIDFile, p.Warning = filepath.Join(runtime, name+".pid"), ""
			if p.Earlier[0] == "" {
				p.Private = ""
			} else { // one of them may be in it
				p.Earlier = [3]string{was, p.Earlier[0], p.Earlier[1]}
			}
		}
		if logs != "" {
			p.StdoutFile, p.StderrFile = filepath.Join(logs, "out.log"), filepath.Join(logs, "err.log")
		}
		if runtime != "" && logs != "" {
			err = nil // the fallback was not needed
		}
		return p, err
	}
}

func firstDir(variable string) string {
	dir, _, _ := strings.Cut(os.Getenv(variable), ":")
	if !filepath.IsAbs(dir) {
		return ""
	}
	return dir
}

// XDG is the layout for daemons of ordinary users, after the XDG base directory
// specification:
//
//	PID file  $XDG_STATE_HOME/NAME/@MACHINE/NAME.pid
//	stdout    $XDG_STATE_HOME/NAME/out.log
//	stderr    $XDG_STATE_HOME/NAME/err.log
//
// XDG_STATE_HOME is ~/.local/state by default, and without HOME the home directory is
// that of the user's entry in the password database. MACHINE stands for the machine, or the
// container if that has PIDs of its own, for several of them may share a home.
//
// A daemon that runs with the PID file in the runtime directory, where it was in earlier
// versions, is found there, and no other is started beside it: in
// $XDG_RUNTIME_DIR/NAME/NAME.pid, without that variable in /run/user/UID if that is
// there and the user's, else in a private directory daemonocle-UID in the temporary
// directory. That is also where the PID file is if the home is on a network file
// system, or on one that does not name the holder of a lock. Some systems remove the
// runtime directory at the user's last logout: a start warns then.
func XDG(name string) (Paths, error) {
	var p Paths
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, err := homeDir()
		if err != nil {
			return p, err
		}
		state = filepath.Join(home, ".local", "state")
	}
	p.StdoutFile = filepath.Join(state, name, "out.log")
	p.StderrFile = filepath.Join(state, name, "err.log")
	p.PIDFile = filepath.Join(state, name, "@"+environ.Machine(), name+".pid")

	uid := strconv.Itoa(os.Getuid())
	user, private := filepath.Join("/run/user", uid), filepath.Join(os.TempDir(), "daemonocle-"+uid)
	var dirs []string
	fleeting := true
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && !isOthers(dir) {
		dirs = append(dirs, dir)
	}
	if !slices.Contains(dirs, user) && paths.CheckPrivate(user) == nil {
		dirs = append(dirs, user)
	}
	if len(dirs) == 0 {
		p.Private, fleeting = private, false
	}
	if p.Private != "" || paths.CheckPrivate(private) == nil {
		dirs = append(dirs, private)
	}
	for i, dir := range dirs {
		p.Earlier[i] = filepath.Join(dir, name, name+".pid")
	}
	if paths.LocksIn(filepath.Dir(p.PIDFile)) == paths.LocksRemote {
		p = p.leaveHome(state, fleeting)
	}
	return p, nil
}

// leaveHome has the PID file where it was in earlier versions.
func (p Paths) leaveHome(state string, fleeting bool) Paths {
	p.PIDFile, p.Earlier = p.Earlier[0], [3]string{p.Earlier[1], p.Earlier[2]}
	if fleeting {
		p.Warning = "goes with the last logout, for " + state + " is on a network file system: see loginctl enable-linger"
	}
	return p
}

// isOthers: su and sudo may leave the variable of the user before, whose daemons are none
// of ours, and who could have us take any process of his for one.
func isOthers(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && (!paths.IsMine(info) || info.Mode().Perm()&0o022 != 0)
}

func homeDir() (string, error) {
	home := os.Getenv("HOME")
	if home == "" {
		var err error
		if home, err = privs.Home(os.Getuid()); err != nil {
			return "", fmt.Errorf("find the home directory: HOME is not set; %w", err)
		}
	}
	if !filepath.IsAbs(home) {
		return "", fmt.Errorf("find the home directory: %q is not absolute", home)
	}
	return home, nil
}
