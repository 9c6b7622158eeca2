package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/daemonocle/daemonocle"
)

// occupant is a daemon that runs under a name.
type occupant struct {
	pid     int
	def     *definition // what is remembered of it; nil: nothing
	cmdline []string    // what the kernel knows; nil: nothing
}

// running gives the daemon that runs, nil if none does, or one of which nothing is known. One
// that this definition's user could not have is remembered, and not named.
func running(ctx context.Context, d *daemonocle.Daemon) *occupant {
	s, err := d.Status(ctx, daemonocle.StatusOptions{Fields: []string{"pid", "cmdline"}})
	if err != nil || !s.Running {
		return nil
	}
	if s.PID == 0 {
		def, err := load("start", d.Name())
		if err != nil || def == nil {
			return nil
		}
		return &occupant{def: def}
	}
	o := &occupant{pid: s.PID}
	if words, ok := s.Values["cmdline"].([]any); ok {
		for _, w := range words {
			o.cmdline = append(o.cmdline, fmt.Sprint(w))
		}
	}
	if o.def, err = load("start", d.Name()); err != nil {
		o.def = nil // it was started by run, or cannot be read
	}
	return o
}

// compare says what the daemon that runs has that this definition has not: "" if they
// come to the same, as far as is known. All that is remembered matters, also
// what is for a later stop: it would be lost without a word.
func (d *definition) compare(now *occupant) string {
	if now.def == nil {
		if len(now.cmdline) == 0 || isCommandLine(now.cmdline, string(d.Program), d.Args) {
			return ""
		}
		return "another command"
	}
	mine, its := d.canonical(), now.def.canonical()
	switch {
	case mine.Program != its.Program || !slices.Equal(mine.Args, its.Args):
		return "another command"
	case !reflect.DeepEqual(mine, its):
		return "the same command with other settings"
	}
	return ""
}

// isCommandLine reports whether a process has been given these words. What stands before
// them may be an interpreter.
func isCommandLine(cmdline []string, program string, args []string) bool {
	at := len(cmdline) - len(args) - 1
	return at >= 0 && filepath.Base(cmdline[at]) == filepath.Base(program) && slices.Equal(cmdline[at+1:], args)
}

// canonical is the same definition with everything written in one way.
func (d *definition) canonical() definition {
	c := *d
	c.Version, c.given = version, false
	c.Args = slices.Clip(append(words{}, d.Args...))
	// Of two values of a variable the last counts, and their order does not.
	values := map[string]string{}
	for _, v := range d.Env {
		name, _, _ := strings.Cut(v, "=")
		values[name] = v
	}
	c.Env = words{}
	for _, v := range values {
		c.Env = append(c.Env, v)
	}
	slices.Sort(c.Env)
	signal := func(text, usual string) string {
		if text == "" {
			text = usual
		}
		if n, err := parseSignal(text); err == nil {
			return strconv.Itoa(int(n))
		}
		return text
	}
	c.StopSignal, c.ReloadSignal = signal(d.StopSignal, "TERM"), signal(d.ReloadSignal, "HUP")
	if c.StopTimeout == "" {
		c.StopTimeout = "10"
	}
	if t, err := parseDuration(c.StopTimeout); err == nil {
		c.StopTimeout = t.String()
	}
	if c.Umask == "" {
		c.Umask = "022"
	}
	if n, err := parseUmask(c.Umask); err == nil {
		c.Umask = strconv.FormatUint(n, 8)
	}
	if address, err := portAddress(string(c.ReadyPort)); err == nil {
		c.ReadyPort = text(address)
	}
	return c
}

// taken is the error of a start under a name that something else has.
func (d *definition) taken(op string, now *occupant, different string) error {
	its := commandOf(now.cmdline)
	if now.def != nil {
		its = now.def.commandLine()
	}
	hint := "With --replace, start stops it and runs the new one; with another --name, both run."
	if op == "run" {
		hint = fmt.Sprintf("Stop it first: \"daemonocle stop %s\"; with another --name, both run.", d.Name)
	}
	e := failure(op, d.Name, fmt.Errorf("the daemon %s is running %s (PID %d)\nit runs: %s\nnot:     %s",
		d.Name, different, now.pid, its, d.commandLine()), hint)
	e.PID = now.pid
	return e
}

func commandOf(cmdline []string) string {
	var quoted []string
	for _, w := range cmdline {
		quoted = append(quoted, quote(w))
	}
	return strings.Join(quoted, " ")
}

// inPlaceOf makes the daemon for a restart with this definition: what runs is stopped as
// it wants to be stopped.
func (d *definition) inPlaceOf(now *occupant) (*daemonocle.Daemon, error) {
	c, err := d.config()
	if err != nil {
		return nil, failure("start", d.Name, err, "")
	}
	if old := now.def; old != nil {
		if old.User != d.User || old.Group != d.Group {
			e := failure("start", d.Name, errors.New("a daemon of another user or group cannot be replaced: directories and logs are its own"),
				fmt.Sprintf("Stop it, and give the new one the logs, or remove them: \"daemonocle stop %[1]s\", \"daemonocle forget --logs %[1]s\".", d.Name))
			e.PID = now.pid
			return nil, e
		}
		c.StopSignal, _ = parseSignal(old.StopSignal)
		c.StopTimeout = 0
		if old.StopTimeout != "" {
			c.StopTimeout, _ = parseDuration(old.StopTimeout)
		}
	}
	return d.make("start", c)
}
