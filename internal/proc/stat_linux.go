package proc

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// ticksPerSecond is the unit of the times in /proc (USER_HZ). It is part of the
// kernel's interface to programs and 100 on every architecture Go runs on,
// whatever rate the kernel itself ticks at.
const ticksPerSecond = 100

// stat is what we use of /proc/PID/stat; proc_pid_stat(5).
type stat struct {
	comm                         string
	state                        byte
	ppid, pgrp, tty              int
	utime, stime, cutime, cstime uint64 // ticks
	nice, threads                int
	start                        uint64 // ticks since boot
	blkio                        uint64 // ticks
	ending                       bool   // killed, or about to be taken apart by the kernel
}

// Flags of a process that are part of /proc/PID/stat, from the kernel's sched.h.
const (
	flagExiting  = 0x4
	flagSignaled = 0x400
)

// zombie reports whether the process has ended. A first thread that has ended
// is in state Z too while others go on: that is a living process.
func (s *stat) zombie() bool {
	return (s.state == 'Z' || s.state == 'X' || s.state == 'x') && s.threads <= 1
}

var errStat = errors.New("not the form of proc_pid_stat(5)")

// parseStat reads the one line of /proc/PID/stat. The name in it is whatever
// the process likes, ") R 1 (" and newlines too, so it ends at the last ')'.
func parseStat(b []byte) (*stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return nil, errStat
	}
	f := strings.Fields(string(b[end+1:])) // f[0] is field 3 of the manual
	if len(f) < 20 || len(f[0]) != 1 {
		return nil, errStat
	}
	var n [42 + 1]uint64 // by their numbers in the manual; those below zero as int64 has them
	for i, text := range f[1:min(len(f), len(n)-3)] {
		var err error
		if n[i+4], err = number(text); err != nil {
			return nil, errStat
		}
	}
	return &stat{
		comm: string(b[open+1 : end]), state: f[0][0],
		ppid: int(n[4]), pgrp: int(n[5]), tty: int(n[7]),
		utime: n[14], stime: n[15],
		// The children's times are signed in the manual and in the kernel's format.
		cutime: uint64(max(0, int64(n[16]))), cstime: uint64(max(0, int64(n[17]))),
		nice: int(n[19]), threads: int(n[20]), start: n[22], blkio: n[42],
		ending: n[9]&(flagExiting|flagSignaled) != 0 || n[31]>>(unix.SIGKILL-1)&1 != 0, // n[31] are pending signals
	}, nil
}

func number(s string) (uint64, error) {
	if strings.HasPrefix(s, "-") {
		n, err := strconv.ParseInt(s, 10, 64)
		return uint64(n), err
	}
	return strconv.ParseUint(s, 10, 64)
}

// readStat is ErrGone when there is no such process; of a zombie there is a stat.
func readStat(pid int) (*stat, error) {
	b, err := readFile(procPath(pid, "stat"))
	if err != nil {
		return nil, goneOr(pid, err)
	}
	s, err := parseStat(b)
	if err != nil {
		return nil, errorf("read %s: %w", procPath(pid, "stat"), err)
	}
	return s, nil
}

// readFile is os.ReadFile for a small file of /proc, with a third of the system
// calls: the os package also asks whether it can be polled.
func readFile(path string) ([]byte, error) {
	fail := func(op string, err error) error { return &os.PathError{Op: op, Path: path, Err: err} }
	fd, err := retried.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fail("open", err)
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 1024)
	for {
		n, err := retried.Read(fd, b[len(b):cap(b)])
		if err != nil {
			return nil, fail("read", err)
		}
		if n == 0 {
			return b, nil
		}
		b = b[:len(b)+n]
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// procPath is called from many places, each of which would be larger with its code.
//
//go:noinline
func procPath(pid int, name string) string {
	return "/proc/" + strconv.Itoa(pid) + "/" + name
}

// goneOr tells a file that is missing because the process is gone from one that
// is missing for another reason: no /proc in this chroot, the mount option
// hidepid, a kernel without it.
func goneOr(pid int, err error) error {
	if (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)) && unix.Kill(pid, 0) == unix.ESRCH {
		return gone(pid)
	}
	return err
}

func stopped(pid int) bool {
	st, err := readStat(pid)
	return err == nil && st.state == 'T'
}
