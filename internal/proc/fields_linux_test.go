package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	// named gives itself a name that looks like the rest of its stat line.
	helpers["named"] = func(args []string) {
		if err := os.WriteFile("/proc/self/comm", []byte(args[0]), 0); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("ready")
		io.Copy(io.Discard, os.Stdin)
	}
	// files opens files in a directory, one for each mode, and writes on demand.
	helpers["files"] = func(args []string) {
		var written *os.File
		for name, flags := range fileFlags {
			f, err := os.OpenFile(filepath.Join(args[0], name), flags|os.O_CREATE, 0o600)
			if err != nil {
				fmt.Println(err)
				return
			}
			if flags&os.O_RDWR != 0 {
				f.Write(make([]byte, 10))
			}
			if name == "deleted" {
				os.Remove(f.Name())
			}
			if name == "w" {
				written = f
			}
			defer f.Close()
		}
		unix.Setpriority(unix.PRIO_PROCESS, os.Getpid(), 5) // of the first thread: 0 would be any
		fmt.Println("ready")
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(os.Stdin, b); err != nil {
				return
			}
			written.WriteAt(make([]byte, 12345), 0)
			fmt.Println("written")
		}
	}
	// stranger is what an ordinary user sees of a process of root.
	helpers["stranger"] = func(args []string) {
		pid, _ := strconv.Atoi(args[0])
		m, err := Snapshot(pid, FieldNames())
		if err != nil {
			fmt.Println(err)
			return
		}
		var unread []string
		for _, f := range FieldNames() {
			if m[f] == nil {
				unread = append(unread, f)
			}
		}
		h, err := Open(pid)
		if err == nil {
			err = h.Signal(syscall.SIGKILL)
		}
		_, errMeasure := Measure(context.Background(), 0, []int{pid})
		fmt.Println(unread, errors.Is(err, unix.EPERM), errors.Is(err, ErrGone), Alive(pid), errMeasure)
	}
}

var fileFlags = map[string]int{
	"r": os.O_RDONLY, "w": os.O_WRONLY, "a": os.O_WRONLY | os.O_APPEND,
	"r+": os.O_RDWR, "a+": os.O_RDWR | os.O_APPEND, "deleted": os.O_RDWR,
}

func field[T any](t *testing.T, pid int, name string) T {
	t.Helper()
	m, err := Snapshot(pid, []string{name})
	if err != nil {
		t.Fatal(err)
	}
	v, ok := m[name].(T)
	if !ok || len(m) != 1 {
		t.Fatalf("%s = %#v, want a %T", name, m[name], v)
	}
	return v
}

func TestSnapshotShape(t *testing.T) {
	p := run(t, "wait")
	m, err := Snapshot(p.pid(), FieldNames())
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(m)); !slices.Equal(got, slices.Sorted(slices.Values(FieldNames()))) {
		t.Errorf("fields = %v", got)
	}
	for name, n := range map[string]int{"uids": 3, "gids": 3, "memory_info": 7, "num_ctx_switches": 2, "io_counters": 6} {
		l, _ := m[name].([]any)
		if len(l) != n {
			t.Errorf("%s = %v, want %d numbers", name, m[name], n)
		}
		for _, v := range l {
			if _, ok := v.(int64); !ok {
				t.Errorf("%s = %#v, want int64", name, m[name])
			}
		}
	}
	if m, err := Snapshot(p.pid(), nil); err != nil || len(m) != 0 {
		t.Errorf("no fields: %v, %v", m, err)
	}
	if m, err := Snapshot(p.pid(), []string{"pid", "banana"}); err == nil || !strings.Contains(err.Error(), "banana") {
		t.Errorf("unknown field: %v, %v", m, err)
	}
	p.zombie()
	if m, err := Snapshot(p.pid(), []string{"pid"}); !errors.Is(err, ErrGone) {
		t.Errorf("zombie: %v, %v, want ErrGone", m, err)
	}
}

func TestSnapshotAgainstPs(t *testing.T) {
	p := run(t, "wait", "a", "", "b c")
	ps := func(column string) string { return ps(t, p.pid(), column) }
	for column, name := range map[string]string{"ppid": "ppid", "ni": "nice", "nlwp": "num_threads", "pid": "pid"} {
		if got, want := field[int64](t, p.pid(), name), ps(column); strconv.FormatInt(got, 10) != want {
			t.Errorf("%s = %d, want %s", name, got, want)
		}
	}
	for name, columns := range map[string][]string{"uids": {"ruid", "uid", "svuid"}, "gids": {"rgid", "gid", "svgid"}} {
		for i, c := range columns {
			if got, want := field[[]any](t, p.pid(), name), ps(c); fmt.Sprint(got[i]) != want {
				t.Errorf("%s = %v, want %s of %s", name, got, want, c)
			}
		}
	}
	if got, want := field[string](t, p.pid(), "username"), ps("ruser"); got != want && !strings.Contains(want, "+") {
		t.Errorf("username = %q, want %q", got, want)
	}
	if got, want := field[string](t, p.pid(), "status"), map[byte]string{'S': "sleeping", 'R': "running"}[ps("state")[0]]; got != want {
		t.Errorf("status = %q, want %q", got, want)
	}
	if got, want := field[string](t, p.pid(), "name"), ps("comm"); !strings.HasPrefix(got, want) {
		t.Errorf("name = %q, want %q", got, want)
	}
	memory := field[[]any](t, p.pid(), "memory_info")
	for i, column := range []string{"rss", "vsz"} {
		got, want := float64(memory[i].(int64)), 1024*psNumber(t, p.pid(), column)
		if math.Abs(got-want) > want/4 {
			t.Errorf("memory_info = %v, want about %v of %s", memory, want, column)
		}
	}
	from := field[float64](t, p.pid(), "create_time")
	when, err := time.ParseInLocation("Mon Jan _2 15:04:05 2006", ps("lstart"), time.Local)
	if err != nil {
		t.Skipf("ps speaks another language: %v", err)
	}
	if math.Abs(from-float64(when.Unix())) > 2 {
		t.Errorf("create_time = %f, want about %d", from, when.Unix())
	}
}

func TestSnapshotStrings(t *testing.T) {
	p := command(t, "wait", "a", "", "b c", "ü\n")
	p.Dir = t.TempDir()
	p.Env = append(p.Env, "A=1=2", "EMPTY=", "DAEMONOCLE_LAUNCH_KEY=secret", "DAEMONOCLE_OTHER=seen")
	p.start()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := field[[]any](t, p.pid(), "cmdline"), []any{exe, "a", "", "b c", "ü\n"}; !slices.Equal(got, want) {
		t.Errorf("cmdline = %q, want %q", got, want)
	}
	for name, want := range map[string]string{"exe": exe, "cwd": p.Dir} {
		if want, err = filepath.EvalSymlinks(want); err != nil {
			t.Fatal(err)
		}
		if got := field[string](t, p.pid(), name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	env := field[map[string]string](t, p.pid(), "environ")
	for name, want := range map[string]string{"A": "1=2", "EMPTY": "", "DAEMONOCLE_OTHER": "seen", helperVar: "wait"} {
		if got, ok := env[name]; !ok || got != want {
			t.Errorf("environ: %s = %q, %v, want %q", name, got, ok, want)
		}
	}
	for name := range env {
		if strings.HasPrefix(name, ownVariables) {
			t.Errorf("environ has our own %s", name)
		}
	}
	// The kernel cuts names after 15 bytes.
	if want := filepath.Base(exe); len(want) < 15 && field[string](t, p.pid(), "name") != want {
		t.Errorf("name = %q, want %q", field[string](t, p.pid(), "name"), want)
	}
}

func TestSnapshotLongName(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "a-program-with-a-long-name")
	p := command(t, "wait")
	if err := os.Symlink(p.Path, exe); err != nil {
		t.Fatal(err)
	}
	p.Path, p.Args[0] = exe, exe
	p.start()
	if got := field[string](t, p.pid(), "name"); got != filepath.Base(exe) {
		t.Errorf("name = %q, want %q", got, filepath.Base(exe))
	}
}

func TestSnapshotEvilName(t *testing.T) {
	for _, name := range []string{") R 1 1 (", ")", "(", "a b\nUid:\t1 1 1", "\xff)\t("} {
		p := run(t, "named", name)
		if got := field[string](t, p.pid(), "name"); got != name {
			t.Errorf("name = %q, want %q", got, name)
		}
		if got := field[int64](t, p.pid(), "ppid"); got != int64(os.Getpid()) {
			t.Errorf("%q: ppid = %d, want %d", name, got, os.Getpid())
		}
		if got := field[[]any](t, p.pid(), "uids"); got[0] != int64(os.Getuid()) {
			t.Errorf("%q: uids = %v", name, got)
		}
		if !Alive(p.pid()) {
			t.Errorf("%q: Alive = false", name)
		}
	}
}

func TestSnapshotFiles(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := run(t, "files", dir)
	got := make(map[string]bool)
	for _, f := range field[[]any](t, p.pid(), "open_files") {
		f := f.([]any)
		path, fd, pos, mode, flags := f[0].(string), f[1].(int64), f[2].(int64), f[3].(string), f[4].(int64)
		if filepath.Dir(path) != dir {
			continue // what the tests were started with
		}
		name := filepath.Base(path)
		got[name] = true
		if mode != name {
			t.Errorf("%s: mode = %q", name, mode)
		}
		if want := fileFlags[name]; int(flags)&(unix.O_ACCMODE|unix.O_APPEND) != want {
			t.Errorf("%s: flags = %#o, want %#o", name, flags, want)
		}
		if want := map[bool]int64{true: 10}[fileFlags[name]&os.O_RDWR != 0]; pos != want {
			t.Errorf("%s: position = %d, want %d", name, pos, want)
		}
		if link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.pid(), fd)); err != nil || link != path {
			t.Errorf("%s: descriptor %d is %q, %v", path, fd, link, err)
		}
	}
	if len(got) != len(fileFlags)-1 || got["deleted"] {
		t.Errorf("open_files = %v", slices.Sorted(maps.Keys(got)))
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	if got := field[int64](t, p.pid(), "num_fds"); err != nil || got != int64(len(fds)) {
		t.Errorf("num_fds = %d, want %d, %v", got, len(fds), err)
	}
	// How it is counted on older kernels, also for ourselves.
	s := &subject{pid: os.Getpid()}
	if fds, err := s.fds(); err != nil || int64(len(fds)) != field[int64](t, os.Getpid(), "num_fds") {
		t.Errorf("%d descriptors of our own, %v, want %d", len(fds), err, field[int64](t, os.Getpid(), "num_fds"))
	}
	if got := field[int64](t, p.pid(), "nice"); got < 5 {
		t.Errorf("nice = %d, want at least 5", got)
	}

	before := field[[]any](t, p.pid(), "io_counters")
	p.ask("")
	after := field[[]any](t, p.pid(), "io_counters")
	d := func(i int) int64 { return after[i].(int64) - before[i].(int64) }
	if d(0) < 1 || d(1) < 2 || d(4) < 1 || d(5) < 12345+8 || d(5) > 2*12345 || d(2) < 0 || d(3) < 0 {
		t.Errorf("io_counters went from %v to %v by writing 12345 and 8 bytes and reading one", before, after)
	}
}

func TestSnapshotTimes(t *testing.T) {
	from := time.Now()
	p := run(t, "busy")
	ready := time.Now()
	created := field[float64](t, p.pid(), "create_time")
	if at := float64(from.UnixMilli()) / 1000; created < at-0.05 || created > at+giveUp.Seconds() {
		t.Errorf("create_time = %f, want about %f", created, at)
	}
	for p.used() < 50*time.Millisecond { // each question costs some, too
	}
	least := p.used()
	times := field[[]any](t, p.pid(), "cpu_times")
	most := p.used()
	// The kernel's ticks are rounded down, each part for itself.
	if got := times[0].(float64) + times[1].(float64); got < least.Seconds()-0.03 || got > most.Seconds()+0.03 || len(times) != 5 {
		t.Errorf("cpu_times = %v, want %v to %v", times, least, most)
	}
	for _, v := range times[2:] {
		if f := v.(float64); f < 0 || f > 1 {
			t.Errorf("cpu_times = %v", times)
		}
	}
	least = time.Since(ready)
	up := field[float64](t, p.pid(), "uptime")
	most = time.Since(from) + 10*time.Millisecond // the start is in whole ticks, rounded down
	if up < least.Seconds() || up > most.Seconds() {
		t.Errorf("uptime = %f, want %v to %v", up, least, most)
	}

	before := field[[]any](t, p.pid(), "num_ctx_switches")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		t.Fatal(err)
	}
	after := field[[]any](t, p.pid(), "num_ctx_switches")
	for i, key := range []string{"\nvoluntary_ctxt_switches:", "\nnonvoluntary_ctxt_switches:"} {
		_, rest, _ := strings.Cut(string(status), key)
		n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil || n < before[i].(int64) || n > after[i].(int64) {
			t.Errorf("num_ctx_switches = %v and %v, in between %d, %v", before, after, n, err)
		}
	}
}

func TestSnapshotTerminal(t *testing.T) {
	p := command(t, "wait")
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p.start()
	if m, err := Snapshot(p.pid(), []string{"terminal"}); err != nil || m["terminal"] != nil {
		t.Errorf("without a terminal: %v, %v", m, err)
	}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	defer master.Close()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("/dev/pts/%d", n)
	tty, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	defer tty.Close()
	p = command(t, "wait")
	p.ExtraFiles = []*os.File{tty}
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	p.start()
	if got := field[string](t, p.pid(), "terminal"); got != name {
		t.Errorf("terminal = %q, want %q", got, name)
	}
}

func TestStatusWords(t *testing.T) {
	p := run(t, "wait")
	if err := unix.Kill(p.pid(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, p.pid(), &info, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if got := field[string](t, p.pid(), "status"); got != "stopped" {
		t.Errorf("status = %q, want stopped", got)
	}
	unix.Kill(p.pid(), unix.SIGCONT)
	if got := field[string](t, os.Getpid(), "status"); got != "running" && got != "sleeping" {
		t.Errorf("status = %q, want running or sleeping", got)
	}
	if _, err := os.Readlink("/proc/2/exe"); errors.Is(err, unix.ENOENT) && os.Getuid() == 0 {
		m, err := Snapshot(2, FieldNames()) // kthreadd
		if err != nil || m["exe"] != "" || len(m["cmdline"].([]any)) != 0 || m["terminal"] != nil {
			t.Errorf("a kernel thread: %v, %v", m, err)
		}
	}
}

// What a user may not read of root's process is nil, and the rest is there.
func TestUnreadable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a process of root to look at, and becoming another user, need root")
	}
	p := run(t, "wait")
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	// The tests' own directory may be closed to others; a descriptor is not.
	s := command(t, "stranger", strconv.Itoa(p.pid()))
	s.Path, s.Dir = "/proc/self/fd/3", "/"
	s.ExtraFiles = []*os.File{exe}
	s.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	want := "[exe environ cwd terminal io_counters open_files] true false true <nil>"
	if tty := raw(t, p.pid(), "terminal"); tty != nil {
		want = strings.Replace(want, "terminal ", "", 1)
	}
	if got := s.start(); got != want {
		t.Errorf("a stranger sees\n%s, want\n%s", got, want)
	}
}

// raw returns a field as it is, which may be nil.
func raw(t *testing.T, pid int, name string) any {
	t.Helper()
	m, err := Snapshot(pid, []string{name})
	if err != nil {
		t.Fatal(err)
	}
	return m[name]
}

// An ordinary user looks at process 1.
func TestUnreadableInit(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything; run the tests as an ordinary user, too")
	}
	m, err := Snapshot(1, FieldNames())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"environ", "io_counters", "cwd", "open_files"} {
		if m[f] != nil {
			t.Errorf("%s = %v, want nil", f, m[f])
		}
	}
	if m["pid"] != int64(1) || m["ppid"] != int64(0) || m["name"] == nil {
		t.Errorf("Snapshot(1) = %v", m)
	}
}

// A full descriptor table must not look like a lack of permission.
func TestDenied(t *testing.T) {
	if denied(&os.PathError{Err: unix.EMFILE}) || !denied(&os.PathError{Err: unix.EACCES}) {
		t.Error("denied: EMFILE is not, EACCES is")
	}
}

var statSeeds = []string{
	"1 (systemd) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9 10 11 12 13 14 15 16 17 0 0 0 0 0 0 0 0 17 0 0 18 0 0 0 0 0 0 0 0 0 0\n",
	"77 () R 1 () S 1 2 3 34816 -1 0 0 0 0 0 1 2 -3 4 39 19 5 0 18446744073709551615",
	"7 (a\n) Z 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5",
	"", "()", ")(", "1 (x) S", "1 (x) SS 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9",
}

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte(statSeeds[1]))
	want := &stat{
		comm: ") R 1 (", state: 'S', ppid: 1, pgrp: 2, tty: 34816, utime: 1, stime: 2, cstime: 4,
		nice: 19, threads: 5, start: math.MaxUint64,
	}
	if err != nil || *got != *want {
		t.Errorf("parseStat = %+v, %v, want %+v", got, err, want)
	}
	if got, err := parseStat([]byte(statSeeds[0])); err != nil || got.blkio != 18 || got.start != 9 {
		t.Errorf("parseStat = %+v, %v", got, err)
	}
	if got, err := parseStat([]byte(statSeeds[2])); err != nil || !got.zombie() {
		t.Errorf("parseStat = %+v, %v, want a zombie", got, err)
	}
	for _, s := range statSeeds[3:] {
		if got, err := parseStat([]byte(s)); err == nil {
			t.Errorf("parseStat(%q) = %+v", s, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	for _, s := range statSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStat(b)
		if (s == nil) != (err != nil) {
			t.Fatalf("%+v, %v", s, err)
		}
		if s != nil && !bytes.Contains(b, []byte("("+s.comm+")")) {
			t.Errorf("comm = %q", s.comm)
		}
		// Whatever the name is, the rest is read the same.
		tail := statSeeds[0][len("1 (systemd"):]
		if bytes.IndexByte(b, 0) < 0 {
			s, err := parseStat([]byte("1 (" + string(b) + tail))
			if err != nil || s.comm != string(b) || s.ppid != 0 || s.start != 9 {
				t.Errorf("name %q: %+v, %v", b, s, err)
			}
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("Name:\ta\\nUid:\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nvoluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t10\n"))
	f.Add([]byte("Uid:\t1\nGid:\t1"))
	f.Add([]byte("Uid:\t-1 2 3\nGid:\t1 2 3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStatus(b)
		if (s == nil) != (err != nil) {
			t.Fatalf("%+v, %v", s, err)
		}
		if s != nil && (slices.Min(s.uids[:]) < 0 || slices.Min(s.gids[:]) < 0 || slices.Min(s.switches[:]) < 0) {
			t.Errorf("%+v of %q", s, b)
		}
	})
}

func FuzzParseFdinfo(f *testing.F) {
	f.Add([]byte("pos:\t10\nflags:\t0102002\nmnt_id:\t31\nino:\t7\n"))
	f.Add([]byte("pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t1\nPid:\t-1\nNSpid:\t-1\n"))
	f.Add([]byte("pos:\t0\nflags:\t8\n"))
	f.Add([]byte("pos:\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if info, err := parseFdinfo(b); (info == nil) != (err != nil) {
			t.Fatalf("%+v, %v", info, err)
		}
	})
}

// The smaller parsers: no input makes them panic, or of the wrong shape.
func FuzzParseRest(f *testing.F) {
	f.Add([]byte("rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n"))
	f.Add([]byte("1 2 3 4 5 6 7"))
	f.Add([]byte("a\x00\x00b=c=\x00=d\x00DAEMONOCLE_LAUNCH_X=1\x00"))
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x0412\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := parseIO(b); err == nil && (len(l) != 6 || slices.Contains(l, nil)) {
			t.Errorf("parseIO = %v", l)
		}
		if p, err := parseStatm(b); err == nil && slices.Min(p[:]) < 0 {
			t.Errorf("parseStatm = %v", p)
		}
		eachDirent(b, func(pid int) {
			if pid < 0 {
				t.Errorf("eachDirent: %d", pid)
			}
		})
		if l := parseCmdline(b); len(b) > 0 && b[len(b)-1] == 0 && len(l) != bytes.Count(b, []byte{0}) {
			t.Errorf("parseCmdline = %q", l)
		}
		for name := range parseEnviron(b) {
			if name == "" || strings.HasPrefix(name, ownVariables) {
				t.Errorf("parseEnviron has %q", name)
			}
		}
	})
}

func TestParseIO(t *testing.T) {
	got, err := parseIO([]byte("rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n"))
	if want := []any{int64(3), int64(4), int64(5), int64(6), int64(1), int64(2)}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseIO = %v, %v, want %v", got, err, want)
	}
	if got, err := parseIO([]byte("rchar: 1\nrchar: 1\nrchar: 1\nrchar: 1\nrchar: 1\nrchar: 1\n")); err == nil {
		t.Errorf("parseIO = %v", got)
	}
	if got := parseCmdline([]byte("postgres: writer")); !slices.Equal(got, []any{"postgres:", "writer"}) {
		t.Errorf("parseCmdline = %q", got)
	}
}

func TestPython(t *testing.T) {
	out, err := exec.Command("python3", "-c", "import psutil; print(psutil.__version__)").Output()
	if err != nil {
		t.Skip("no python3 with psutil to compare with")
	}
	t.Logf("psutil %s", out)
	p := run(t, "files", t.TempDir())
	out, err = exec.Command("python3", "-c", `import psutil, sys
p = psutil.Process(int(sys.argv[1]))
for f in sys.argv[2:]:
    v = getattr(p, f)()
    print([list(x) for x in v] if f == "open_files" else list(v) if isinstance(v, tuple) else v)`,
		strconv.Itoa(p.pid()), "uids", "gids", "num_fds", "nice", "status", "name", "ppid").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	for i, f := range []string{"uids", "gids", "num_fds", "nice", "status", "name", "ppid"} {
		if got := strings.ReplaceAll(fmt.Sprint(raw(t, p.pid(), f)), " ", ", "); got != lines[i] {
			t.Errorf("%s = %s, want %s", f, got, lines[i])
		}
	}
}
