package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/proc"
)

// StatusOptions are for one status.
type StatusOptions struct {
	// Fields are what the status is to hold, by psutil's names; see
	// StatusFields. Nil: cpu_percent memory_percent name pid status uptime.
	Fields []string `sep:"," help:"Comma-separated list of process info fields to display."`
	// Interval is how long CPU use is measured. 0: 50 ms.
	Interval time.Duration `help:"How long to measure CPU use."`
}

// interval is long against the clock's nanoseconds and short for who waits.
const interval = 50 * time.Millisecond

var defaultFields = []string{"cpu_percent", "memory_percent", "name", "pid", "status", "uptime"}

// Status is what is known of a daemon. Text, JSON and exit code come from it.
type Status struct {
	Name    string
	Running bool
	PID     int // 0: not running, or its process cannot be named from here
	// State is psutil's word: running, sleeping, disk-sleep, stopped, ...; "dead"
	// if the daemon does not run; "unknown" if its process cannot be named.
	State  string
	Uptime time.Duration
	// CPUPercent (of one CPU) and MemoryPercent (resident, of all memory) are
	// sums over the processes of the daemon's process group, if it leads that.
	CPUPercent    float64
	MemoryPercent float64

	// Values are the fields that were asked for, by name: string, int64,
	// float64, []any, map[string]string, or nil if the caller may not know.
	Values map[string]any

	fields []string // as asked
	plain  bool     // none were asked for
}

// StatusFields are the names that StatusOptions.Fields may hold.
func StatusFields() []string {
	names := append(proc.FieldNames(), "cpu_percent", "memory_percent", "group_num_procs")
	slices.Sort(names)
	return slices.Compact(names)
}

// Status says whether the daemon runs, and how it is. That it does not run is no
// error. It may be called by any process, also the daemon itself, and any number
// of times. It asks the kernel, never the daemon. ctx bounds the measuring.
func (d *Daemon) Status(ctx context.Context, o StatusOptions) (Status, error) {
	return d.status(ctx, o, watcher{}, proc.Group)
}

// members finds the processes of a process group.
type members func(pgid int) ([]int, error)

func (d *Daemon) status(ctx context.Context, o StatusOptions, w watcher, find members) (Status, error) {
	s := Status{Name: d.cfg.Name, State: "dead", fields: o.Fields, plain: o.Fields == nil}
	if s.plain {
		s.fields = defaultFields
	}
	if err := checkFields(s.fields); err != nil {
		return s, d.misused("status", err)
	}
	if o.Interval < 0 {
		return s, d.negative("status", o.Interval)
	}
	if o.Interval == 0 {
		o.Interval = interval
	}
	r, err := d.look(ctx, "status", w)
	if err != nil {
		return s, err
	}
	if r.State != pidfile.Running {
		return s, nil
	}
	if r.PID <= 0 || r.Unproved {
		s.Running, s.State = true, "unknown"
		return s, nil
	}
	if r.PID == os.Getpid() {
		return d.measure(ctx, s, r.PID, o.Interval, find)
	}
	h, err := d.holder(ctx, r.PID)
	if err == nil {
		defer h.Close()
		var seen Status
		seen, err = d.measure(ctx, s, r.PID, o.Interval, find)
		// What was read is the daemon's if its process was there all the time.
		if err == nil && !h.Gone() {
			return seen, nil
		}
		if err == nil {
			err = proc.ErrGone
		}
	}
	if errors.Is(err, proc.ErrGone) {
		d.pid.Remove()
		return s, nil
	}
	return s, d.about("status", r.PID, err)
}

func checkFields(fields []string) error {
	valid := StatusFields()
	for _, f := range fields {
		if !slices.Contains(valid, f) {
			return fmt.Errorf("unknown status field %q; the fields are %s", f, strings.Join(valid, ", "))
		}
	}
	return nil
}

// measure reads the fields of the process.
func (d *Daemon) measure(ctx context.Context, s Status, pid int, interval time.Duration, find members) (Status, error) {
	s.Running, s.PID = true, pid
	group := []int{pid}
	if pgid, _, err := proc.GroupID(pid); err == nil && pgid == pid {
		if pids, err := find(pid); err == nil && slices.Contains(pids, pid) {
			group = pids
		}
	}
	want := []string{"status", "uptime"}
	known := proc.FieldNames()
	for _, f := range s.fields {
		if slices.Contains(known, f) && !slices.Contains(want, f) {
			want = append(want, f)
		}
	}
	values, err := proc.Snapshot(pid, want)
	if err != nil {
		return s, err
	}
	if !slices.Contains(s.fields, "cpu_percent") {
		interval = 0
	}
	usage, err := proc.Measure(ctx, interval, group)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return s, err
	}
	s.State, _ = values["status"].(string)
	if seconds, ok := values["uptime"].(float64); ok {
		s.Uptime = time.Duration(seconds * float64(time.Second))
	}
	s.CPUPercent, s.MemoryPercent = usage.CPU, usage.Memory
	values["name"] = s.Name
	values["pid"] = int64(pid)
	values["cpu_percent"] = usage.CPU
	values["memory_percent"] = usage.Memory
	values["group_num_procs"] = int64(len(group))
	s.Values = map[string]any{}
	for _, f := range s.fields {
		s.Values[f] = values[f]
	}
	return s, nil
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
	if !s.Running {
		return s.Name + " -- not running"
	}
	if s.Values == nil {
		return s.Name + " -- status: " + s.State + ", running as a process that cannot be named from here"
	}
	if s.plain {
		return fmt.Sprintf("%s -- pid: %d, status: %s, uptime: %s, %%cpu: %.1f, %%mem: %.1f",
			s.Name, s.PID, s.State, uptime(s.Uptime), s.CPUPercent, s.MemoryPercent)
	}
	var parts []string
	for _, f := range s.fields {
		v, isText := s.Values[f].(string)
		switch {
		case f == "uptime":
			v = uptime(s.Uptime)
		case !isText:
			v = string(appendJSON(nil, s.Values[f]))
		}
		parts = append(parts, f+": "+v)
	}
	return s.Name + " -- " + strings.Join(parts, ", ")
}

// MarshalJSON gives one line: keys sorted, non-ASCII characters escaped, floats
// with a point and at most three places.
func (s Status) MarshalJSON() ([]byte, error) {
	return appendJSON(nil, s.object()), nil
}

func (s Status) object() map[string]any {
	if s.Values == nil {
		return map[string]any{"name": s.Name, "status": s.State}
	}
	return s.Values
}

// uptime is rounded to minutes: 0m, 2h 47m, 1d 3h 47m.
func uptime(d time.Duration) string {
	m := int64((max(d, 0) + 30*time.Second) / time.Minute)
	s := strconv.FormatInt(m%60, 10) + "m"
	if h := m / 60; h > 0 {
		s = strconv.FormatInt(h%24, 10) + "h " + s
		if days := h / 24; days > 0 {
			s = strconv.FormatInt(days, 10) + "d " + s
		}
	}
	return s
}
