package daemonocle

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// renice changes all threads: which of them executes the program is not known
// yet, and niceness is a thread's (setpriority(2)). New ones inherit it.
func renice(by int) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	nice := min(max(20-prio+by, -20), 19) // the system call gives 20 less the niceness
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil && err != unix.ESRCH {
			return err
		}
	}
	return nil
}
