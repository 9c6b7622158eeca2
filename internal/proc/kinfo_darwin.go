package proc

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

func kinfos(name string, arg int) ([]kinfo, error) {
	entries, err := unix.SysctlKinfoProcSlice(name, arg)
	if err != nil {
		return nil, err
	}
	list := make([]kinfo, len(entries))
	for i := range entries {
		p, e := &entries[i].Proc, &entries[i].Eproc
		list[i] = kinfo{
			pid: int(p.P_pid), ppid: int(e.Ppid), pgid: int(e.Pgid),
			uids:  [3]int64{int64(e.Pcred.P_ruid), int64(e.Ucred.Uid), int64(e.Pcred.P_svuid)},
			gids:  [3]int64{int64(e.Pcred.P_rgid), int64(e.Ucred.Groups[0]), int64(e.Pcred.P_svgid)},
			state: p.P_stat, nice: p.P_nice,
			start: time.Duration(p.P_starttime.Nano()),
			comm:  unix.ByteSliceToString(p.P_comm[:]),
		}
	}
	return list, nil
}

// The process table has no CPU time worth the name on macOS, and proc_info(2)
// that has it is private to the system's libraries.
func used(pid int, _ bool) (reading, error) {
	return reading{}, errorf("measure process %d: %w", pid, errors.ErrUnsupported)
}

func totalMemory() (uint64, error) { return unix.SysctlUint64("hw.memsize") }
