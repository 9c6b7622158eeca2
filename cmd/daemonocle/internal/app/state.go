package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/daemonocle/daemonocle"
)

// nameForm is what a name can be: it becomes the name of files.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}$`)

func checkName(op, name string) error {
	if nameForm.MatchString(name) && !strings.Contains(name, "..") {
		return nil
	}
	return misuse(op, fmt.Sprintf("%q cannot be the name of a daemon", name),
		"A name has letters, digits and _ . @ + -, does not begin with one of the latter four, and has at most 64 characters.")
}

// places are the directories that all daemons of this user share.
type places struct{ state, run, private string }

func findPlaces() (places, error) {
	p, err := daemonocle.XDG("daemonocle")
	if err != nil {
		return places{}, failure("find", "daemonocle", err, "Set HOME, or XDG_STATE_HOME and XDG_RUNTIME_DIR.")
	}
	return places{state: filepath.Dir(p.StdoutFile), run: filepath.Dir(p.PIDFile), private: p.Private}, nil
}

func (p places) stateFile(name string) string { return filepath.Join(p.state, name+".json") }
func (p places) logDir(name string) string    { return filepath.Join(p.state, name) }
func (p places) pidFile(name string) string   { return filepath.Join(p.run, name, name+".pid") }

// layout is where a daemon of this command has its files.
func layout(name string) (daemonocle.Paths, error) {
	p, err := findPlaces()
	return daemonocle.Paths{
		PIDFile:    p.pidFile(name),
		StdoutFile: filepath.Join(p.logDir(name), "out.log"),
		StderrFile: filepath.Join(p.logDir(name), "err.log"),
		Private:    p.private,
	}, err
}

// damaged is an error about a state file.
func damaged(op, name, path string, err error) *daemonocle.Error {
	return failure(op, name, fmt.Errorf("what is remembered of %s cannot be used: %s %w", name, path, err),
		`Correct or remove that file; "daemonocle start --name `+name+` -- PROGRAM" writes a new one.`)
}

// load reads what is remembered of a daemon. The error wraps fs.ErrNotExist if
// nothing is.
func load(op, name string) (*definition, error) {
	if err := checkName(op, name); err != nil {
		return nil, err
	}
	at, err := findPlaces()
	if err != nil {
		return nil, err
	}
	path := at.stateFile(name)
	if err := checkStateDir(op, name, at.state); err != nil {
		return nil, err
	}
	f, err := openState(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, damaged(op, name, path, reason(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, damaged(op, name, path, reason(err))
	}
	d, err := parseState(b)
	if err == nil && d.Name != name {
		err = fmt.Errorf("is about a daemon %q", d.Name)
	}
	if err != nil {
		return nil, damaged(op, name, path, err)
	}
	return d, nil
}

// maxState is far beyond what an argument list can be.
const maxState = 8 << 20

// parseState reads a state file. The error goes on from its name.
func parseState(b []byte) (*definition, error) {
	if len(b) > maxState {
		return nil, errors.New("is too large")
	}
	var d definition
	var v struct{ Version *int }
	if err := json.Unmarshal(b, &v); err != nil || v.Version == nil {
		return nil, errors.New("is damaged: it is no description of a daemon")
	}
	if *v.Version != version {
		return nil, fmt.Errorf("has version %d, and this program knows only %d", *v.Version, version)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("is damaged: something follows the description")
	}
	if checkName("start", d.Name) != nil || !filepath.IsAbs(d.Program) && strings.Contains(d.Program, "/") || d.Program == "" || !filepath.IsAbs(d.Directory) {
		return nil, errors.New("is damaged: name, program and directory must be there")
	}
	if _, err := d.config(); err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	return &d, nil
}

// pending is a state file that is written, and not in its place yet: whether the
// disk has room for it is known before anything is started.
type pending struct {
	def        *definition
	temp, path string
}

func (d *definition) prepare() (*pending, error) {
	at, err := findPlaces()
	if err != nil {
		return nil, err
	}
	path := at.stateFile(d.Name)
	cannot := func(err error) *daemonocle.Error {
		return failure("start", d.Name, fmt.Errorf("what start is told cannot be remembered: write %s: %w", path, reason(err)), "Nothing was started.")
	}
	if err := os.MkdirAll(at.state, 0o700); err != nil {
		return nil, cannot(err)
	}
	if err := checkStateDir("start", d.Name, at.state); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, cannot(err)
	}
	f, err := os.CreateTemp(at.state, "."+d.Name+".*.tmp") // with mode 0600
	if err != nil {
		return nil, cannot(err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return nil, cannot(err)
	}
	return &pending{d, f.Name(), path}, nil
}

// keep puts the file in its place.
func (p *pending) keep() error {
	if err := os.Rename(p.temp, p.path); err != nil {
		return failure("start", p.def.Name, fmt.Errorf("it runs, but what start was told cannot be remembered: write %s: %w", p.path, reason(err)), "")
	}
	return nil
}

func (p *pending) discard() { os.Remove(p.temp) } // nothing, when it is in its place

// reason is the innermost cause of a system call's error: its path is named
// already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}

// open makes the daemon of that name for an action.
func open(name, op string) (*daemonocle.Daemon, error) {
	def, err := load(op, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return unremembered(name, op)
	case err != nil && (op == "stop" || op == "status"):
		if d, bare := unremembered(name, op); bare == nil {
			if s, bad := d.Status(background, plainStatus); bad == nil && s.Running {
				return d, nil // it can be ended whatever is remembered of it
			}
		}
		return nil, err
	case err != nil:
		return nil, err
	case op == "start" || op == "restart":
		return def.daemon(op)
	}
	return def.handle(op)
}

// unremembered is a daemon of which there is no more than its PID file, such as one
// that run has started.
func unremembered(name, op string) (*daemonocle.Daemon, error) {
	at, err := findPlaces()
	if err != nil {
		return nil, err
	}
	if op != "start" && op != "restart" {
		if _, err := os.Lstat(at.pidFile(name)); err == nil {
			return (&definition{Name: name}).handle(op)
		}
	}
	return nil, unknown(op, name)
}

func unknown(op, name string) *daemonocle.Error {
	return failure(op, name, fmt.Errorf("there is no daemon %q", name),
		`"daemonocle list" shows those that there are; "daemonocle start --name `+name+` -- PROGRAM" makes one.`)
}

// allNames lists the daemons that are remembered, and those that have a PID file.
func allNames() ([]string, error) {
	at, err := findPlaces()
	if err != nil {
		return nil, err
	}
	var names []string
	entries, err := os.ReadDir(at.state)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, failure("list", "daemonocle", err, "")
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && nameForm.MatchString(name) {
			names = append(names, name)
		}
	}
	entries, _ = os.ReadDir(at.run)
	for _, e := range entries {
		if _, err := os.Lstat(at.pidFile(e.Name())); err == nil && nameForm.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
