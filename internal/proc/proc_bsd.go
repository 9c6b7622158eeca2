//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// kinfo is what we use of struct kinfo_proc, whose form differs by system.
type kinfo struct {
	pid, ppid, pgid int
	uids, gids      [3]int64 // real, effective, saved
	state           int8     // 1 idle 2 running 3 sleeping 4 stopped 5 zombie
	nice            int8
	start           time.Duration // since 1970
	comm            string

	// FreeBSD only.
	cpu time.Duration
	rss uint64 // bytes
}

const stateZombie = 5

var errNoKinfo = errorf("read the kernel's process table: %w", errors.ErrUnsupported)

// info returns the entry of one process. The systems return an empty list or
// ESRCH when there is none.
func info(pid int) (*kinfo, error) {
	list, err := kinfos("kern.proc.pid", pid)
	if err == unix.ESRCH || err == nil && len(list) == 0 {
		return nil, gone(pid)
	}
	if err != nil {
		return nil, err
	}
	if list[0].pid != pid {
		return nil, errorf("read the kernel's process table: entry of process %d instead of %d", list[0].pid, pid)
	}
	return &list[0], nil
}

func alive(pid int) bool {
	if k, err := info(pid); err == nil {
		return k.state != stateZombie
	} else if errors.Is(err, ErrGone) {
		return false
	}
	h, err := open(pid)
	if err != nil {
		return !errors.Is(err, ErrGone) && unix.Kill(pid, 0) != unix.ESRCH
	}
	h.close()
	return true
}

// startTime is in microseconds here.
func startTime(pid int) (uint64, error) {
	k, err := info(pid)
	if err != nil {
		return 0, err
	}
	return uint64(k.start / time.Microsecond), nil
}

func group(pgid int) ([]int, error) {
	list, err := kinfos("kern.proc.pgrp", pgid)
	if err == unix.ESRCH {
		return nil, nil
	}
	if err != nil {
		return nil, errorf("list process group %d: %w", pgid, err)
	}
	var pids []int
	for _, k := range list {
		if k.pgid == pgid && k.state != stateZombie {
			pids = append(pids, k.pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

func children(pid int) ([]int, error) {
	return nil, errorf("list children of process %d: %w", pid, errors.ErrUnsupported)
}

func snapshot(pid int, fields []string) (map[string]any, error) {
	k, err := info(pid)
	if err != nil {
		return nil, err
	}
	if k.state == stateZombie {
		return nil, gone(pid)
	}
	m := make(map[string]any, len(fields))
	for _, f := range fields {
		m[f] = k.field(f)
	}
	return m, nil
}

func (k *kinfo) field(name string) any {
	switch name {
	case "pid":
		return int64(k.pid)
	case "ppid":
		return int64(k.ppid)
	case "name":
		return k.comm
	case "status":
		return map[int8]string{1: "idle", 2: "running", 3: "sleeping", 4: "stopped"}[k.state]
	case "username":
		return Username(int(k.uids[0]))
	case "uids":
		return []any{k.uids[0], k.uids[1], k.uids[2]}
	case "gids":
		return []any{k.gids[0], k.gids[1], k.gids[2]}
	case "nice":
		return int64(k.nice)
	case "create_time":
		return k.start.Seconds()
	case "uptime":
		return max(0, time.Duration(time.Now().UnixNano())-k.start).Seconds()
	}
	return nil
}

func reapStrays([]int) []Stray { return nil }

func nanosleep(d time.Duration) { time.Sleep(d) }

// groups: each is asked for by itself.
func groups() Census { return nil }

func livingMembers(_ int, pids []int) []int { return pids }

func usedSince(pid int, _ reading, held bool) (reading, error) { return used(pid, held) }

func stopped(pid int) bool {
	k, err := info(pid)
	return err == nil && k.state == 4
}
