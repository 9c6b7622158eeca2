package proc

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// alive asks a pidfd and not /proc/PID/stat, which need not be there: a chroot
// has no /proc, hidepid hides other users' processes.
func alive(pid int) bool {
	fd, err := openPidfd(pid)
	if err == nil {
		defer unix.Close(fd)
		return !exited(uintptr(fd))
	}
	if errors.Is(err, ErrGone) {
		return false
	}
	st, err := readStat(pid)
	if err == nil {
		return !st.zombie()
	}
	return !errors.Is(err, ErrGone) && unix.Kill(pid, 0) != unix.ESRCH
}

func ending(pid int) bool {
	st, err := readStat(pid)
	return err == nil && st.ending || errors.Is(err, ErrGone)
}

func startTime(pid int) (uint64, error) {
	st, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	return st.start, nil
}

func group(pgid int) ([]int, error) {
	// The usual end of a status or stop, thousands of times cheaper than
	// looking through /proc. But kill(-1) means everybody, not group 1.
	if pgid > 1 && unix.Kill(-pgid, 0) == unix.ESRCH {
		return nil, nil
	}
	var pids []int
	err := eachPID(func(pid int) {
		if id, err := unix.Getpgid(pid); err == nil && id == pgid {
			pids = append(pids, pid)
		}
	})
	if err != nil {
		return nil, errorf("list process group %d: %w", pgid, err)
	}
	return livingMembers(pgid, pids), nil
}

func livingMembers(pgid int, pids []int) []int {
	pids = slices.DeleteFunc(pids, func(pid int) bool {
		st, err := readStat(pid)
		if err != nil {
			return !alive(pid)
		}
		return st.zombie() || st.pgrp != pgid
	})
	slices.Sort(pids)
	return pids
}

func groups() Census {
	c := Census{}
	eachPID(func(pid int) {
		if id, err := unix.Getpgid(pid); err == nil {
			c[id] = append(c[id], pid)
		}
	})
	return c
}

// eachPID calls f for each process in /proc. It reads the directory by itself
// because os.ReadDir makes an allocation or two of every process on the machine.
func eachPID(f func(pid int)) error {
	fd, err := retried.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/proc", Err: err}
	}
	defer unix.Close(fd)
	buf := make([]byte, 32<<10)
	for {
		n, err := retried.Getdents(fd, buf)
		if err != nil {
			return &os.PathError{Op: "read", Path: "/proc", Err: err}
		}
		if n <= 0 {
			return nil
		}
		eachDirent(buf[:n], f)
	}
}

// eachDirent calls f for each entry of a getdents64(2) buffer whose name is a number.
func eachDirent(b []byte, f func(pid int)) {
	const (
		reclen = unsafe.Offsetof(unix.Dirent{}.Reclen)
		name   = unsafe.Offsetof(unix.Dirent{}.Name)
	)
	for len(b) > int(name) {
		n := int(binary.NativeEndian.Uint16(b[reclen:]))
		if n <= int(name) || n > len(b) {
			return
		}
		pid := 0
		for i, c := range b[name:n] {
			if c == 0 {
				if i > 0 {
					f(pid)
				}
				break
			}
			if c < '0' || c > '9' || pid > 1<<24 { // PIDs end at 1<<22
				break
			}
			pid = pid*10 + int(c-'0')
		}
		b = b[n:]
	}
}

func children(pid int) ([]int, error) {
	dir := procPath(pid, "task")
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil, errorf("list children of process %d: %w", pid, goneOr(pid, err))
	}
	// A child belongs to the thread that started it.
	var pids []int
	read := false
	for _, t := range tasks {
		kids, err := childrenOf(dir, t.Name())
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended, or there is no such file at all
		}
		if err != nil {
			return nil, errorf("list children of process %d: %w", pid, err)
		}
		read = true
		pids = append(pids, kids...)
	}
	if !read {
		// Without CONFIG_PROC_CHILDREN, or the process went meanwhile.
		return nil, errorf("list children of process %d: %w", pid, goneOr(pid, errNoChildren))
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// childrenOf are those of one thread.
func childrenOf(tasks, tid string) ([]int, error) {
	b, err := os.ReadFile(filepath.Join(tasks, tid, "children"))
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			pids = append(pids, n)
		}
	}
	return pids, err
}

// errNoChildren is both: goneOr looks for ENOENT, the caller for ErrUnsupported.
// It is a type of its own so that no program need format it when it starts.
var errNoChildren error = noChildren{}

type noChildren struct{}

func (noChildren) Error() string {
	return errors.ErrUnsupported.Error() + " (" + unix.ENOENT.Error() + ")"
}
func (noChildren) Unwrap() []error { return []error{errors.ErrUnsupported, unix.ENOENT} }
