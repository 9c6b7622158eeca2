package proc

import (
	"os"
	"slices"
	"syscall"
	"unsafe"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

func reapStrays(keep []int) []Stray {
	var reaped []Stray
	try := func(pid int) bool {
		s := Stray{PID: pid}
		s.Group, _ = unix.Getpgid(pid)
		n, err := retried.Wait4(pid, &s.Status, syscall.WNOHANG, nil)
		if err == nil && n == pid {
			reaped = append(reaped, s)
		}
		return err == nil && n == pid
	}

	// The order matters: a child has its pidfd from its first moment
	// (CLONE_PIDFD), so what is in the list and has none now never will have.
	kids, err := children(os.Getpid())
	if err == nil {
		mine := owner(keep)
		for _, pid := range kids {
			if st, err := readStat(pid); err == nil && st.zombie() && !mine(pid) {
				try(pid)
			}
		}
		return reaped
	}
	for {
		pid := firstZombie()
		if pid < 1 || owner(keep)(pid) || !try(pid) {
			return reaped
		}
	}
}

// owner returns a function that reports whether a child is somebody's.
func owner(keep []int) func(pid int) bool {
	held, ok := pidfds()
	group := unix.Getpgrp()
	return func(pid int) bool {
		if slices.Contains(keep, pid) || slices.Contains(held, pid) {
			return true
		}
		if ok {
			return false
		}
		id, err := unix.Getpgid(pid)
		return err != nil || id == group
	}
}

// goHasPidfds reports whether os.Process holds a pidfd of what it starts. A test answers
// for another kernel.
var goHasPidfds = findsPidfd

func findsPidfd() bool {
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		return false
	}
	defer p.Release()
	return p.WithHandle(func(uintptr) {}) == nil
}

// pidfds returns the processes this process holds pidfds of; !ok means that
// there may be owners that are not in the list.
func pidfds() (held []int, ok bool) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil, false
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, false
	}
	ok = goHasPidfds()
	for _, name := range names {
		if link, err := os.Readlink("/proc/self/fd/" + name); err != nil || link != "anon_inode:[pidfd]" {
			continue // err: closed meanwhile, by an owner who has waited or gave up
		}
		b, err := os.ReadFile("/proc/self/fdinfo/" + name)
		if err != nil {
			if _, err := os.Readlink("/proc/self/fd/" + name); err == nil {
				ok = false // an owner of we cannot know whom
			}
			continue
		}
		if info, err := parseFdinfo(b); err == nil {
			held = append(held, info.pid)
		} else {
			ok = false
		}
	}
	return held, ok
}

// firstZombie returns a zombie child and leaves it one; 0 if there is none.
func firstZombie() int {
	// siginfo_t as waitid(2) fills it: three ints, in an order that depends on
	// the architecture, then si_pid, aligned to a pointer.
	var info unix.Siginfo
	if err := retried.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return 0
	}
	const ints, word = 3 * 4, unsafe.Sizeof(uintptr(0))
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), (ints+word-1)/word*word)))
}
