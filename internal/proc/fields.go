package proc

import (
	"slices"
)

var fieldNames = []string{
	"pid", "ppid", "name", "exe", "cmdline", "environ", "create_time", "status", "cwd",
	"username", "uids", "gids", "terminal", "nice", "io_counters", "num_ctx_switches",
	"num_fds", "num_threads", "cpu_times", "memory_info", "open_files", "uptime",
}

// FieldNames returns the fields Snapshot knows: psutil's, in the order of its
// manual, and uptime.
func FieldNames() []string { return slices.Clone(fieldNames) }

// ownVariables is how the variables begin that hand a start over from one of
// our processes to the next. The receiver unsets them, but the kernel goes on
// showing the environment a program was started with.
const ownVariables = "DAEMONOCLE_LAUNCH_"

// Snapshot reads the named fields of a living process. The values are string,
// int64, float64, []any and map[string]string, in the shapes of psutil 5.9:
//
//	cpu_times         [user, system, children_user, children_system, iowait], seconds
//	create_time       seconds since 1970; uptime: seconds, whatever was done to the clock
//	environ           as the program was started with, without our own hand-over variables
//	io_counters       [read_count, write_count, read_bytes, write_bytes, read_chars, write_chars]
//	memory_info       [rss, vms, shared, text, lib, data, dirty], bytes
//	num_ctx_switches  [voluntary, involuntary], of the first thread
//	open_files        [[path, fd, position, mode, flags], ...], regular files that have a path
//	uids, gids        [real, effective, saved]; username is the real user's
//
// What the caller may not read, and what the system does not tell, is nil. An
// unknown name is an error, and ErrGone means that the process was gone before
// all was read.
func Snapshot(pid int, fields []string) (map[string]any, error) {
	for _, f := range fields {
		if !slices.Contains(fieldNames, f) {
			return nil, errorf("unknown field %q", f)
		}
	}
	if err := checkPID(pid); err != nil {
		return nil, err
	}
	return snapshot(pid, fields)
}
