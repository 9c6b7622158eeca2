package environ

import (
	"os"
	"strconv"
)

// ListenFDs are the descriptors that a service manager passed to this very
// process by socket activation (sd_listen_fds(3)).
func ListenFDs() []int {
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 || n > 1<<16 {
		return nil
	}
	fds := make([]int, n)
	for i := range fds {
		fds[i] = 3 + i
	}
	return fds
}
