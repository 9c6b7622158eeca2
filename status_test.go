//go:build linux

package daemonocle_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func (r *rig) status(fields ...string) daemonocle.Status {
	r.t.Helper()
	s, err := r.daemon().Status(r.t.Context(), daemonocle.StatusOptions{Fields: fields})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func jsonOf(t *testing.T, s daemonocle.Status) string {
	t.Helper()
	b, err := s.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func matches(t *testing.T, got, pattern string) {
	t.Helper()
	if !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
		t.Errorf("got %q, want a match of %s", got, pattern)
	}
}

func TestStatusOfARunningDaemon(t *testing.T) {
	r := newRig(t)
	pid := r.start()
	got := r.do("status")
	matches(t, got.out, fmt.Sprintf(`foo -- pid: %d, status: [a-z-]+, uptime: 0m, %%cpu: \d+\.\d, %%mem: \d+\.\d\n`, pid))
	if got.err != "" || got.code != 0 {
		t.Errorf("got %v", got)
	}

	s := r.status()
	if !s.Running || s.PID != pid || s.Name != "foo" || s.ExitCode() != 0 || s.Uptime < 0 {
		t.Errorf("got %+v", s)
	}
	matches(t, jsonOf(t, s), fmt.Sprintf(`\{"cpu_percent": \d+\.\d{1,3}, "memory_percent": \d+\.\d{1,3}, `+
		`"name": "foo", "pid": %d, "status": "[a-z-]+", "uptime": \d+\.\d{1,3}\}`, pid))
}

func TestStatusWithoutADaemon(t *testing.T) {
	r := newRig(t)
	r.expect(r.do("status"), result{out: "foo -- not running\n", code: 1})
	for _, fields := range [][]string{nil, {"exe", "pid"}} {
		s := r.status(fields...)
		if got, want := jsonOf(t, s), `{"name": "foo", "status": "dead"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if s.Running || s.PID != 0 || s.ExitCode() != 1 || s.String() != "foo -- not running" {
			t.Errorf("got %+v", s)
		}
	}
	r.env = nil
	r.expect(r.do("status"), result{err: "ERROR: Cannot get status of daemon without PID file\n", code: 1})
}

// TestStatusSaysWhereTheFilesAre: also of a daemon that does not run, for its log files are
// looked for then.
func TestStatusSaysWhereTheFilesAre(t *testing.T) {
	r := newRig(t)
	out, root := filepath.Join(r.dir, "log", "out"), filepath.Join(r.dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	status := func(c daemonocle.Config) daemonocle.Status {
		c.Name = "foo"
		d, err := daemonocle.New(c)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Status(t.Context(), daemonocle.StatusOptions{Fields: append([]string{"name"}, fileFields...)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	config := daemonocle.Config{PIDFile: r.pidFile, StdoutFile: out}
	dead := status(config)
	if got, want := jsonOf(t, dead), fmt.Sprintf(`{"name": "foo", "pid_file": %q, "status": "dead", "stderr_file": null, "stdout_file": %q}`, r.pidFile, out); got != want {
		t.Errorf("not running: got %s, want %s", got, want)
	}
	if got := dead.String(); got != "foo -- not running" {
		t.Errorf("not running: got %s", got)
	}
	r.start()
	alive := status(config)
	if got, want := alive.String(), fmt.Sprintf("foo -- name: foo, pid_file: %s, stdout_file: %s, stderr_file: null", r.pidFile, out); got != want {
		t.Errorf("running: got %s, want %s", got, want)
	}
	if got, want := jsonOf(t, alive), fmt.Sprintf(`{"name": "foo", "pid_file": %q, "stderr_file": null, "stdout_file": %q}`, r.pidFile, out); got != want {
		t.Errorf("running: got %s, want %s", got, want)
	}
	for name, c := range map[string]struct {
		config daemonocle.Config
		want   [3]string
	}{
		"in another root directory": {daemonocle.Config{ChrootDir: root, PIDFile: "/foo.pid", StderrFile: "/err"},
			[3]string{filepath.Join(root, "foo.pid"), "", filepath.Join(root, "err")}},
		"found where it was earlier": {daemonocle.Config{Layout: func(string) (daemonocle.Paths, error) {
			return daemonocle.Paths{PIDFile: filepath.Join(r.dir, "new.pid"), Earlier: [3]string{r.pidFile}}, nil
		}}, [3]string{r.pidFile, "", ""}},
	} {
		s := status(c.config)
		if got := [3]string{s.PIDFile, s.StdoutFile, s.StderrFile}; got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestStatusShowsFieldsInTheOrderAsked(t *testing.T) {
	r := newRig(t)
	pid := r.start()
	s := r.status("uids", "pid", "name", "terminal", "uptime", "cwd")
	uid := os.Getuid()
	if got, want := s.String(), fmt.Sprintf("foo -- uids: [%d, %d, %d], pid: %d, name: foo, terminal: null, uptime: 0m, cwd: /",
		uid, uid, uid, pid); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	matches(t, jsonOf(t, s), fmt.Sprintf(`\{"cwd": "/", "name": "foo", "pid": %d, "terminal": null, "uids": \[%d, %d, %d\], "uptime": \d+\.\d{1,3}\}`,
		pid, uid, uid, uid))
	if s := r.status([]string{}...); s.Values == nil {
		t.Errorf("got %+v", s)
	}
}

func TestStatusNamesTheFieldsThatThereAre(t *testing.T) {
	r := newRig(t)
	// Also without a daemon: a typing error is one at any time.
	_, err := r.daemon().Status(t.Context(), daemonocle.StatusOptions{Fields: []string{"pid", "banana"}})
	if err == nil || !strings.Contains(err.Error(), `"banana"`) {
		t.Fatalf("got %v", err)
	}
	for _, f := range daemonocle.StatusFields() {
		if !regexp.MustCompile(`\b` + f + `\b`).MatchString(err.Error()) {
			t.Errorf("%q does not name %s", err, f)
		}
	}
	if _, err := r.daemon().Status(t.Context(), daemonocle.StatusOptions{Interval: -1}); err == nil {
		t.Error("a negative interval is taken")
	}
}

// specFields are those that SPEC 2 promises.
var specFields = strings.Fields(`cpu_percent memory_percent name pid status uptime
	group_num_procs ppid username uids gids cmdline exe cwd environ nice num_threads num_fds open_files
	memory_info create_time terminal cpu_times num_ctx_switches io_counters`)

// fileFields say where a daemon's files are.
var fileFields = []string{"pid_file", "stdout_file", "stderr_file"}

// numbers checks a list: that many numbers, none negative.
func numbers[N int64 | float64](v any, n int) error {
	list, ok := v.([]any)
	if !ok || len(list) != n {
		return fmt.Errorf("is not a list of %d", n)
	}
	for _, e := range list {
		if x, ok := e.(N); !ok || x < 0 {
			return fmt.Errorf("holds %v (%[1]T)", e)
		}
	}
	return nil
}

func same(want any) func(any) error {
	return func(v any) error {
		if fmt.Sprintf("%T %[1]v", v) != fmt.Sprintf("%T %[1]v", want) {
			return fmt.Errorf("want %v (%[1]T)", want)
		}
		return nil
	}
}

// near allows for what happens between two looks at a living process.
func near(v, want, slack float64) error {
	if v < want-slack || v > want+slack {
		return fmt.Errorf("want about %v", want)
	}
	return nil
}

// procLine is the number after a key in a file of /proc.
func procLine(t *testing.T, path, key string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + key + `:\s*(\d+)`).FindStringSubmatch(content(t, path))
	if m == nil {
		t.Fatalf("%s has no %s", path, key)
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	return n
}

func TestStatusFieldsAreTheKernelsTruth(t *testing.T) {
	r := newRig(t)
	work, log := filepath.Join(r.dir, "work"), filepath.Join(r.dir, "out.log")
	mkdir(t, work)
	r.env = append(r.env, "D_WORKDIR="+work, "D_STDOUT="+log)
	before := float64(time.Now().UnixNano()) / 1e9
	pid := r.start()
	after := float64(time.Now().UnixNano()) / 1e9
	put(t, log, "old")

	proc := fmt.Sprintf("/proc/%d/", pid)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := int64(os.Getuid()), int64(os.Getgid())
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
	if err != nil {
		t.Fatal(err)
	}
	// It lets go of the launcher when start has returned.
	var fds []os.DirEntry
	var rss float64
	testkit.WaitFor(t, "the daemon to be at rest", func() bool {
		first, err := os.ReadDir(proc + "fd")
		size := procLine(t, proc+"status", "VmRSS") * 1024
		time.Sleep(testkit.Settle)
		var bad error
		fds, bad = os.ReadDir(proc + "fd")
		rss = procLine(t, proc+"status", "VmRSS") * 1024
		if err != nil || bad != nil {
			t.Fatal(err, bad)
		}
		return len(first) == len(fds) && size == rss
	})
	tasks, err := os.ReadDir(proc + "task")
	if err != nil {
		t.Fatal(err)
	}
	total := procLine(t, "/proc/meminfo", "MemTotal") * 1024

	checks := map[string]func(v any) error{
		"name":            same("foo"),
		"pid":             same(int64(pid)),
		"ppid":            same(int64(testkit.Stat(pid).PPID)),
		"exe":             same(self),
		"cwd":             same(work),
		"cmdline":         same([]any{self, "start"}),
		"username":        same(me.Username),
		"uids":            same([]any{uid, uid, uid}),
		"gids":            same([]any{gid, gid, gid}),
		"terminal":        same(nil),
		"nice":            same(int64(20 - nice)), // the system call has no negative results
		"num_fds":         same(int64(len(fds))),
		"group_num_procs": same(int64(1 + len(members(t, pid)))),
		"num_threads":     func(v any) error { return near(float64(v.(int64)), float64(len(tasks)), 3) },
		"status": func(v any) error {
			if !slices.Contains([]string{"sleeping", "running", "disk-sleep"}, v.(string)) {
				return errors.New("is no word of psutil's for a living process")
			}
			return nil
		},
		"environ": func(v any) error {
			env := v.(map[string]string)
			for name := range env {
				if strings.HasPrefix(name, "DAEMONOCLE") {
					return fmt.Errorf("shows %s", name)
				}
			}
			return same(r.pidFile)(env["D_PIDFILE"])
		},
		"create_time": func(v any) error {
			tick := 0.02 // the kernel counts hundredths of a second
			if at := v.(float64); at < before-tick || at > after+tick {
				return fmt.Errorf("want %v to %v", before, after)
			}
			return nil
		},
		"uptime": func(v any) error {
			if up, most := v.(float64), float64(time.Now().UnixNano())/1e9-before+0.02; up < 0 || up > most {
				return fmt.Errorf("want 0 to %v", most)
			}
			return nil
		},
		"memory_percent": func(v any) error {
			return near(v.(float64), 100*rss/total, 50*rss/total)
		},
		"memory_info": func(v any) error {
			if err := numbers[int64](v, 7); err != nil {
				return err
			}
			return near(float64(v.([]any)[0].(int64)), rss, rss/2)
		},
		"cpu_percent": func(v any) error {
			if v.(float64) < 0 {
				return errors.New("is negative")
			}
			return nil
		},
		"cpu_times": func(v any) error { return numbers[float64](v, 5) },
		"io_counters": func(v any) error {
			if err := numbers[int64](v, 6); err != nil {
				return err
			}
			return near(float64(v.([]any)[4].(int64)), procLine(t, proc+"io", "rchar"), 1e6)
		},
		"num_ctx_switches": func(v any) error {
			if err := numbers[int64](v, 2); err != nil {
				return err
			}
			return near(float64(v.([]any)[0].(int64)), procLine(t, proc+"status", "voluntary_ctxt_switches"), 100)
		},
		"open_files": func(v any) error {
			modes := map[string]string{}
			for _, f := range v.([]any) {
				f := f.([]any)
				if len(f) != 5 {
					return errors.New("is not of fives")
				}
				link, err := os.Readlink(proc + "fd/" + fmt.Sprint(f[1]))
				if err != nil || link != f[0] {
					return fmt.Errorf("descriptor %v is %s", f[1], link)
				}
				modes[f[0].(string)] = f[3].(string)
			}
			// The Go runtime keeps files of its own open.
			return same([]string{"r+", "a"})([]string{modes[r.pidFile], modes[log]})
		},
	}
	if got := slices.Sorted(maps.Keys(checks)); !slices.Equal(got, slices.Sorted(slices.Values(specFields))) {
		t.Fatalf("this test checks %v", got)
	}
	if got := daemonocle.StatusFields(); !slices.Equal(got, slices.Sorted(slices.Values(slices.Concat(specFields, fileFields)))) {
		t.Errorf("the fields are %v", got)
	}
	s := r.status(specFields...)
	for _, f := range specFields {
		if err := checks[f](s.Values[f]); err != nil {
			t.Errorf("%s: %v (%[2]T): %v", f, s.Values[f], err)
		}
	}
	if !json.Valid([]byte(jsonOf(t, s))) {
		t.Errorf("no JSON: %s", jsonOf(t, s))
	}
}

func TestStatusHidesWhatTheCallerMayNotRead(t *testing.T) {
	r := newRig(t)
	who := ordinary(t)
	pid := r.start()
	r.user = who
	var values map[string]any
	out := outcome(t, r.command("ask"))
	if err := json.Unmarshal([]byte(out.out), &values); err != nil {
		t.Fatalf("%v: %v", err, out)
	}
	var hidden []string
	for f, v := range values {
		if v == nil && f != "num_fds" && !slices.Contains(fileFields, f) { // since Linux 6.2 everybody may count
			hidden = append(hidden, f)
		}
	}
	slices.Sort(hidden)
	if want := []string{"cwd", "environ", "exe", "io_counters", "open_files", "terminal"}; !slices.Equal(hidden, want) {
		t.Errorf("null: %v, want %v", hidden, want)
	}
	if got := values["pid"]; got != float64(pid) {
		t.Errorf("pid: %v, want %d", got, pid)
	}
}

// cpuTime is what a process has used so far.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^uint32(pid)<<3|2), &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// measured asks for the CPU use over an interval, and bounds it by what the
// processes have used by their own clocks from before to after. On a machine
// with other work nothing else is certain.
func measured(t *testing.T, r *rig, pids ...int) (percent, least, most float64) {
	t.Helper()
	const interval = 200 * time.Millisecond
	d := r.daemon()
	use := func() (sum time.Duration) {
		for _, pid := range pids {
			sum += cpuTime(t, pid)
		}
		return sum
	}
	began, used := time.Now(), use()
	s, err := d.Status(t.Context(), daemonocle.StatusOptions{Fields: []string{"cpu_percent"}, Interval: interval})
	if err != nil {
		t.Fatal(err)
	}
	used = use() - used
	// What they can have used at most before and after the interval.
	elsewhere := (time.Since(began) - interval) * time.Duration(runtime.NumCPU())
	const slack = 5 // the clocks are not read in one moment
	least = 100*float64(used-elsewhere)/float64(interval) - slack
	most = 100*float64(used)/float64(interval) + slack
	if got := s.Values["cpu_percent"]; got != s.CPUPercent {
		t.Errorf("cpu_percent is %v and CPUPercent %v", got, s.CPUPercent)
	}
	return s.CPUPercent, least, most
}

// wantBusy checks the use of processes that spin. On a machine with other work an interval may
// pass in which they get less than the hundredth of a second that the kernel counts in.
func wantBusy(t *testing.T, r *rig, pids ...int) {
	t.Helper()
	testkit.WaitFor(t, "a share of the CPU", func() bool {
		got, least, most := measured(t, r, pids...)
		if got < least || got > most {
			t.Errorf("got %v %%, want %v to %v", got, least, most)
		}
		return got > 0
	})
}

func TestCPUOfABusyAndOfAnIdleWorker(t *testing.T) {
	testkit.Alone(t) // it measures
	r := oddRig(t, "spin")
	pid := r.start()
	begin := cpuTime(t, pid)
	testkit.WaitFor(t, "the worker to spin", func() bool { return cpuTime(t, pid) > begin+50*time.Millisecond })
	wantBusy(t, r, pid)

	idle := newRig(t)
	pid = idle.start()
	got, _, most := measured(t, idle, pid)
	if got > most || got > 50 {
		t.Errorf("idle: %v %%, want at most %v", got, most)
	}
}

func TestCPUOfTheGroupCounts(t *testing.T) {
	testkit.Alone(t) // it measures
	r := oddRig(t, "busy")
	pid := r.start()
	children := members(t, pid)
	if len(children) != 1 {
		t.Fatalf("the group has %v", children)
	}
	testkit.WaitFor(t, "the child to be busy", func() bool { return cpuTime(t, children[0]) > 50*time.Millisecond })
	wantBusy(t, r, pid, children[0])
	s := r.status("group_num_procs", "memory_percent")
	if n := s.Values["group_num_procs"]; n != int64(2) {
		t.Errorf("the group has %v processes", n)
	}
	rss := 0.0
	for _, pid := range []int{pid, children[0]} {
		rss += procLine(t, fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
	}
	if want := 100 * rss / procLine(t, "/proc/meminfo", "MemTotal"); near(s.MemoryPercent, want, want/2) != nil {
		t.Errorf("%v %% of memory, want about %v", s.MemoryPercent, want)
	}
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
}

func TestGroupThatTheDaemonDoesNotLeadDoesNotCount(t *testing.T) {
	r := newRig(t)
	pid := r.runHere(victim(t))
	s := r.status("pid", "group_num_procs")
	if s.PID != pid || s.Values["group_num_procs"] != int64(1) {
		t.Errorf("got %+v", s)
	}
}

func TestZombieIsNotARunningDaemon(t *testing.T) {
	r := newRig(t)
	held(t, r.command("noreap", "start"), "parent")
	pid := holder(t, r.pidFile)
	signal(t, pid, syscall.SIGKILL)
	testkit.WaitFor(t, "the zombie", func() bool { return testkit.Stat(pid).State == 'Z' })
	r.expect(r.do("status"), result{out: "foo -- not running\n", code: 1})
	if other := r.start(); other == pid {
		t.Errorf("the daemon is the zombie %d", pid)
	}
	if s := testkit.Stat(pid).State; s != 'Z' {
		t.Errorf("the state of process %d is %q", pid, s)
	}
}

// A look must not wake, stop, lock or change anything.
func TestStatusLeavesTheDaemonAlone(t *testing.T) {
	r := newRig(t)
	pid := r.start()
	testkit.Freeze(t, pid)
	for range 3 {
		if s := r.status(); s.State != "stopped" || s.PID != pid {
			t.Errorf("got %+v", s)
		}
	}
	if got := holder(t, r.pidFile); got != pid {
		t.Errorf("process %d holds the PID file, not %d", got, pid)
	}
	if got := content(t, r.pidFile); got != fmt.Sprintln(pid) {
		t.Errorf("the file holds %q", got)
	}
}
