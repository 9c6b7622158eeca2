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
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/fault"
)

// isName reports whether a daemon can have this name: it becomes the name of files, and
// the log directory of one that ends in .json would have the place of another's state file.
func isName(name string) bool {
	const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	return len(name) > 0 && len(name) <= 64 && strings.IndexByte(first, name[0]) >= 0 &&
		strings.Trim(name, first+".@+-") == "" && !strings.Contains(name, "..") && !strings.HasSuffix(name, ".json")
}

const nameRule = "a name has letters, digits and _ . @ + -, does not begin with one of the latter four nor end in .json, and has at most 64 characters"

func checkName(op, name string) error {
	if isName(name) {
		return nil
	}
	return misuse(op, fmt.Sprintf("%q cannot be the name of a daemon", name),
		strings.ToUpper(nameRule[:1])+nameRule[1:]+".")
}

// places are the directories that all daemons of this user share.
type places struct {
	state, run, private, warning string
	earlier                      [3]string // where the PID files may be as well
}

func findPlaces() (places, error) {
	p, err := daemonocle.XDG("daemonocle")
	if err != nil {
		return places{}, failure("find", "daemonocle", err, "Set HOME, or XDG_STATE_HOME and XDG_RUNTIME_DIR.")
	}
	at := places{state: filepath.Dir(p.StdoutFile), run: filepath.Dir(p.PIDFile), private: p.Private, warning: p.Warning}
	for i, path := range p.Earlier {
		if path != "" {
			at.earlier[i] = filepath.Dir(path)
		}
	}
	return at, nil
}

func (p places) stateFile(name string) string { return filepath.Join(p.state, name+".json") }
func (p places) logDir(name string) string    { return filepath.Join(p.state, name) }
func (p places) pidFile(name string) string   { return pidFileIn(p.run, name) }

func pidFileIn(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name, name+".pid")
}

// layout is where a daemon of this command has its files.
func layout(name string) (daemonocle.Paths, error) {
	p, err := findPlaces()
	return p.layout(name), err
}

func (p places) layout(name string) daemonocle.Paths {
	files := daemonocle.Paths{
		PIDFile:    p.pidFile(name),
		StdoutFile: filepath.Join(p.logDir(name), "out.log"),
		StderrFile: filepath.Join(p.logDir(name), "err.log"),
		Private:    p.private,
		Warning:    p.warning,
	}
	for i, dir := range p.earlier {
		files.Earlier[i] = pidFileIn(dir, name)
	}
	return files
}

// found is the PID file that is there, else the one that will be.
func (p places) found(name string) string {
	for _, dir := range append([]string{p.run}, p.earlier[:]...) {
		if path := pidFileIn(dir, name); path != "" {
			if _, err := os.Lstat(path); err == nil {
				return path
			}
		}
	}
	return p.pidFile(name)
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
		return nil, damaged(op, name, path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, damaged(op, name, path, fmt.Errorf("cannot be read: %w", fault.Cause(err)))
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

// maxState is beyond what an argument list can be: three quarters of 8 MiB, each byte of
// which JSON may write as six.
const maxState = 64 << 20

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
	if !utf8.Valid(b) { // it would be read as something else
		return nil, errors.New("is damaged: it is not UTF-8")
	}
	if err := strict(b, &d); err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	program := string(d.Program)
	if checkName("start", d.Name) != nil || !filepath.IsAbs(program) && strings.Contains(program, "/") || program == "" || !filepath.IsAbs(string(d.Directory)) {
		return nil, errors.New("is damaged: name, program and directory must be there")
	}
	if _, err := d.config(); err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	return &d, nil
}

// strict reads one JSON value with no unknown keys, and nothing behind it.
func strict(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the description")
	}
	return nil
}

// pending is a state file that is written, and not in its place yet: whether the
// disk has room for it is known before anything is started.
type pending struct {
	def        *definition
	temp, path string // temp is empty if path says the same already
}

func (d *definition) prepare() (*pending, error) {
	at, err := findPlaces()
	if err != nil {
		return nil, err
	}
	path := at.stateFile(d.Name)
	cannot := func(err error) *daemonocle.Error {
		return failure("start", d.Name, fmt.Errorf("what start is told cannot be remembered: write %s: %w", path, fault.Cause(err)), "Nothing was started.")
	}
	err = makeStateDir(at.state)
	if bad := checkStateDir("start", d.Name, at.state); bad != nil {
		return nil, bad
	}
	if err != nil {
		return nil, cannot(err)
	}
	if dir := filepath.Dir(at.pidFile(d.Name)); d.User != "" || d.Group != "" || !isOwn(dir) {
		os.Remove(dir) // if it is empty: it is of the user who had it before
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, cannot(err)
	}
	b = append(b, '\n')
	// Nobody else writes it, for whoever starts this daemon has its lock; and one
	// that was killed has left it for this.
	temp := filepath.Join(at.state, "."+d.Name+".tmp")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, cannot(err)
	}
	if holds(path, b) {
		return &pending{d, "", path}, nil
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, cannot(err)
	}
	// Synchronized, or after a power cut there could be an empty file under the
	// new name.
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return nil, cannot(err)
	}
	return &pending{d, f.Name(), path}, nil
}

// holds reports whether there is a state file with this text.
func holds(path string, text []byte) bool {
	f, err := openState(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(len(text))+1))
	return err == nil && bytes.Equal(b, text)
}

// keep puts the file in its place, to be found there whatever comes.
func (p *pending) keep() error {
	if p.temp == "" {
		return nil
	}
	err := os.Rename(p.temp, p.path)
	if err == nil {
		p.temp = ""
		err = syncDir(filepath.Dir(p.path))
	}
	if err != nil {
		return failure("start", p.def.Name, fmt.Errorf("it runs, but what start was told cannot be remembered: write %s: %w", p.path, fault.Cause(err)), "")
	}
	return nil
}

func (p *pending) discard() {
	if p.temp != "" {
		os.Remove(p.temp)
	}
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
	if op != "start" && op != "restart" && at.hasPIDFile(name) {
		return (&definition{Name: name}).handle(op)
	}
	return nil, unknown(op, name)
}

func (p places) hasPIDFile(name string) bool {
	_, err := os.Lstat(p.found(name))
	return err == nil
}

func unknown(op, name string) *daemonocle.Error {
	if at, err := findPlaces(); err == nil && at.hasPIDFile(name) {
		return failure(op, name, fmt.Errorf("nothing is remembered of %s, which has a PID file", name),
			`It was started by "run" or with --debug, or its start was killed; "daemonocle stop `+name+`" ends it, and "daemonocle start --name `+name+` -- PROGRAM" makes one that is remembered.`)
	}
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
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && isName(name) {
			names = append(names, name)
		}
	}
	remembered := names
	for _, dir := range append([]string{at.run}, at.earlier[:]...) {
		if dir == "" {
			continue
		}
		entries, _ = os.ReadDir(dir)
		for _, e := range entries {
			if slices.Contains(remembered, e.Name()) {
				continue
			}
			if isName(e.Name()) && at.hasPIDFile(e.Name()) {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
