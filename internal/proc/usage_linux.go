package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func usage(pid int) (reading, error) {
	st, err := readStat(pid)
	if err != nil {
		return reading{}, err
	}
	if st.zombie() {
		return reading{}, gone(pid)
	}
	r := reading{start: st.start}
	// clock_getcpuclockid(3): the number's complement shifted by three, and 2
	// for "scheduler time". It counts nanoseconds where stat has ticks of
	// 10 ms, and anybody may read it.
	var ts unix.Timespec
	r.at = time.Now()
	if err := unix.ClockGettime(int32(^uint32(pid)<<3|2), &ts); err != nil {
		if err == unix.EINVAL && !alive(pid) {
			return r, gone(pid)
		}
		return r, fmt.Errorf("read CPU clock of process %d: %w", pid, err)
	}
	r.cpu = time.Duration(ts.Nano())
	b, err := os.ReadFile(procPath(pid, "statm"))
	if err != nil {
		return r, goneOr(pid, err)
	}
	pages, err := parseStatm(b)
	if err != nil {
		return r, fmt.Errorf("read %s: %w", procPath(pid, "statm"), err)
	}
	r.rss = uint64(pages[1]) * uint64(os.Getpagesize())
	// Was it one process all along? What dies after this point has been read.
	if again, err := readStat(pid); err != nil {
		return r, err
	} else if again.start != r.start || again.zombie() {
		return r, gone(pid)
	}
	return r, nil
}

// parseStatm reads the seven numbers of /proc/PID/statm: pages of the whole
// program, resident, shared, text, lib, data, dirty.
func parseStatm(b []byte) (pages [7]int64, err error) {
	f := bytes.Fields(b)
	if len(f) < len(pages) {
		return pages, fmt.Errorf("%d numbers instead of 7", len(f))
	}
	for i := range pages {
		if pages[i], err = strconv.ParseInt(string(f[i]), 10, 64); err != nil {
			return pages, err
		}
		if pages[i] < 0 {
			return pages, fmt.Errorf("%d pages", pages[i])
		}
	}
	return pages, nil
}

func totalMemory() (uint64, error) {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return 0, fmt.Errorf("read size of memory: %w", err)
	}
	return uint64(si.Totalram) * uint64(si.Unit), nil
}

func nanosleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&ts, nil)
}
