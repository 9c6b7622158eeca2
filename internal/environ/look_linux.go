package environ

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

func (f *facts) look() {
	// A /proc of another PID namespace has other numbers.
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(f.pid) {
		return
	}
	f.cgroup = string(root("/").read("proc/self/cgroup"))
	f.parent, _ = readProcess(f.ppid)
}

// lookAround is for what is not about this process and its parent.
func (f *facts) lookAround() {
	f.container = func() bool { return Container() != "" }
	f.processes = readProcesses
}

// readProcesses leaves out what is hidden, and what has ended: nobody's container lives
// by that.
func readProcesses() []process {
	entries, _ := os.ReadDir("/proc")
	var all []process
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if p, ok := readProcess(pid); ok {
				all = append(all, p)
			}
		}
	}
	return all
}

func readProcess(pid int) (p process, ok bool) {
	dir := root("/proc/" + strconv.Itoa(pid) + "/")
	p, ok = parseStat(dir.read("stat"))
	if !ok || p.pid != pid {
		return process{}, false
	}
	p.cgroup = string(dir.read("cgroup"))
	if p.name == "init" || p.name == "systemd" {
		p.args = strings.Split(strings.TrimSuffix(string(dir.read("cmdline")), "\x00"), "\x00")
	}
	return p, true
}

// parseStat reads the line of /proc/PID/stat, proc_pid_stat(5). The name in it may hold
// anything, so it ends at the last ')'. A process that has ended is not ok.
func parseStat(b []byte) (p process, ok bool) {
	open, end := bytes.Index(b, []byte(" (")), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open+2 {
		return process{}, false
	}
	after := strings.Fields(string(b[end+1:])) // the first one is field 3 of the manual
	if len(after) < 20 || strings.ContainsAny(after[0], "ZXx") {
		return process{}, false
	}
	pid, err := strconv.Atoi(string(b[:open]))
	start, err2 := strconv.ParseUint(after[22-3], 10, 64)
	return process{pid: pid, start: start, name: string(b[open+2 : end])}, err == nil && err2 == nil && pid > 0
}
