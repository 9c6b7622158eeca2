package app

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/options"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// definition is what start was told about a daemon. It is what the state file has.
type definition struct {
	Version      int    `json:"version"`
	Name         string `json:"name"`
	Program      text   `json:"program"` // absolute
	Args         words  `json:"args,omitempty"`
	Directory    text   `json:"directory"`
	Env          words  `json:"env,omitempty"`
	User         text   `json:"user,omitempty"`
	Group        text   `json:"group,omitempty"`
	Umask        string `json:"umask,omitempty"`
	Nice         int    `json:"nice,omitempty"`
	StopSignal   string `json:"stop_signal,omitempty"`
	ReloadSignal string `json:"reload_signal,omitempty"`
	StopTimeout  string `json:"stop_timeout,omitempty"`
	Notify       bool   `json:"notify,omitempty"`
	ReadyPort    text   `json:"ready_port,omitempty"`
	ReadySocket  text   `json:"ready_socket,omitempty"`
	ReadyLine    text   `json:"ready_line,omitempty"`

	given bool // in this very call: what is wrong with it is the caller's mistake
}

// version of the state files that this program writes.
const version = 1

// definitionFlags are the options that make a definition.
type definitionFlags struct {
	name    string
	replace bool
	def     definition
	set     *pflag.FlagSet
}

func (f *definitionFlags) add(cmd *cobra.Command, detached bool) {
	s := pflag.NewFlagSet("definition", pflag.ContinueOnError)
	s.SortFlags = false
	d := &f.def
	option(s, "name", "", "NAME", "", "NAME of the daemon, by default the program's.", as(&f.name, rightName))
	option(s, "directory", "C", "DIRECTORY", "", "Working DIRECTORY, by default the current one.", as(&d.Directory, nil))
	env := &value{meta: "NAME=VALUE", set: func(v string) error {
		d.Env = append(d.Env, v)
		return rightVariable(v)
	}}
	s.VarP(listValue{env, (*[]string)(&d.Env)}, "env", "e", "Set a variable, NAME=VALUE, or remove it, NAME.")
	option(s, "user", "", "USER", "", "USER who the daemon runs as.", as(&d.User, nil))
	option(s, "group", "", "GROUP", "", "GROUP that it has, by default the user's.", as(&d.Group, nil))
	option(s, "umask", "", "MASK", "", "File mode creation MASK, by default 022.", as(&d.Umask, rightUmask))
	option(s, "nice", "", "N", "", "Add N to the niceness.", number(&d.Nice, math.MinInt32, "integer"))
	if detached {
		option(s, "signal", "", "SIGNAL", "", "SIGNAL that stop sends, by default TERM.", as(&d.StopSignal, rightSignal))
		durationOption(s, "stop-timeout", "", "How long stop waits, a DURATION, by default 10.", as(&d.StopTimeout, rightDuration))
		option(s, "reload-signal", "", "SIGNAL", "", "SIGNAL that reload sends, by default HUP.", as(&d.ReloadSignal, rightSignal))
	}
	toggle(s, &d.Notify, "notify", "", "It is ready when it says so, by sd_notify.")
	option(s, "ready-port", "", "[ADDRESS:]PORT", "", "It is ready when it accepts connections there.", as(&d.ReadyPort, rightPort))
	option(s, "ready-socket", "", "PATH", "", "It is ready when it accepts connections at the Unix socket PATH.", as(&d.ReadySocket, nil))
	if detached { // else the lines go to the terminal, and nobody reads them on the way
		option(s, "ready-line", "", "EXPRESSION", "", "It is ready when it has written a line that matches the regular EXPRESSION.", as(&d.ReadyLine, rightPattern))
		toggle(s, &f.replace, "replace", "", "Stop the daemon of that name first if it runs, when it is known that the program can be executed.")
	}
	f.set = s
	cmd.Flags().AddFlagSet(s)
	complete(cmd, "directory", completeDirectory)
	complete(cmd, "signal", completeSignal(stops))
	complete(cmd, "reload-signal", completeSignal(reloads))
	for _, name := range []string{"name", "env", "user", "group", "umask", "nice", "stop-timeout", "ready-port", "ready-line"} {
		complete(cmd, name, cobra.NoFileCompletions)
	}
}

// changed names an option of a definition that was given; the name is not one.
func (f *definitionFlags) changed(cmd *cobra.Command) (name string) {
	f.set.VisitAll(func(flag *pflag.Flag) {
		if given := cmd.Flags().Lookup(flag.Name); given != nil && given.Changed && flag.Name != "name" {
			name = flag.Name
		}
	})
	return name
}

// define makes a definition of the options and the words behind "--".
func (f *definitionFlags) define(op, name string, words []string) (*definition, error) {
	if len(words) == 0 || words[0] == "" {
		return nil, misuse(op, "there is no program to "+op, `It comes after "--": daemonocle `+op+` --name web -- python3 -m http.server`)
	}
	d := f.def
	d.Version, d.Name, d.Args, d.given = version, name, words[1:], true
	if name == "" {
		d.Name = filepath.Base(words[0])
	}
	if err := checkName(op, d.Name); err != nil {
		return nil, err
	}
	program, err := find(words[0])
	if err != nil {
		return nil, failure(op, d.Name, err, "")
	}
	d.Program = text(program)
	for _, path := range []*text{&d.Directory, &d.ReadySocket} {
		if *path == "" && path != &d.Directory {
			continue
		}
		abs, err := filepath.Abs(string(*path))
		if err != nil {
			return nil, failure(op, d.Name, fmt.Errorf("find the current directory: %w", err), "Use --directory.")
		}
		*path = text(abs)
	}
	if _, err := d.config(); err != nil {
		return nil, misuse(op, err.Error(), fmt.Sprintf(`See "daemonocle %s --help".`, op))
	}
	return &d, nil
}

// find makes the program's name a path, so that a later start finds the same one
// with another PATH. One that cannot be found is left to the start, which has the
// words for it.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return filepath.Abs(name)
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return name, nil
}

// config makes the settings of the library. The errors name options.
func (d *definition) config() (daemonocle.Config, error) {
	c := daemonocle.Config{Name: d.Name, Layout: layout, WorkDir: string(d.Directory), User: string(d.User), Group: string(d.Group),
		Help: fmt.Sprintf("Run %q as a daemon.", filepath.Base(string(d.Program)))}
	var errs []error
	bad := func(option string, err error) { errs = append(errs, fmt.Errorf("option --%s: %w", option, err)) }

	if d.Umask != "" {
		n, err := parseUmask(d.Umask)
		if err != nil {
			bad("umask", err)
		}
		mask := fs.FileMode(n)
		c.Umask = &mask
	}
	var err error
	if c.StopSignal, err = parseSignal(d.StopSignal); err != nil {
		bad("signal", err)
	}
	if _, err := parseSignal(d.ReloadSignal); err != nil {
		bad("reload-signal", err)
	}
	if d.StopTimeout != "" {
		if c.StopTimeout, err = parseDuration(d.StopTimeout); err != nil {
			bad("stop-timeout", err)
		}
	}
	p := daemonocle.Program{Name: string(d.Program), Args: d.Args, Env: d.Env, Nice: d.Nice}
	ways := 0
	if d.Notify {
		ways++
		p.Ready = daemonocle.ReadyNotify()
	}
	if d.ReadyPort != "" {
		ways++
		address, err := portAddress(string(d.ReadyPort))
		if err != nil {
			bad("ready-port", err)
		}
		p.Ready = daemonocle.ReadySocket("tcp", address)
	}
	if d.ReadySocket != "" {
		ways++
		p.Ready = daemonocle.ReadySocket("unix", string(d.ReadySocket))
	}
	if d.ReadyLine != "" {
		ways++
		pattern, err := parsePattern(string(d.ReadyLine))
		if err != nil {
			bad("ready-line", err)
		} else {
			p.Ready = daemonocle.ReadyLine(pattern)
		}
	}
	if ways > 1 {
		errs = append(errs, errors.New("there is more than one way to be ready: use one of --notify, --ready-port, --ready-socket and --ready-line"))
	}
	for _, v := range d.Env {
		if err := rightVariable(v); err != nil {
			bad("env", err)
		}
	}
	c.Worker = p.Worker()
	return c, errors.Join(errs...)
}

// daemon makes the daemon, to be started.
func (d *definition) daemon(op string) (*daemonocle.Daemon, error) {
	c, err := d.config()
	if err != nil {
		return nil, failure(op, d.Name, err, "")
	}
	return d.make(op, c)
}

// setBy is what the operator of this command has in the place of the library's settings.
var setBy = map[string]string{
	"User": "--user", "Group": "--group", "WorkDir": "--directory", "Umask": "--umask", "Foreground": "--debug",
	"StopSignal": "--signal", "StopTimeout": "--stop-timeout", "StartTimeout": "--wait",
	"PIDFile": "XDG_STATE_HOME", "StdoutFile": "XDG_STATE_HOME", "StderrFile": "XDG_STATE_HOME",
}

func (d *definition) make(op string, c daemonocle.Config) (*daemonocle.Daemon, error) {
	c.SetBy = setBy
	made, err := daemonocle.New(c)
	var bad *daemonocle.ConfigError
	if errors.As(err, &bad) {
		var ours *daemonocle.Error
		if errors.As(bad.Err, &ours) { // from layout
			return nil, ours
		}
		if bad.Setting == "StopSignal" { // the library knows only its number
			return nil, misuse(op, fmt.Sprintf("option --signal: %s %v", signalName(c.StopSignal), bad.Err), `See "daemonocle start --help".`)
		}
		text := bad.Err
		if bad.Value != "" {
			text = fmt.Errorf("%q %w", bad.Value, bad.Err)
		}
		isOption := strings.HasPrefix(bad.SetBy, "-")
		if quoted := strconv.Quote(bad.Value); isOption && strings.Contains(bad.Err.Error(), quoted) {
			text = fmt.Errorf("option %s: %w", bad.SetBy, bad.Err)
		} else if isOption {
			text = fmt.Errorf("option %s: %s: %w", bad.SetBy, quoted, bad.Err)
		}
		hint := bad.Hint
		if hint != "" {
			hint = strings.ToUpper(hint[:1]) + hint[1:] + "."
		}
		if isOption && d.given {
			return nil, misuse(op, text.Error(), hint)
		}
		return nil, failure(op, d.Name, text, hint)
	}
	if err != nil {
		return nil, failure(op, d.Name, err, "")
	}
	return made, nil
}

// handle makes the daemon for all that is done to one that runs, or not: what it
// was started with may be gone by now, such as its directory.
func (d *definition) handle(op string) (*daemonocle.Daemon, error) {
	c := daemonocle.Config{Name: d.Name, Layout: layout}
	c.StopSignal, _ = parseSignal(d.StopSignal)
	if d.StopTimeout != "" {
		c.StopTimeout, _ = parseDuration(d.StopTimeout)
	}
	// Whose process it must be. A user who is no more does not keep it from being stopped.
	known := c
	known.User, known.Group = string(d.User), string(d.Group)
	if made, err := d.make(op, known); err == nil {
		return made, nil
	}
	return d.make(op, c)
}

// portAddress reads [ADDRESS:]PORT.
func portAddress(text string) (string, error) {
	host, port := "", text
	if strings.Contains(text, ":") {
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			port = ""
		}
	}
	if host == "" {
		host = "localhost"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q is not [ADDRESS:]PORT, such as 8080, 127.0.0.1:8080 or [::1]:8080", text)
	}
	return net.JoinHostPort(host, port), nil
}

// parseDuration reads a time of more than 0, as the actions' options do.
func parseDuration(text string) (time.Duration, error) {
	d, err := options.ParseDuration(text)
	switch {
	case err != nil:
		return 0, err
	case d < 0:
		return 0, options.Negative(text)
	case d == 0:
		return 0, fmt.Errorf("%q is no time at all", text)
	}
	return d, nil
}

// parseSignal reads TERM, SIGTERM or 15. Empty is 0.
func parseSignal(text string) (syscall.Signal, error) {
	if text == "" {
		return 0, nil
	}
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= 64 {
		return syscall.Signal(n), nil
	}
	name := strings.ToUpper(text)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if s := signalNumber(name); s != 0 {
		return s, nil
	}
	return 0, fmt.Errorf("%q is no signal, such as TERM, HUP or 15", text)
}
