package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/pyjson"
	"github.com/daemonocle/daemonocle/internal/rights"
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
	s, err := d.status(ctx, o, watcher{})
	return s, public(err)
}

// members finds the processes of a process group.
type members func(pgid int) ([]int, error)

func (d *Daemon) status(ctx context.Context, o StatusOptions, w watcher) (Status, error) {
	all, errs := statusAll(ctx, []*Daemon{d}, o, []watcher{w})
	return all[0], errs[0]
}

// statusAll looks at all of them, and measures those that run in one window.
func statusAll(ctx context.Context, list []*Daemon, o StatusOptions, watchers []watcher) ([]Status, []error) {
	statuses, errs := make([]Status, len(list)), make([]error, len(list))
	views := make([]*view, len(list))
	wrong := checkFields(o.Fields)
	find := proc.Group
	if len(list) > 1 { // look through /proc once
		census := sync.OnceValue(proc.Groups)
		find = func(pgid int) ([]int, error) {
			if only := census()[pgid]; len(only) == 1 { // whether it lives its handle tells
				return only, nil
			}
			return census().Members(pgid)
		}
	}
	var all sync.WaitGroup
	for i, d := range list {
		all.Go(func() {
			views[i], statuses[i], errs[i] = d.view(ctx, o, wrong, watchers[i])
			if v := views[i]; v != nil {
				v.sample = proc.NewSample(v.window, proc.Set{PIDs: []int{v.pid}, Held: v.pid})
				others, members := v.others(find)
				v.sample.Add(others)
				v.members = members
			}
		})
	}
	all.Wait()
	var samples []*proc.Sample
	var of []int // whose they are
	for i, v := range views {
		if v != nil {
			defer v.close()
			samples, of = append(samples, v.sample), append(of, i)
		}
	}
	usage, bad := proc.Measured(ctx, samples, func() {
		for _, i := range of {
			views[i].read()
		}
	})
	for k, i := range of {
		statuses[i], errs[i] = views[i].finish(ctx, usage[k], bad[k])
	}
	return statuses, errs
}

// view is a look at a daemon that runs.
type view struct {
	d       *Daemon
	o       StatusOptions
	s       Status
	report  pidfile.Report
	pid     int
	h       rights.Target // of nobody: it is this process
	window  time.Duration
	sample  *proc.Sample
	members int // of its process group; 0: they are hidden from the caller
	values  map[string]any
	err     error // of values
}

// view gives nil if there is nothing to measure; wrong is what is wrong with the
// options.
func (d *Daemon) view(ctx context.Context, o StatusOptions, wrong error, w watcher) (*view, Status, error) {
	s := Status{Name: d.plan.Name, State: "dead", Fields: o.Fields}
	s.StdoutFile, s.StderrFile = seen(d.plan.Stdout), seen(d.plan.Stderr)
	if wrong != nil {
		return nil, s, d.plan.Misused("status", wrong)
	}
	if o.Interval < 0 {
		return nil, s, d.plan.Negative("status", o.Interval)
	}
	if o.Interval == 0 {
		o.Interval = interval
	}
	if !slices.Contains(s.fields(), "cpu_percent") {
		o.Interval = 0
	}
	r, err := d.look(ctx, "status", w)
	if err != nil {
		return nil, s, err
	}
	s.PIDFile = d.plan.PID.Where().String()
	if r.State != pidfile.Running {
		s.Left = d.orphans(r)
		return nil, s, nil
	}
	if r.PID <= 0 || r.Unproved {
		s.Running, s.State = true, "unknown"
		return nil, s, nil
	}
	v := &view{d: d, o: o, s: s, report: r, pid: r.PID, window: o.Interval}
	if r.PID == os.Getpid() {
		return v, s, nil
	}
	v.h, err = d.holder(ctx, r.PID)
	if err != nil {
		s, err = v.failed(ctx, err)
		return nil, s, err
	}
	return v, s, nil
}

func (v *view) close() {
	if v.h.Handle != nil {
		v.h.Close()
	}
}

// failed: it has ended meanwhile, or cannot be looked at.
func (v *view) failed(ctx context.Context, err error) (Status, error) {
	s := v.s
	if errors.Is(err, proc.ErrGone) && v.pid != os.Getpid() {
		next, _ := phase.Lost.Next(v.d.again(ctx, &v.report))
		switch next {
		case phase.Met: // it has let another process take its place
			return v.d.status(ctx, v.o, watcher{})
		case phase.Unnamed:
			s.Running, s.State = true, "unknown"
			return s, nil
		}
		v.d.plan.PID.Remove()
		return s, nil
	}
	s.Running, s.State = true, "unknown"
	if errors.Is(err, rights.ErrStranger) { // the kernel names it, but it is not the daemon's user's
		return s, nil
	}
	s.PID = v.pid
	return s, v.d.about("status", v.pid, err)
}

// others are the processes that count as the daemon, but for its own; all is how many
// there are with that, 0 if that cannot be told.
func (v *view) others(find members) (pids []int, all int) {
	if pgid, _, err := proc.GroupID(v.pid); err != nil || pgid != v.pid {
		return nil, 1
	}
	pids, err := find(v.pid)
	if err != nil || !slices.Contains(pids, v.pid) {
		return nil, 0
	}
	pids = slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return pid == v.pid })
	return pids, 1 + len(pids)
}

// read reads the fields of the process.
func (v *view) read() {
	want := []string{"status", "uptime"}
	known := proc.FieldNames()
	for _, f := range v.s.fields() {
		if slices.Contains(known, f) && !slices.Contains(want, f) {
			want = append(want, f)
		}
	}
	v.values, v.err = proc.Snapshot(v.pid, want)
}

// finish makes the status of all that was read.
func (v *view) finish(ctx context.Context, usage proc.Usage, err error) (Status, error) {
	measured := err == nil
	if untold(err) {
		err = nil
	}
	if v.err != nil {
		err = v.err
	}
	// What was read is the daemon's if its process was there all the time.
	if err == nil && v.h.Handle != nil && v.h.Gone() {
		err = proc.ErrGone
	}
	if err != nil {
		return v.failed(ctx, err)
	}
	s, values := v.s, v.values
	s.Running, s.PID = true, v.pid
	s.State = "unknown"
	if state, ok := values["status"].(string); ok {
		s.State = state
	}
	if seconds, ok := values["uptime"].(float64); ok {
		s.Uptime = time.Duration(seconds * float64(time.Second))
	}
	s.CPUPercent, s.MemoryPercent = usage.CPU, usage.Memory
	values["name"] = s.Name
	values["pid"] = int64(v.pid)
	values["cpu_percent"], values["memory_percent"], values["group_num_procs"] = nil, nil, nil
	if measured {
		values["cpu_percent"], values["memory_percent"] = usage.CPU, usage.Memory
	}
	if v.members > 0 {
		values["group_num_procs"] = int64(v.members)
	}
	for _, f := range fileFields {
		values[f] = s.file(f)
	}
	s.Values = map[string]any{}
	for _, f := range s.fields() {
		s.Values[f] = values[f]
	}
	return s, nil
}

// untold reports whether the system does not tell this caller what a process uses: it
// cannot, or /proc hides the process (hidepid, ProtectProc).
func untold(err error) bool {
	return !errors.Is(err, proc.ErrGone) &&
		(errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist))
}

// seen is the path as it is seen from outside the daemon's root directory.
func seen(n *paths.Name) string {
	if n == nil {
		return ""
	}
	return n.String()
}

// file is the value of one of fileFields.
func (s Status) file(field string) any {
	path := map[string]string{"pid_file": s.PIDFile, "stdout_file": s.StdoutFile, "stderr_file": s.StderrFile}[field]
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
	switch {
	case !s.Running:
		return s.Name + " -- not running"
	case s.PID == 0:
		return s.Name + " -- status: " + s.State + ", running as a process that cannot be named from here"
	case s.Fields == nil:
		told := func(field, text string) string {
			if s.value(field) == nil {
				return "unknown"
			}
			return text
		}
		return fmt.Sprintf("%s -- pid: %d, status: %s, uptime: %s, %%cpu: %s, %%mem: %s",
			s.Name, s.PID, s.State, told("uptime", console.Uptime(s.Uptime)),
			told("cpu_percent", fmt.Sprintf("%.1f", s.CPUPercent)), told("memory_percent", fmt.Sprintf("%.1f", s.MemoryPercent)))
	}
	var parts []string
	for _, f := range s.Fields {
		value := s.value(f)
		text, isText := value.(string)
		switch {
		case f == "uptime" && value != nil:
			text = console.Uptime(s.Uptime)
		case !isText:
			text = string(pyjson.Append(nil, value))
		}
		parts = append(parts, f+": "+text)
	}
	return s.Name + " -- " + strings.Join(parts, ", ")
}

// MarshalJSON gives one line: keys sorted, non-ASCII characters escaped, floats
// with a point and at most three places.
func (s Status) MarshalJSON() ([]byte, error) {
	return pyjson.Append(nil, s.object()), nil
}

func (s Status) object() map[string]any {
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

func (s Status) fields() []string {
	if s.Fields == nil {
		return defaultFields
	}
	return s.Fields
}

// value of a field; nil: it could not be read, or there is none.
func (s Status) value(field string) any {
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
