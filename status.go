package daemonocle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/outside"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/pyjson"
)

// StatusOptions are for one status.
type StatusOptions struct {
	// Fields are what the status is to hold, by psutil's names; see
	// StatusFields. Nil: cpu_percent memory_percent name pid status uptime.
	Fields []string `sep:"," help:"Comma-separated list of process info fields to display."`
	// Interval is how long CPU use is measured. 0: 50 ms.
	Interval time.Duration `negative:"false" help:"How long to measure CPU use."`
}

// interval is long against the clock's nanoseconds and short for who waits.
const interval = 50 * time.Millisecond

var defaultFields = []string{"cpu_percent", "memory_percent", "name", "pid", "status", "uptime"}

// fileFields are known of a daemon that does not run as well.
var fileFields = []string{"pid_file", "stdout_file", "stderr_file"}

// Status is what is known of a daemon. Text, JSON and exit code come from it.
type Status struct {
	Name    string
	Running bool
	PID     int // 0: not running, or its process cannot be named from here
	// State is psutil's word: running, sleeping, disk-sleep, stopped, ...; "dead"
	// if the daemon does not run; "unknown" if its process cannot be named, or is hidden
	// from the caller.
	State  string
	Uptime time.Duration // 0 also if it cannot be read: see Values, and so for the next two
	// CPUPercent (of one CPU) and MemoryPercent (resident, of all memory) are
	// sums over the processes of the daemon's process group, if it leads that.
	CPUPercent    float64
	MemoryPercent float64

	// Left are processes that a daemon which was another program has left behind:
	// it does not run, and they do, as when it goes into the background after its
	// start. Only those are found that have kept the descriptor of the PID file, and
	// the process group of such a one. Stop with Force kills them. Linux only.
	Left []int

	// PIDFile, StdoutFile and StderrFile are where the daemon's files are, or will be,
	// as seen from outside ChrootDir; empty: it has none. In the foreground and under a
	// service manager a daemon writes to the caller's streams instead.
	PIDFile    string
	StdoutFile string
	StderrFile string

	// Fields are the names that were asked for, in that order. Nil: the usual ones, which
	// String has words for.
	Fields []string
	// Values are these fields, by name: string, int64, float64, []any,
	// map[string]string, or nil if the caller may not know. Of those that Status has itself
	// only a nil counts here.
	Values map[string]any
}

// StatusFields are the names that StatusOptions.Fields may hold.
func StatusFields() []string {
	names := append(proc.FieldNames(), "cpu_percent", "memory_percent", "group_num_procs")
	names = append(names, fileFields...)
	slices.Sort(names)
	return slices.Compact(names)
}

// Status says whether the daemon runs, and how it is. That it does not run is no
// error. It may be called by any process, also the daemon itself, and any number
// of times. It asks the kernel, never the daemon. ctx bounds the measuring.
func (d *Daemon) Status(ctx context.Context, o StatusOptions) (Status, error) {
	s, err := d.status(ctx, o, &outside.Watcher{})
	return s, public(err)
}

func (d *Daemon) status(ctx context.Context, o StatusOptions, w *outside.Watcher) (Status, error) {
	all, errs := statusAll(ctx, []*Daemon{d}, o, []outside.Watcher{*w})
	return all[0], errs[0]
}

// statusAll looks at all of them, and measures those that run in one window.
func statusAll(ctx context.Context, list []*Daemon, o StatusOptions, watchers []outside.Watcher) ([]Status, []error) {
	statuses, errs := make([]Status, len(list)), make([]error, len(list))
	wrong := checkFields(o.Fields)
	var subjects []outside.Subject
	for i, d := range list {
		s := &statuses[i]
		s.Name, s.State, s.Fields = d.plan.Name, outside.Dead, o.Fields
		s.StdoutFile, s.StderrFile = seen(d.plan.Stdout), seen(d.plan.Stderr)
		switch {
		case wrong != nil:
			errs[i] = d.plan.Misused("status", wrong)
		case o.Interval < 0:
			errs[i] = d.plan.Negative("status", o.Interval)
		}
		subjects = append(subjects, outside.Subject{Plan: d.plan, Watcher: &watchers[i]})
	}
	if wrong != nil || o.Interval < 0 {
		return statuses, errs
	}
	facts, errs := outside.Status(ctx, subjects, (&Status{Fields: o.Fields}).fields(), cmp.Or(o.Interval, interval))
	for i := range facts {
		statuses[i].fill(facts[i])
	}
	return statuses, errs
}

// fill takes what the kernel has told.
func (s *Status) fill(f outside.Facts) {
	s.Running, s.PID, s.State, s.Uptime, s.CPUPercent, s.MemoryPercent = f.Running, f.PID, f.State, f.Uptime, f.CPUPercent, f.MemoryPercent
	s.Left, s.PIDFile = f.Left, f.PIDFile
	if f.Values == nil {
		return
	}
	s.Values = map[string]any{}
	for _, field := range s.fields() {
		switch {
		case field == "name":
			s.Values[field] = s.Name
		case slices.Contains(fileFields, field):
			s.Values[field] = s.file(field)
		default:
			s.Values[field] = f.Values[field]
		}
	}
}

// seen is the path as it is seen from outside the daemon's root directory.
func seen(n *paths.Name) string {
	if n == nil {
		return ""
	}
	return n.String()
}

// file is the value of one of fileFields.
func (s *Status) file(field string) any {
	path := s.PIDFile
	switch field {
	case "stdout_file":
		path = s.StdoutFile
	case "stderr_file":
		path = s.StderrFile
	}
	if path == "" {
		return nil
	}
	return path
}

func checkFields(fields []string) error {
	if len(fields) == 0 {
		return nil
	}
	valid := StatusFields()
	for _, f := range fields {
		if !slices.Contains(valid, f) {
			return fmt.Errorf("unknown status field %q; the fields are %s", f, strings.Join(valid, ", "))
		}
	}
	return nil
}

// ExitCode is 0 if the daemon runs, else 1.
func (s Status) ExitCode() int {
	if s.Running {
		return 0
	}
	return 1
}

// String is the line that the status action prints.
func (s Status) String() string {
	name, state := shown(s.Name), shown(s.State)
	switch {
	case !s.Running:
		return name + " -- not running"
	case s.PID == 0:
		return name + " -- status: " + state + ", running as a process that cannot be named from here"
	case s.Fields == nil:
		told := func(field, text string) string {
			if s.value(field) == nil {
				return "unknown"
			}
			return text
		}
		return fmt.Sprintf("%s -- pid: %d, status: %s, uptime: %s, %%cpu: %s, %%mem: %s",
			name, s.PID, state, told("uptime", console.Uptime(s.Uptime)),
			told("cpu_percent", fmt.Sprintf("%.1f", s.CPUPercent)), told("memory_percent", fmt.Sprintf("%.1f", s.MemoryPercent)))
	}
	var parts []string
	for _, f := range s.Fields {
		value := s.value(f)
		text, isText := value.(string)
		switch {
		case f == "uptime" && value != nil:
			text = console.Uptime(s.Uptime)
		case isText:
			text = shown(text)
		default:
			text = string(pyjson.Append(nil, value))
		}
		parts = append(parts, f+": "+text)
	}
	return name + " -- " + strings.Join(parts, ", ")
}

// shown is a text as it is, or as JSON where a terminal would do something else than show it:
// the daemon's user chooses the names of its directories.
func shown(text string) string {
	if console.Shows(text) {
		return text
	}
	return string(pyjson.Append(nil, text))
}

// MarshalJSON gives one line: keys sorted, non-ASCII characters escaped, floats
// with a point and at most three places.
func (s Status) MarshalJSON() ([]byte, error) {
	return pyjson.Append(nil, s.object()), nil
}

func (s *Status) object() map[string]any {
	m := map[string]any{}
	if s.Running && s.PID != 0 {
		for _, f := range s.fields() {
			m[f] = s.value(f)
		}
		return m
	}
	m["name"], m["status"] = s.Name, s.State
	if !s.Running {
		m["status"] = "dead"
	}
	if len(s.Left) > 0 {
		m["left"] = numbers(s.Left)
	}
	for _, f := range fileFields {
		if slices.Contains(s.Fields, f) {
			m[f] = s.file(f)
		}
	}
	return m
}

func (s *Status) fields() []string {
	if s.Fields == nil {
		return defaultFields
	}
	return s.Fields
}

// value of a field; nil: it could not be read, or there is none.
func (s *Status) value(field string) any {
	switch field {
	case "name":
		return s.Name
	case "pid":
		return int64(s.PID)
	case "pid_file", "stdout_file", "stderr_file":
		return s.file(field)
	}
	value, told := s.Values[field]
	if told && value == nil {
		return nil
	}
	switch field {
	case "status":
		return s.State
	case "uptime":
		return s.Uptime.Seconds()
	case "cpu_percent":
		return s.CPUPercent
	case "memory_percent":
		return s.MemoryPercent
	}
	return value
}
