package outside

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/rights"
)

// members finds the processes of a process group.
type members func(pgid int) ([]int, error)

// Subject is a daemon to look at, and who hears of what is odd about it.
type Subject struct {
	Plan    *plan.Plan
	Watcher *Watcher
}

// Dead is the state of a daemon that does not run.
const Dead = "dead"

// Facts are what the kernel says of a daemon; daemonocle.Status says what they mean.
type Facts struct {
	Running       bool
	PID           int
	State         string
	Uptime        time.Duration
	CPUPercent    float64
	MemoryPercent float64
	Left          []int
	PIDFile       string
	Values        map[string]any // of fields, by name; nil: nothing was read
}

// Status looks at all of them, and measures those that run in one window, which has no length
// if CPU use is not among the fields.
func Status(ctx context.Context, list []Subject, fields []string, window time.Duration) ([]Facts, []error) {
	if !slices.Contains(fields, "cpu_percent") {
		window = 0
	}
	statuses, errs := make([]Facts, len(list)), make([]error, len(list))
	views := make([]*view, len(list))
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
	Each(len(list), func(i int) {
		views[i], statuses[i], errs[i] = newView(ctx, list[i], fields, window)
		if v := views[i]; v != nil {
			v.sample = proc.NewSample(v.window, proc.Set{PIDs: []int{v.pid}, Held: v.pid})
			others, members := v.others(find)
			v.sample.Add(others)
			v.members = members
		}
	})
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
	p       *plan.Plan
	fields  []string
	s       Facts
	report  *pidfile.Report
	pid     int
	h       *rights.Target // of nobody: it is this process
	window  time.Duration
	sample  *proc.Sample
	members int // of its process group; 0: they are hidden from the caller
	values  map[string]any
	err     error // of values
}

// newView gives nil if there is nothing to measure.
func newView(ctx context.Context, subject Subject, fields []string, window time.Duration) (*view, Facts, error) {
	p, s := subject.Plan, Facts{State: Dead}
	r, err := look(ctx, p, "status", subject.Watcher)
	if err != nil {
		return nil, s, err
	}
	s.PIDFile = p.PID.Where().String()
	if r.State != pidfile.Running {
		s.Left = orphans(p, r)
		return nil, s, nil
	}
	if !r.Named() {
		s.Running, s.State = true, "unknown"
		return nil, s, nil
	}
	v := &view{p: p, fields: fields, s: s, report: r, pid: r.PID, window: window}
	if r.PID == os.Getpid() {
		return v, s, nil
	}
	v.h, err = holder(ctx, p, r.PID)
	if err != nil {
		s, err = v.failed(ctx, err)
		return nil, s, err
	}
	return v, s, nil
}

func (v *view) close() {
	if v.h != nil {
		v.h.Close()
	}
}

// failed: it has ended meanwhile, or cannot be looked at.
func (v *view) failed(ctx context.Context, err error) (Facts, error) {
	s := v.s
	if errors.Is(err, proc.ErrGone) && v.pid != os.Getpid() {
		event, err := again(ctx, v.p, "status", v.report)
		next, _ := phase.Lost.Next(event)
		switch next {
		case phase.Met: // it has let another process take its place
			all, errs := Status(ctx, []Subject{{Plan: v.p, Watcher: &Watcher{}}}, v.fields, v.window)
			return all[0], errs[0]
		case phase.Unnamed:
			s.Running, s.State = true, "unknown"
			return s, nil
		case phase.Refused:
			s.State = "unknown"
			return s, err
		}
		v.p.PID.Remove()
		return s, nil
	}
	s.Running, s.State = true, "unknown"
	if errors.Is(err, rights.ErrStranger) { // the kernel names it, but it is not the daemon's user's
		return s, nil
	}
	s.PID = v.pid
	return s, about(v.p, "status", v.pid, err)
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
	for _, f := range v.fields {
		if slices.Contains(known, f) && !slices.Contains(want, f) {
			want = append(want, f)
		}
	}
	v.values, v.err = proc.Snapshot(v.pid, want)
}

// finish makes the status of all that was read.
func (v *view) finish(ctx context.Context, usage proc.Usage, err error) (Facts, error) {
	measured := err == nil
	if untold(err) {
		err = nil
	}
	if v.err != nil {
		err = v.err
	}
	// What was read is the daemon's if its process was there all the time.
	if err == nil && v.h != nil && v.h.Gone() {
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
	values["pid"] = int64(v.pid)
	values["cpu_percent"], values["memory_percent"], values["group_num_procs"] = nil, nil, nil
	if measured {
		values["cpu_percent"], values["memory_percent"] = usage.CPU, usage.Memory
	}
	if v.members > 0 {
		values["group_num_procs"] = int64(v.members)
	}
	s.Values = values
	return s, nil
}

// untold reports whether the system does not tell this caller what a process uses: it
// cannot, or /proc hides the process (hidepid, ProtectProc).
func untold(err error) bool {
	return !errors.Is(err, proc.ErrGone) &&
		(errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist))
}
