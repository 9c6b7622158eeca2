package proc

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// statusWord is psutil's name for a letter of proc_pid_stat(5).
func statusWord(state byte) (string, bool) {
	for _, w := range [...]struct {
		state byte
		word  string
	}{
		{'R', "running"}, {'S', "sleeping"}, {'D', "disk-sleep"}, {'T', "stopped"}, {'t', "tracing-stop"},
		{'Z', "zombie"}, {'X', "dead"}, {'x', "dead"}, {'K', "wake-kill"}, {'W', "waking"}, {'P', "parked"}, {'I', "idle"},
	} {
		if w.state == state {
			return w.word, true
		}
	}
	return "", false
}

// subject is the process of one Snapshot; files that hold several fields are
// read once.
type subject struct {
	pid     int
	stat    *stat
	statErr error
	stats   *statusFile
}

func snapshot(pid int, fields []string) (map[string]any, error) {
	s := &subject{pid: pid}
	s.stat, s.statErr = readStat(pid)
	if errors.Is(s.statErr, ErrGone) {
		return nil, s.statErr
	}
	m := make(map[string]any, len(fields))
	for _, f := range fields {
		v, err := s.field(f)
		switch {
		case err == nil:
			m[f] = v
		case errors.Is(err, ErrGone):
			return nil, gone(pid)
		case denied(err):
			m[f] = nil
		default:
			return nil, errorf("read %s of process %d: %w", f, pid, err)
		}
	}
	// All of it is of one process, and of one that lived, or it is not told.
	if s.stat != nil {
		if st, err := readStat(pid); err == nil && (st.start != s.stat.start || st.zombie()) {
			return nil, gone(pid)
		} else if err == nil {
			return m, nil
		}
	}
	if !alive(pid) {
		return nil, gone(pid)
	}
	return m, nil
}

// denied reports whether err means that this caller, or this kernel, does not
// get to see a file of a process. A full descriptor table is not that.
func denied(err error) bool {
	for _, e := range []error{unix.EACCES, unix.EPERM, unix.ENOENT, unix.ESRCH} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *subject) field(name string) (any, error) {
	switch name {
	case "pid":
		return int64(s.pid), nil
	case "ppid", "name", "create_time", "status", "terminal", "nice", "num_threads", "cpu_times", "uptime":
		if s.statErr != nil {
			return nil, s.statErr
		}
		return s.statField(name)
	case "username", "uids", "gids", "num_ctx_switches":
		if s.stats == nil {
			b, err := s.read("status")
			if err != nil {
				return nil, err
			}
			if s.stats, err = parseStatus(b); err != nil {
				return nil, err
			}
		}
		switch name {
		case "username":
			return Username(int(s.stats.uids[0])), nil
		case "uids":
			return list(s.stats.uids[:]...), nil
		case "gids":
			return list(s.stats.gids[:]...), nil
		}
		return list(s.stats.switches[:]...), nil
	case "exe", "cwd":
		path, err := os.Readlink(procPath(s.pid, name))
		if err != nil {
			err = goneOr(s.pid, err)
			if name == "exe" && s.stat != nil && errors.Is(err, unix.ENOENT) {
				return "", nil // a kernel thread
			}
		}
		return path, err
	case "cmdline":
		b, err := s.read(name)
		if err != nil {
			return nil, err
		}
		return parseCmdline(b), nil
	case "environ":
		b, err := s.read(name)
		if err != nil {
			return nil, err
		}
		return parseEnviron(b), nil
	case "io_counters":
		b, err := s.read("io")
		if err != nil {
			return nil, err
		}
		return parseIO(b)
	case "memory_info":
		b, err := s.read("statm")
		if err != nil {
			return nil, err
		}
		p, err := parseStatm(b)
		if err != nil {
			return nil, err
		}
		size := int64(os.Getpagesize())
		return list(p[1]*size, p[0]*size, p[2]*size, p[3]*size, p[4]*size, p[5]*size, p[6]*size), nil
	case "num_fds":
		return s.numFDs()
	case "open_files":
		return s.openFiles()
	}
	return nil, errors.ErrUnsupported
}

func (s *subject) statField(name string) (any, error) {
	st := s.stat
	switch name {
	case "ppid":
		return int64(st.ppid), nil
	case "name":
		// The kernel cuts a name after 15 bytes; psutil completes it from
		// the command line where that begins with it.
		if len(st.comm) >= 15 {
			if b, err := s.read("cmdline"); err == nil {
				arg0, _, _ := bytes.Cut(b, []byte{0})
				if base := filepath.Base(string(arg0)); strings.HasPrefix(base, st.comm) {
					return base, nil
				}
			}
		}
		return st.comm, nil
	case "status":
		if w, ok := statusWord(st.state); ok {
			return w, nil
		}
		return string(rune(st.state)), nil
	case "terminal":
		return terminal(st.tty)
	case "nice":
		return int64(st.nice), nil
	case "num_threads":
		return int64(st.threads), nil
	case "cpu_times":
		return list(seconds(st.utime), seconds(st.stime), seconds(st.cutime), seconds(st.cstime), seconds(st.blkio)), nil
	case "uptime":
		now, err := clock(unix.CLOCK_BOOTTIME)
		return max(0, (now - since(st)).Seconds()), err
	}
	// create_time. The clocks give the moment of boot finer than the whole
	// seconds of btime in /proc/stat, and without reading that long file.
	boot, err := clock(unix.CLOCK_BOOTTIME)
	if err != nil {
		return nil, err
	}
	wall, err := clock(unix.CLOCK_REALTIME)
	return (wall - boot + since(st)).Seconds(), err
}

// since is when a process started, by the boot clock, which runs on while the
// machine is suspended and which nobody can set.
func since(st *stat) time.Duration {
	return time.Duration(st.start) * (time.Second / ticksPerSecond)
}

func clock(id int32) (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(id, &ts)
	return time.Duration(ts.Nano()), err
}

func seconds(ticks uint64) float64 { return float64(ticks) / ticksPerSecond }

func list[T any](vs ...T) []any {
	l := make([]any, len(vs))
	for i, v := range vs {
		l[i] = v
	}
	return l
}

func (s *subject) read(name string) ([]byte, error) {
	b, err := os.ReadFile(procPath(s.pid, name))
	if err != nil {
		return nil, goneOr(s.pid, err)
	}
	return b, nil
}

// statusFile is what we use of /proc/PID/status.
type statusFile struct {
	uids, gids [3]int64 // real, effective, saved
	switches   [2]int64 // voluntary, involuntary
}

var errStatus = errors.New("not the form of proc_pid_status(5)")

// parseStatus reads /proc/PID/status. The kernel escapes newlines in the name,
// so that it cannot forge a line.
func parseStatus(b []byte) (*statusFile, error) {
	s := new(statusFile)
	ids := 0
	for line := range bytes.Lines(b) {
		key, rest, _ := bytes.Cut(line, []byte(":"))
		var into []int64
		switch string(key) {
		case "Uid":
			into, ids = s.uids[:], ids+1
		case "Gid":
			into, ids = s.gids[:], ids+1
		case "voluntary_ctxt_switches":
			into = s.switches[:1]
		case "nonvoluntary_ctxt_switches":
			into = s.switches[1:]
		default:
			continue
		}
		f := strings.Fields(string(rest))
		if len(f) < len(into) {
			return nil, errStatus
		}
		for i := range into {
			n, err := strconv.ParseUint(f[i], 10, 63)
			if err != nil {
				return nil, errStatus
			}
			into[i] = int64(n)
		}
	}
	if ids != 2 {
		return nil, errStatus
	}
	return s, nil
}

// parseCmdline splits at the zero bytes. A program that has written its title
// over its arguments may have left one string without any.
func parseCmdline(b []byte) []any {
	if len(b) == 0 {
		return []any{}
	}
	sep := " "
	if b[len(b)-1] == 0 {
		sep = "\x00"
		b = b[:len(b)-1]
	}
	return list(strings.Split(string(b), sep)...)
}

func parseEnviron(b []byte) map[string]string {
	m := make(map[string]string)
	for v := range strings.SplitSeq(string(b), "\x00") {
		name, value, ok := strings.Cut(v, "=")
		if ok && name != "" && !strings.HasPrefix(name, ownVariables) {
			m[name] = value
		}
	}
	return m
}

func parseIO(b []byte) ([]any, error) {
	names := []string{"syscr", "syscw", "read_bytes", "write_bytes", "rchar", "wchar"}
	values := make([]any, len(names))
	found := 0
	for line := range bytes.Lines(b) {
		key, rest, _ := bytes.Cut(line, []byte(":"))
		i := slices.Index(names, string(key))
		if i < 0 {
			continue
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 63)
		if err != nil {
			return nil, err
		}
		if values[i] == nil {
			found++
		}
		values[i] = int64(n)
	}
	if found != len(names) {
		return nil, errors.New("not the form of proc_pid_io(5)")
	}
	return values, nil
}

// terminal finds the device file of a controlling terminal.
func terminal(tty int) (any, error) {
	if tty == 0 {
		return nil, nil
	}
	// The kernel's packing of the two numbers (new_encode_dev) is not the one
	// of stat(2).
	n := uint32(tty)
	want := unix.Mkdev(n>>8&0xfff, n&0xff|n>>12&0xfff00)
	for _, dir := range []string{"/dev/pts", "/dev"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // in a chroot or container the terminal need not have a name
		}
		for _, e := range entries {
			if dir == "/dev" && !strings.HasPrefix(e.Name(), "tty") {
				continue
			}
			path := filepath.Join(dir, e.Name())
			var st unix.Stat_t
			if retried.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && uint64(st.Rdev) == want {
				return path, nil
			}
		}
	}
	return nil, nil
}

func (s *subject) numFDs() (any, error) {
	// Since Linux 6.2 the size of the directory is the count, and no
	// descriptor of ours is in it when it is our own.
	path := procPath(s.pid, "fd")
	if fi, err := os.Stat(path); err != nil {
		return nil, goneOr(s.pid, err)
	} else if fi.Size() > 0 {
		return fi.Size(), nil
	}
	fds, err := s.fds()
	return int64(len(fds)), err
}

// fds lists the descriptors of the process.
func (s *subject) fds() ([]string, error) {
	dir, err := os.Open(procPath(s.pid, "fd"))
	if err != nil {
		return nil, goneOr(s.pid, err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if s.pid == os.Getpid() {
		own := strconv.Itoa(int(dir.Fd()))
		names = slices.DeleteFunc(names, func(n string) bool { return n == own })
	}
	return names, err
}

func (s *subject) openFiles() (any, error) {
	names, err := s.fds()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	files := []any{}
	for _, name := range names {
		link := procPath(s.pid, "fd/"+name)
		var st unix.Stat_t
		if err := retried.Stat(link, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink == 0 {
			continue // closed meanwhile, no regular file, or without a path
		}
		path, err := os.Readlink(link)
		if err != nil {
			continue
		}
		b, err := s.read("fdinfo/" + name)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := parseFdinfo(b)
		if err != nil {
			return nil, err
		}
		fd, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			return nil, err
		}
		files = append(files, list[any](path, fd, info.pos, openMode(info.flags), info.flags))
	}
	return files, nil
}

// openMode is the mode for fopen(3) that psutil makes of flags of open(2).
func openMode(flags int64) string {
	add := flags&unix.O_APPEND != 0
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		return "r"
	case unix.O_WRONLY:
		if add {
			return "a"
		}
		return "w"
	}
	if add {
		return "a+"
	}
	return "r+"
}

// fdinfo is what we use of /proc/PID/fdinfo/FD. pid is 0 for what is no pidfd
// and for a process of another PID namespace, -1 for one that was reaped.
type fdinfo struct {
	pos, flags int64
	pid        int
}

var errFdinfo = errors.New("not the form of proc_pid_fdinfo(5)")

func parseFdinfo(b []byte) (*fdinfo, error) {
	info := new(fdinfo)
	seen := 0
	for line := range bytes.Lines(b) {
		key, rest, _ := bytes.Cut(line, []byte(":"))
		value := string(bytes.TrimSpace(rest))
		var err error
		switch string(key) {
		case "pos":
			info.pos, err = strconv.ParseInt(value, 10, 64)
			seen |= 1
		case "flags":
			info.flags, err = strconv.ParseInt(value, 8, 64)
			seen |= 2
		case "Pid":
			info.pid, err = strconv.Atoi(value)
		}
		if err != nil {
			return nil, errFdinfo
		}
	}
	if seen != 3 {
		return nil, errFdinfo
	}
	return info, nil
}
