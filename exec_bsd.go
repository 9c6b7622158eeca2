//go:build unix && !linux

package daemonocle

import "golang.org/x/sys/unix"

func renice(by int) error {
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, min(max(nice+by, -20), 20))
}
