package proc

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// adoption counts who wants this process to be a subreaper.
var adoption struct {
	sync.Mutex
	users int
}

func adoptOrphans() (stop func()) {
	adoption.Lock()
	defer adoption.Unlock()
	if adoption.users == 0 {
		var already int32
		if unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&already)), 0, 0, 0) != nil || already != 0 {
			return func() {} // it is one for reasons of its own, and has orphans that are no business of ours
		}
		if unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != nil {
			return func() {}
		}
	}
	adoption.users++
	return func() {
		adoption.Lock()
		defer adoption.Unlock()
		if adoption.users--; adoption.users > 0 {
			return
		}
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
		// Whom the kernel gives us is a child of the first thread (find_new_reaper).
		kids, err := childrenOf(procPath(os.Getpid(), "task"), strconv.Itoa(os.Getpid()))
		if err != nil || len(kids) == 0 {
			return
		}
		go func() { // nobody need wait for this, least of all one who is about to end
			for _, pid := range strays(kids, true) {
				go reapOrphan(pid) // it stays ours as long as we live
			}
		}()
	}
}

func reapOrphan(pid int) {
	if fd, err := openPidfd(pid); err == nil {
		retried.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		unix.Close(fd)
	}
	retried.Wait4(pid, nil, unix.WNOHANG, nil)
}

func orphans() []int {
	adoption.Lock()
	defer adoption.Unlock()
	if adoption.users == 0 {
		return nil
	}
	kids, err := children(os.Getpid())
	if err != nil {
		return nil
	}
	return strays(kids, false)
}

// strays are those children of this process that nobody in this program has started:
// a child is somebody's if it is in our session, if somebody holds a pidfd of it, or
// if it runs our own image, so that it is about to be held.
func strays(kids []int, zombies bool) []int {
	held, ok := pidfds()
	if !ok {
		return nil
	}
	return slices.DeleteFunc(kids, func(pid int) bool {
		st, err := readStat(pid)
		return err != nil || st.zombie() && !zombies || slices.Contains(held, pid) || ownImage(pid) || ownSession(pid)
	})
}

func ownSession(pid int) bool {
	theirs, err := unix.Getsid(pid)
	if err != nil {
		return true
	}
	ours, err := unix.Getsid(0)
	return err != nil || ours == theirs
}

func programOf(pid int) string {
	path, _ := os.Readlink(procPath(pid, "exe"))
	return strings.TrimSuffix(path, " (deleted)")
}

// sameImage: unlike ownImage, what cannot be told is no.
func sameImage(pid int) bool {
	_, err := fileid.OfPath("/proc/self/exe")
	return err == nil && ownImage(pid)
}

func ownImage(pid int) bool {
	ours, err := fileid.OfPath("/proc/self/exe")
	if err != nil {
		return true
	}
	theirs, err := fileid.OfPath(procPath(pid, "exe"))
	return err == nil && ours == theirs
}

func session(sid int) ([]int, error) {
	var pids []int
	err := eachPID(func(pid int) {
		if id, err := unix.Getsid(pid); err == nil && id == sid {
			if st, err := readStat(pid); err == nil && !st.zombie() {
				pids = append(pids, pid)
			}
		}
	})
	if err != nil {
		return nil, errorf("list session %d: %w", sid, err)
	}
	slices.Sort(pids)
	return pids, nil
}
