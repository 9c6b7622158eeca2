package environ

import (
	"os"
	"strconv"
	"time"
)

// TakeNotify gives the socket on which a service manager wants to hear of this
// process (sd_notify(3)), and within which time it wants to hear of it again and
// again (sd_watchdog_enabled(3)), 0 if it does not. Nobody finds them afterwards.
func TakeNotify() (socket string, watchdog time.Duration) {
	socket, watchdog = os.Getenv("NOTIFY_SOCKET"), watchdogTime(os.Getpid(), os.Getenv)
	unset([]string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
	return socket, watchdog
}

// Watchdog is within which time a service manager wants to hear of the service of which
// this process is a part, whichever of its processes it listens to.
func Watchdog() time.Duration {
	pid, err := strconv.Atoi(os.Getenv("WATCHDOG_PID"))
	if err != nil {
		pid = os.Getpid()
	}
	return watchdogTime(pid, os.Getenv)
}

func watchdogTime(pid int, getenv func(string) string) time.Duration {
	if whose := getenv("WATCHDOG_PID"); whose != "" && whose != strconv.Itoa(pid) {
		return 0
	}
	n, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || n <= 0 || n > int64(1<<63-1)/int64(time.Microsecond) {
		return 0
	}
	return time.Duration(n) * time.Microsecond
}
