package proc

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// used reads what a process has used so far, and has of the memory.
func used(pid int, held bool) (reading, error) {
	var r reading
	if !held {
		st, err := readStat(pid)
		if err != nil {
			return r, err
		}
		if st.zombie() {
			return r, gone(pid)
		}
		r.start = st.start
	}
	b, err := readFile(procPath(pid, "statm"))
	if err != nil {
		return r, goneOr(pid, err)
	}
	pages, err := parseStatm(b)
	if err != nil {
		return r, errorf("read %s: %w", procPath(pid, "statm"), err)
	}
	r.rss = uint64(pages[1]) * uint64(os.Getpagesize())
	return r, r.clock(pid)
}

// usedSince reads again what a process has used, and last its start time: if that is the
// one of the earlier reading, it was that process all along. What dies after this point
// has been read.
func usedSince(pid int, earlier reading, held bool) (reading, error) {
	r := reading{start: earlier.start}
	if err := r.clock(pid); err != nil || held {
		return r, err
	}
	st, err := readStat(pid)
	if err != nil {
		return r, err
	}
	if st.zombie() {
		return r, gone(pid)
	}
	r.start = st.start
	return r, nil
}

// clock reads the CPU clock: clock_getcpuclockid(3), the number's complement
// shifted by three, and 2 for "scheduler time". It counts nanoseconds where stat has
// ticks of 10 ms, and anybody may read it.
func (r *reading) clock(pid int) error {
	var ts unix.Timespec
	r.at = time.Now()
	if err := unix.ClockGettime(int32(^uint32(pid)<<3|2), &ts); err != nil {
		if err == unix.EINVAL && !alive(pid) {
			return gone(pid)
		}
		return errorf("read CPU clock of process %d: %w", pid, err)
	}
	r.cpu = time.Duration(ts.Nano())
	return nil
}

// parseStatm reads the seven numbers of /proc/PID/statm: pages of the whole
// program, resident, shared, text, lib, data, dirty.
func parseStatm(b []byte) (pages [7]int64, err error) {
	f := strings.Fields(string(b))
	if len(f) < len(pages) {
		return pages, errorf("%d numbers instead of 7", len(f))
	}
	for i := range pages {
		if pages[i], err = strconv.ParseInt(f[i], 10, 64); err != nil {
			return pages, err
		}
		if pages[i] < 0 {
			return pages, errorf("%d pages", pages[i])
		}
	}
	return pages, nil
}

func totalMemory() (uint64, error) {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return 0, errorf("read size of memory: %w", err)
	}
	return uint64(si.Totalram) * uint64(si.Unit), nil
}

func nanosleep(d time.Duration) {
	retried.Nanosleep(unix.NsecToTimespec(int64(d)))
}
