package limits

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Renice adds to the niceness of all threads: which of them executes the program is not known
// yet, and niceness is a thread's (setpriority(2)). New ones inherit it from the
// thread that makes them, so that it is looked again until all have it.
func Renice(by int) error {
	prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	nice := min(max(20-prio+by, -20), 19) // the system call gives 20 less the niceness
	for all := false; !all; {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		all = true
		for _, t := range threads {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			now, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
			if err == unix.ESRCH || err == nil && now == 20-nice {
				continue
			}
			all = false
			if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil && err != unix.ESRCH {
				return err
			}
		}
	}
	return nil
}
