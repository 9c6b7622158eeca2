// Package plan has the settings of a daemon as they were resolved and checked: what every
// room that starts, is or stops one looks at. It makes and changes nothing, and knows none
// of the program's functions.
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/privs"
	"github.com/daemonocle/daemonocle/internal/signals"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// Settings are what the program gave, by the names of daemonocle.Config, which says what
// they mean.
type Settings struct {
	Name string

	PIDFile, WorkDir, StdoutFile, StderrFile, ChrootDir string

	Layout func(name string) (Paths, error) // nil: none

	User, Group string
	Umask       *fs.FileMode

	Foreground, CloseOpenFiles, NoArgs, RequireReady bool

	StopTimeout, StartTimeout, StartWindow, AbandonAfter time.Duration
	StopSignal                                           syscall.Signal

	SetBy map[string]string

	Member Member

	Worker Worker
	Jailed bool // this process's root directory is already what ChrootDir names
}

// Worker is what a daemon's work is.
type Worker int

const (
	NoWorker Worker = iota // nothing is known of it: the daemon can be acted on, not started
	GoCode                 // of this program
	Program                // another program, which the daemon becomes
)

// Member is a place in a group of workers.
type Member struct{ N, Of int }

func (m Member) key() string {
	if m.Of == 1 {
		return ""
	}
	return strconv.Itoa(m.N)
}

// Plan is what was made of the settings. Nothing in it changes any more, so that everybody
// may read it.
type Plan struct {
	Name   string
	Worker Worker
	Member Member
	Key    launch.Key

	PID     *pidfile.File // nil: none
	Stdout  *paths.Name   // nil: none, and so for the next
	Stderr  *paths.Name
	Private string // directory that must be this user's alone; empty: none
	Laid    Laid

	WorkDir, ChrootDir string // absolute
	ID                 privs.Identity
	Umask              int

	Foreground, CloseOpenFiles, NoArgs, RequireReady bool

	StopTimeout, StartTimeout, StartWindow, AbandonAfter time.Duration

	// OwnStopSignal is the program's choice, 0 if it made none. See StopSignal.
	OwnStopSignal syscall.Signal

	// SetBy says how an operator sets what is in these fields of the Config.
	SetBy map[string]string
}

// Problem is one setting that is refused.
type Problem struct {
	Setting string // empty: it is about none of them
	Value   string
	Err     error
	Hint    string // what to do
}

// maker collects what is wrong while a plan is made.
type maker struct {
	*Plan
	given    Settings
	problems []Problem
}

func (m *maker) bad(setting, value string, err error, hint string) {
	if h := fault.NoFilesHint(err); h != "" { // that there was nothing to look with says nothing of the setting
		hint = h
	}
	m.problems = append(m.problems, Problem{setting, value, err, hint})
}

// Make resolves and checks the settings. Where there are problems, the plan is not to be
// carried out.
func Make(s Settings) (*Plan, []Problem) {
	m := &maker{given: s, Plan: &Plan{
		Name: s.Name, Worker: s.Worker, Member: s.Member, WorkDir: s.WorkDir, Umask: 0o022,
		Foreground: s.Foreground, CloseOpenFiles: s.CloseOpenFiles, NoArgs: s.NoArgs, RequireReady: s.RequireReady,
		StopTimeout: s.StopTimeout, StartTimeout: s.StartTimeout, StartWindow: s.StartWindow, AbandonAfter: s.AbandonAfter,
		OwnStopSignal: s.StopSignal, SetBy: maps.Clone(s.SetBy),
	}}
	m.name()
	m.layOut()
	m.directories()
	m.files()
	m.identity()
	m.umask()
	if m.PID != nil {
		m.PID.Umask = m.Umask
	}
	m.limits()
	m.Key = launch.Key{Name: m.Name, PIDFile: m.PIDPath(), Member: s.Member.key()}
	return m.Plan, m.problems
}

func (m *maker) name() {
	if m.Name == "" && len(os.Args) > 0 {
		m.Name = filepath.Base(os.Args[0])
	}
	if err := CheckName(m.Name); err != nil {
		m.bad("Name", m.Name, err, "use a short word")
	}
}

func (m *maker) directories() {
	before := len(m.problems)
	m.ChrootDir = m.directory("ChrootDir", m.given.ChrootDir)
	switch {
	case m.WorkDir == "":
		m.WorkDir = "/" // of which nothing needs to be asked
	case len(m.problems) == before: // else nothing is known of what is inside
		m.WorkDir = m.directory("WorkDir", m.WorkDir)
	}
}

// directory resolves and checks a directory. One that may not be looked at is
// left to the start, which has more rights than a mere status, and so is one to
// which a stranger's link leads, or for which there is no descriptor: a stop needs no
// working directory.
func (m *maker) directory(setting, dir string) string {
	if dir == "" {
		return ""
	}
	if m.given.Jailed && filepath.IsAbs(dir) {
		return filepath.Clean(dir) // it can be seen from outside only
	}
	abs, err := filepath.Abs(dir)
	seen := paths.Name{Path: abs}
	if setting != "ChrootDir" && m.ChrootDir != "" {
		abs = filepath.Join("/", dir)
		seen = paths.Name{Root: m.ChrootDir, Path: abs}
	}
	if err != nil {
		m.bad(setting, dir, err, "give an absolute path")
		return dir
	}
	switch isDir, err := seen.Stat(); {
	case errors.Is(err, fs.ErrPermission), fault.Has[*paths.LinkError](err), fault.NoFilesHint(err) != "":
	case errors.Is(err, fs.ErrNotExist) && setting == "WorkDir" && m.isPrefix(abs):
		seen.Path = abs
		m.Laid.WorkDir = &seen
	case err != nil:
		m.bad(setting, dir, fault.Cause(err), "create it, or name another directory")
	case !isDir:
		m.bad(setting, dir, errors.New("is not a directory"), "name a directory")
	}
	return abs
}

func (m *maker) files() {
	if n := m.file("PIDFile", m.given.PIDFile); n != nil {
		m.PID = &pidfile.File{Name: *n, Private: m.Laid.Private}
		for _, earlier := range m.Laid.Earlier {
			if filepath.IsAbs(earlier) {
				m.PID.Earlier = append(m.PID.Earlier, paths.Name{Root: n.Root, Path: earlier})
			}
		}
	}
	m.Stdout = m.file("StdoutFile", m.given.StdoutFile)
	m.Stderr = m.file("StderrFile", m.given.StderrFile)
	for _, log := range []struct {
		setting string
		name    *paths.Name
	}{{"StdoutFile", m.Stdout}, {"StderrFile", m.Stderr}} {
		if log.name != nil && m.PID != nil && *log.name == m.PID.Name {
			m.bad(log.setting, log.name.Path, errors.New("is the PID file as well"), "give each its own path")
		}
	}
	if m.Private != "" && m.given.ChrootDir != "" {
		m.bad("ChrootDir", m.given.ChrootDir, errors.New("cannot hold the layout's private directory "+m.Private), "set "+m.Setting("PIDFile"))
	}
}

// file is nil if there is none, or it is refused.
func (m *maker) file(setting, path string) *paths.Name {
	if path == "" {
		return nil
	}
	if strings.ContainsRune(path, 0) || strings.HasSuffix(path, "/") || filepath.Base(path) == "." || filepath.Base(path) == ".." {
		m.bad(setting, path, errors.New("does not name a file"), "give the path of a file")
		return nil
	}
	abs, err := m.Absolute(path)
	if err != nil {
		m.bad(setting, path, err, "give an absolute path")
		return nil
	}
	return &paths.Name{Root: m.ChrootDir, Path: abs}
}

func (m *maker) identity() {
	user, group := m.given.User, m.given.Group
	if id, err := privs.Lookup(user, group); err == nil {
		m.ID = id
	} else if !m.given.Jailed { // where there need be no database, and no change any more
		m.unknown(user, group, err)
	}
	if m.PID != nil && m.ID.SwitchUser {
		m.PID.Trusted = m.Trusted()
		m.PID.Stranger = m.ID.UID != 0 && m.ID.UID != os.Geteuid()
	}
}

// unknown says which of the two is not known.
func (m *maker) unknown(user, group string, err error) {
	const hint = "name one that exists, or its number"
	userHint := hint
	_, badGroup := privs.Lookup("", group)
	badUser := err
	if badGroup != nil {
		_, badUser = privs.Lookup(user, "0") // any number is a group
	}
	if badUser != nil {
		if _, err := privs.Lookup(user, "0"); err == nil { // only its group is not known
			userHint = "set " + m.Setting("Group") + " as well"
		}
		m.bad("User", user, badUser, userHint)
	}
	if badGroup != nil {
		m.bad("Group", group, badGroup, hint)
	}
}

func (m *maker) umask() {
	mask := m.given.Umask
	if mask == nil {
		return
	}
	if *mask&^0o777 != 0 {
		m.bad("Umask", fmt.Sprintf("%#o", *mask), errors.New("is no mask of permission bits"), "use 0 to 0777")
	}
	m.Plan.Umask = int(*mask & 0o777)
}

func (m *maker) limits() {
	if err := signals.CheckStop(m.OwnStopSignal, m.Worker == GoCode); err != nil {
		m.bad("StopSignal", strconv.Itoa(int(m.OwnStopSignal)), err, "use SIGTERM, SIGINT, SIGQUIT or another that ends a process")
	}
	m.duration("StopTimeout", &m.StopTimeout, 10*time.Second)
	m.duration("StartTimeout", &m.StartTimeout, time.Minute)
	m.duration("StartWindow", &m.StartWindow, timing.StartWindow)
	m.duration("AbandonAfter", &m.AbandonAfter, 0)
}

func (m *maker) duration(setting string, value *time.Duration, usual time.Duration) {
	if *value < 0 {
		m.bad(setting, value.String(), errors.New("is negative"), fmt.Sprintf("use 0 for the default (%v) or a positive duration", usual))
	}
	if *value == 0 {
		*value = usual
	}
}

// CheckName refuses what would be no file's name, or unreadable in a message.
func CheckName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || name == "/":
		return errors.New("is no name")
	case strings.ContainsRune(name, '/'):
		return errors.New("holds a slash")
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("holds control characters")
	}
	return nil
}

// Setting names settings to who reads of them: by what sets them, or by the fields.
func (p *Plan) Setting(fields ...string) string {
	var names []string
	for _, f := range fields {
		name := cmp.Or(p.SetBy[f], f)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// StopSignal is the one that asks the daemon to end.
func (p *Plan) StopSignal() syscall.Signal {
	if p.OwnStopSignal == 0 {
		return syscall.SIGTERM
	}
	return p.OwnStopSignal
}

// PIDPath is the PID file's path as seen from outside ChrootDir; empty: there is none.
func (p *Plan) PIDPath() string {
	if p.PID == nil {
		return ""
	}
	return p.PID.String()
}

// PIDName is nil if there is no PID file.
func (p *Plan) PIDName() *paths.Name {
	if p.PID == nil {
		return nil
	}
	return &p.PID.Name
}

// Absolute resolves a path as the daemon will see it.
func (p *Plan) Absolute(path string) (string, error) { return absolute(p.ChrootDir, path) }

func absolute(root, path string) (string, error) {
	if root != "" {
		return filepath.Join("/", path), nil
	}
	return filepath.Abs(path)
}

// Goodbye is how long the worker may take to return when its context has ended.
func (p *Plan) Goodbye() time.Duration {
	if p.AbandonAfter > 0 {
		return min(p.StopTimeout, p.AbandonAfter)
	}
	return p.StopTimeout
}

// User is the one that the daemon changes to, -1 if it changes to none.
func (p *Plan) User() int {
	if p.ID.SwitchUser {
		return p.ID.UID
	}
	return -1
}

// Trusted are the users, besides root and this process's, whose directories and files are good.
func (p *Plan) Trusted() []int {
	if p.ID.SwitchUser {
		return []int{p.ID.UID}
	}
	return nil
}

// Stranger reports whether the daemon's user is one whose word the caller, root, does not
// take.
func (p *Plan) Stranger() bool { return os.Geteuid() == 0 && p.User() > 0 }

// Owner is whose the created files and directories become.
func (p *Plan) Owner() paths.Owner {
	o := paths.Nobody
	if p.ID.SwitchUser {
		o.UID = p.ID.UID
	}
	if p.ID.SwitchGroup {
		o.GID = p.ID.GID
	}
	return o
}
