package environ

import (
	"os"
	"strconv"
	"strings"
)

// supervision are the variables by which a service manager speaks to the one
// process that it starts. They mean nothing to others, and to a program that takes
// its number from nobody they are a trap.
var supervision = []string{
	"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES",
	"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
}

// Unsupervise removes them from the environment, in a process that no service
// manager has started.
func Unsupervise() { unset(supervision) }

func unset(names []string) {
	for _, name := range names {
		os.Unsetenv(name)
	}
}

// ListenFDs are the descriptors that a service manager passed to this very
// process by socket activation (sd_listen_fds(3)), with their names.
func ListenFDs() (fds []int, names []string) {
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return nil, nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 || n > 1<<16 {
		return nil, nil
	}
	names = strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if len(names) != n {
		names = make([]string, n)
		for i := range names {
			names[i] = "unknown" // as sd_listen_fds_with_names(3) has it
		}
	}
	for i := range n {
		fds = append(fds, 3+i)
	}
	return fds, names
}

// TakeListenFDs is ListenFDs for the one who takes them: nobody finds them
// afterwards.
func TakeListenFDs() (fds []int, names []string) {
	fds, names = ListenFDs()
	unset(supervision[:4])
	return fds, names
}
