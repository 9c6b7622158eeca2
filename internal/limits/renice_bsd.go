//go:build unix && !linux

package limits

import "golang.org/x/sys/unix"

func Renice(by int) error {
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, min(max(nice+by, -20), 20))
}
