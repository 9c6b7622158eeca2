package proc

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// Where things are in struct kinfo_proc, sys/user.h, on 64-bit machines. Its
// size is in its first field, and the system has kept it by promise for decades.
const (
	kinfoSize     = 1088
	kinfoPID      = 72
	kinfoPPID     = 76
	kinfoPGID     = 80
	kinfoUID      = 168 // effective, real, saved
	kinfoRGID     = 180 // real, saved
	kinfoGroups   = 192 // the first is the effective one
	kinfoRSS      = 264 // pages
	kinfoRuntime  = 328 // microseconds
	kinfoStart    = 336 // struct timeval
	kinfoStat     = 388
	kinfoNice     = 389
	kinfoComm     = 447
	kinfoCommSize = 20
)

func kinfos(name string, arg int) ([]kinfo, error) {
	b, err := unix.SysctlRaw(name, arg)
	if err != nil {
		return nil, err
	}
	var list []kinfo
	for ; len(b) > 0; b = b[kinfoSize:] {
		// Not so on a 32-bit machine, or a future one.
		if len(b) < kinfoSize || binary.NativeEndian.Uint32(b) != kinfoSize {
			return nil, errNoKinfo
		}
		list = append(list, parseKinfo(b))
	}
	return list, nil
}

func parseKinfo(b []byte) kinfo {
	i32 := func(at int) int64 { return int64(int32(binary.NativeEndian.Uint32(b[at:]))) }
	u32 := func(at int) int64 { return int64(binary.NativeEndian.Uint32(b[at:])) }
	u64 := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
	return kinfo{
		pid: int(i32(kinfoPID)), ppid: int(i32(kinfoPPID)), pgid: int(i32(kinfoPGID)),
		uids:  [3]int64{u32(kinfoUID + 4), u32(kinfoUID), u32(kinfoUID + 8)},
		gids:  [3]int64{u32(kinfoRGID), u32(kinfoGroups), u32(kinfoRGID + 4)},
		state: int8(b[kinfoStat]), nice: int8(b[kinfoNice]),
		start: time.Duration(u64(kinfoStart))*time.Second + time.Duration(u64(kinfoStart+8))*time.Microsecond,
		comm:  unix.ByteSliceToString(b[kinfoComm : kinfoComm+kinfoCommSize]),
		cpu:   time.Duration(u64(kinfoRuntime)) * time.Microsecond,
		rss:   u64(kinfoRSS) * uint64(unix.Getpagesize()),
	}
}

func used(pid int, _ bool) (reading, error) {
	at := time.Now()
	k, err := info(pid)
	if err != nil {
		return reading{}, err
	}
	if k.state == stateZombie {
		return reading{}, gone(pid)
	}
	return reading{at: at, cpu: k.cpu, rss: k.rss, start: uint64(k.start)}, nil
}

func totalMemory() (uint64, error) { return unix.SysctlUint64("hw.physmem") }
