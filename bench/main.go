//go:build linux

// Command bench measures what the library promises to cost, as ratios to a
// floor that is measured in the same run: F is one run of the same binary's
// do-nothing action. Times are medians of runs that are interleaved with runs
// of the floor, so that a busy machine slows both. It exits with 1 if a limit is
// exceeded in every one of several tries.
//
//	go run ./bench          a table, in about half a minute
//	go run ./bench -full    and the status among 10,000 other processes
//
// It needs the go command, and Linux for what /proc tells.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// window is how long status measures CPU use.
const window = 50 * time.Millisecond

func main() {
	full := flag.Bool("full", false, "measure status among 10,000 other processes as well")
	runs := flag.Int("runs", 40, "runs of each action")
	tries := flag.Int("tries", 6, "tries until every limit is kept")
	flag.Parse()
	if err := bench(*runs, *tries, *full); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(runs, tries int, full bool) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &subjects{dir: dir}
	for name, tags := range map[string]string{"daemon": "", "group": "group", "plain": "plain", "webdaemon": "web", "webplain": "web,plain"} {
		if err := b.build(name, tags); err != nil {
			return err
		}
	}
	defer func() { // if a measure has failed half way
		b.run("stop")
		b.runAs("group", "stop")
	}()

	measures := []func() (figure, error){}
	for _, a := range actions {
		measures = append(measures, func() (figure, error) { return b.speed(a, runs) })
	}
	for _, a := range groupActions {
		measures = append(measures, func() (figure, error) { return b.speed(a, max(runs/5, 1)) })
	}
	measures = append(measures,
		func() (figure, error) { return b.resources("", "RssAnon", "private memory", "KB", 1024) },
		func() (figure, error) { return b.resources("web", "RssAnon", "private memory", "KB", 1024) },
		func() (figure, error) { return b.resources("", "Threads", "threads", "", 2) }, // which of some the runtime needed on its way is chance, and more where others are busy
		b.wakeups,
		func() (figure, error) { return b.startedCommand(runs) },
		func() (figure, error) { return b.listed(max(runs/2, 1)) },
		b.written)
	if full {
		measures = append(measures, b.crowd)
	}
	exceeded := false
	for _, measure := range measures {
		var f figure
		for try := 1; ; try++ {
			var err error
			if f, err = measure(); err != nil {
				return err
			}
			fmt.Println(f)
			if f.kept() || try == tries {
				break
			}
		}
		exceeded = exceeded || !f.kept() && f.missed == ""
	}
	// What is counted does not depend on how busy the machine is: there is one try.
	counts, err := b.reloads(100)
	if err != nil {
		return err
	}
	sizes, err := b.sizes()
	if err != nil {
		return err
	}
	for _, f := range append(counts, sizes...) {
		fmt.Println(f)
		exceeded = exceeded || !f.kept() && f.missed == ""
	}
	if exceeded {
		return errors.New("a limit was exceeded")
	}
	return nil
}

// figure is one line of the table.
type figure struct {
	what       string
	got, limit float64
	unit       string
	detail     string
	missed     string // why a limit that is not kept is no news
}

func (f figure) kept() bool { return f.got <= f.limit }

func (f figure) String() string {
	verdict := "ok"
	if !f.kept() {
		verdict = "TOO MUCH"
		if f.missed != "" {
			verdict = "MISSED: " + f.missed + ":"
		}
	}
	return fmt.Sprintf("%-46s %8.2f %-3s limit %7.2f  %-8s  %s", f.what, f.got, f.unit, f.limit, verdict, f.detail)
}

// subjects are the programs that are measured.
type subjects struct{ dir string }

func (b *subjects) path(name string) string { return filepath.Join(b.dir, name) }

func (b *subjects) build(name, tags string) error {
	return b.buildPackage(name, "bench/subject", tags)
}

func (b *subjects) buildPackage(name, path, tags string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-tags", tags, "-o", b.path(name),
		"github.com/daemonocle/daemonocle/"+path)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

func (b *subjects) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(b.path(name), args...)
	cmd.Env = append(os.Environ(), "SUBJECT_PIDFILE="+b.path("subject.pid"), "SUBJECT_WORKERS="+strconv.Itoa(workers))
	return cmd
}

func (b *subjects) run(args ...string) error { return b.runAs("daemon", args...) }

func (b *subjects) runAs(name string, args ...string) error {
	out, err := b.command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("subject %v: %w: %s", args, err, out)
	}
	return nil
}

// time runs a program without a pipe, which would be one more thing to wait for.
func (b *subjects) time(name string, args ...string) (time.Duration, error) {
	cmd := b.command(name, args...)
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil {
		err = fmt.Errorf("subject %v: %w", args, err)
	}
	return took, err
}

// action is one of which the time counts, and what has to be done around it.
type action struct {
	program       string
	name          string
	before, after string
	limit         float64 // in floors
	extra         time.Duration
}

var actions = []action{
	{program: "daemon", name: "start", after: "stop", limit: 4},
	{program: "daemon", name: "stop", before: "start", limit: 2.5},
	{program: "daemon", name: "status", before: "start", after: "stop", limit: 2, extra: window},
	{program: "daemon", name: "restart", before: "start", after: "stop", limit: 5},
	{program: "daemon", name: "reload", before: "start", after: "stop", limit: 4},
}

// workers is how many daemons the group has. Their goodbye is nothing to wait for.
const workers = 100

var groupActions = []action{
	{program: "group", name: "start", after: "stop", limit: 120},
	{program: "group", name: "stop", before: "start", limit: 60},
	{program: "group", name: "status", before: "start", after: "stop", limit: 40, extra: window},
}

func (b *subjects) speed(a action, runs int) (figure, error) {
	var p pairs
	for range runs {
		if a.before != "" {
			if err := b.runAs(a.program, a.before); err != nil {
				return figure{}, err
			}
		}
		floor, err := b.time("daemon", "nothing")
		if err != nil {
			return figure{}, err
		}
		took, err := b.time(a.program, a.name)
		if err != nil {
			return figure{}, err
		}
		if a.after != "" {
			if err := b.runAs(a.program, a.after); err != nil {
				return figure{}, err
			}
		}
		p.add(floor, took, a.extra)
	}
	what := a.name
	if a.program == "group" {
		what = fmt.Sprintf("%s of %d workers", a.name, workers)
	}
	if a.extra > 0 {
		what += fmt.Sprintf(", less the window of %v", a.extra)
	}
	return p.figure(what, a.limit), nil
}

// pairs are runs, each beside one of the floor.
type pairs struct{ floors, times, ratios []float64 }

// add takes a pair; extra is what of the time does not count.
func (p *pairs) add(floor, took, extra time.Duration) {
	p.floors = append(p.floors, ms(floor))
	p.times = append(p.times, ms(took))
	p.ratios = append(p.ratios, float64(took-extra)/float64(floor))
}

func (p *pairs) figure(what string, limit float64) figure {
	return figure{what: what, got: median(p.ratios), limit: limit, unit: "F",
		detail: fmt.Sprintf("%.2f ms, F = %.2f ms", median(p.times), median(p.floors))}
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// pair starts a daemon and its plain program, and gives their PIDs when both
// say that they are ready.
func (b *subjects) pair(kind string) (daemon, plain int, stop func() error, err error) {
	if err := b.runAs(kind+"daemon", "start"); err != nil {
		return 0, 0, nil, err
	}
	number, err := os.ReadFile(b.path("subject.pid"))
	if err != nil {
		return 0, 0, nil, err
	}
	daemon, err = strconv.Atoi(strings.TrimSpace(string(number)))
	if err != nil {
		return 0, 0, nil, err
	}
	cmd := b.command(kind + "plain")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, nil, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, nil, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return 0, 0, nil, err
	}
	stop = func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		return errors.Join(err, cmd.Wait(), b.run("stop"))
	}
	return daemon, cmd.Process.Pid, stop, nil
}

// resources compares how much of something an idle daemon has with what the plain program
// with the same worker has. Of the memory only what is private counts: the pages of the
// program's file are the page cache's, and resident for as long as the kernel likes.
func (b *subjects) resources(kind, field, what, unit string, limit float64) (figure, error) {
	var daemons, plains []float64
	for range 9 {
		daemon, plain, stop, err := b.pair(kind)
		if err != nil {
			return figure{}, err
		}
		time.Sleep(100 * time.Millisecond) // for what the runtime does after a start
		d, derr := procNumber(daemon, "status", field)
		p, perr := procNumber(plain, "status", field)
		if err := errors.Join(derr, perr, stop()); err != nil {
			return figure{}, err
		}
		daemons, plains = append(daemons, float64(d)), append(plains, float64(p))
	}
	d, p := median(daemons), median(plains)
	what = strings.TrimSpace(what + ", more than plain " + kind)
	return figure{what: what, got: d - p, limit: limit, unit: unit, detail: strings.TrimSpace(fmt.Sprintf("%.0f, plain %.0f %s", d, p, unit))}, nil
}

// wakeups compares how often the idle programs were given a processor.
func (b *subjects) wakeups() (figure, error) {
	daemon, plain, stop, err := b.pair("")
	if err != nil {
		return figure{}, err
	}
	time.Sleep(time.Second)
	d0, err1 := switches(daemon)
	p0, err2 := switches(plain)
	time.Sleep(5 * time.Second)
	d1, err3 := switches(daemon)
	p1, err4 := switches(plain)
	if err := errors.Join(err1, err2, err3, err4, stop()); err != nil {
		return figure{}, err
	}
	return figure{what: "wake-ups in 5 s more than plain", got: float64(d1 - d0 - (p1 - p0)),
		detail: fmt.Sprintf("%d, plain %d", d1-d0, p1-p0)}, nil
}

func switches(pid int) (int, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("process %d is gone", pid)
	}
	sum := 0
	for _, task := range tasks {
		n, err := procNumber(pid, "task/"+filepath.Base(task)+"/status", "voluntary_ctxt_switches")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func procNumber(pid int, file, name string) (int, error) {
	return number(fmt.Sprintf("/proc/%d/%s", pid, file), name)
}

// number finds the line "name: number" in a file of /proc.
func number(path, name string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(data) {
		if rest, ok := strings.CutPrefix(string(line), name+":"); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("%s: no %s", path, name)
}

// sizes are what the library adds to a client of net/http, by what that calls.
func (b *subjects) sizes() ([]figure, error) {
	plain, err := b.size("")
	if err != nil {
		return nil, err
	}
	var list []figure
	for _, s := range []struct {
		call, tags string
		limit      float64
		reached    float64 // what is no news although it misses the limit
	}{
		{"New", "daemon", 450, 0},
		{"New, Stop", "daemon,stop", 560, 0},
		{"New, Status", "daemon,status", 620, 0},
		{"New, Run", "daemon,run", 860, 896},
		{"New, Start", "daemon,start", 960, 1080},
		{"New, Do", "daemon,do", 1200, 1384},
	} {
		with, err := b.size(s.tags)
		if err != nil {
			return nil, err
		}
		f := figure{what: "added by " + s.call, got: with - plain, limit: s.limit, unit: "KB",
			detail: fmt.Sprintf("%.0f KB, without %.0f KB", with, plain)}
		if f.got <= s.reached {
			f.missed = "reloading, walking paths by hand and signalling with a stranger's rights cost more than it leaves"
		}
		list = append(list, f)
	}
	return list, nil
}

// size is the size in KB of a client with these tags.
func (b *subjects) size(tags string) (float64, error) {
	if err := b.buildPackage("size", "bench/size", tags); err != nil {
		return 0, err
	}
	info, err := os.Stat(b.path("size"))
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / 1024, nil
}
