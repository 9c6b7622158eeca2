package pidfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/retried"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// set takes the lock that says that a daemon runs: it belongs to the open file
// description, survives the close of other descriptors, and is inherited.
func set(fd int, at int64) error { return fcntl(fd, unix.F_OFD_SETLK, record(at)) }

// setRead takes a read lock in the place of those of a daemon and of who is about to be one, while
// nobody else has them.
func setRead(fd int) error {
	return fcntl(fd, unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Len: byteDraining})
}

// namesMe reports whether the file system says who holds a lock: to another owner, which
// an open file description is, it must give this process's number, and of a lock that
// belongs to one that nobody does.
func namesMe(fd int) bool {
	l := record(byteWho)
	if fcntl(fd, unix.F_OFD_GETLK, l) != nil || l.Type != unix.F_WRLCK || int(l.Pid) != os.Getpid() {
		return false
	}
	running, err := asked(fd, byteRunning)
	return err == nil && running.anonymous()
}

// letGo gives up what a successor cannot share. The lock on byteRunning it can: both
// have the same open file description.
func letGo(fd int) error { return unlock(fd, byteWho) }

// setNext and clearNext: the lock on byteNext is the successor's as well.
func setNext(fd int) { set(fd, byteNext) }

func clearNext(fd int) {
	l := record(byteNext)
	l.Type = unix.F_UNLCK
	fcntl(fd, unix.F_OFD_SETLK, l)
}

func nextSet(fd int) bool {
	l, err := asked(fd, byteNext)
	return err == nil && l.anonymous()
}

// replace lets a descriptor lead to the file of another one.
func replace(fd, by int) error { return retried.Dup3(by, fd, unix.O_CLOEXEC) }

// takeOver takes it, as soon as it can be had.
func takeOver(fd int) error { return awaitWho(fd) }

// daemon reports whether the lock is the running daemon's.
func (l lock) daemon(int) bool { return l.anonymous() }

// anonymous: only an open-file-description lock has no owner.
func (l lock) anonymous() bool { return l.held && l.write && l.pid == -1 }

// has looks for the file among what a process has open. locked: one of its open file
// descriptions carries the lock on byteRunning; the kernel lists it in fdinfo (proc(5)).
// Unless known, that could not be read, as after an in-process change of user, or
// something was closed meanwhile: then there may be more than was seen.
func has(pid int, i fileid.ID) (locked, known, any bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	d, err := os.Open(filepath.Join(dir, "fdinfo"))
	if err != nil {
		return false, false, false
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	known = err == nil
	for _, name := range names {
		// The line in fdinfo has the inode's number; the device's is not stat's everywhere.
		var st unix.Stat_t
		if retried.Stat(filepath.Join(dir, "fd", name), &st) != nil {
			known = false
			continue
		}
		if fileid.Of(&st) != i {
			continue
		}
		any = true
		b, err := os.ReadFile(filepath.Join(dir, "fdinfo", name))
		known = known && err == nil
		locked = locked || err == nil && locksIn(b, i)
	}
	return locked, known, any
}

// callsItself reports whether the number is what the process writes into a PID file: its own in
// the PID namespace in which it lives, which can be below ours.
func callsItself(pid, number int) bool {
	h, err := proc.Open(pid)
	if err != nil {
		return false
	}
	defer h.Close()
	_, innermost := numbers(h)
	return number > 0 && innermost == number
}

// numbers are a process's in the PID namespace that /proc shows, and in its own, each 0 if it
// has none, or none that can be told. The fdinfo of a handle is this process's, and tells of
// no other than the one that the handle is of. Where nothing tells, as before Linux 5.5, /proc is
// taken for that of our own namespace.
func numbers(h *proc.Handle) (shown, innermost int) {
	if h.FD() < 0 {
		return h.PID(), 0
	}
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(h.FD()))
	if err != nil {
		return 0, 0
	}
	shown, innermost, told := numbersIn(b)
	if !told {
		shown = h.PID()
	}
	return shown, innermost
}

// shows reports whether /proc has that process under its number. If it shows another PID
// namespace it has another one there, of which nothing follows.
func shows(h *proc.Handle) bool {
	shown, _ := numbers(h)
	return shown == h.PID()
}

// numbersIn looks for "NSpid:	8470	117".
func numbersIn(fdinfo []byte) (shown, innermost int, told bool) {
	for line := range strings.Lines(string(fdinfo)) {
		if list, is := strings.CutPrefix(line, "NSpid:"); is {
			f := strings.Fields(list)
			if len(f) > 0 {
				shown, innermost = parse([]byte(f[0])), parse([]byte(f[len(f)-1]))
			}
			return shown, innermost, true
		}
	}
	return 0, 0, false
}

// severed reports whether the process that the kernel names as the holder of byteWho is not
// that. The lock belongs to a table of descriptors, and the number is that of the process which
// took it. Another one that shares the table (CLONE_FILES) keeps the lock when that has ended;
// then the number is nobody's, or after a while that of an innocent. The kernel lists in a
// process's fdinfo what its own table has. Where that cannot be read, the kernel is believed.
func severed(pid int, i fileid.ID) bool { return lacks(pid, i, "WRITE") }

// lacks is severed for either mode of a lock: "WRITE" on byteWho, or "READ" anywhere.
func lacks(pid int, i fileid.ID, mode string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	holds, n, known := lists(filepath.Join(dir, "fdinfo"), i, mode)
	if holds {
		return false
	}
	h, err := proc.Open(pid)
	if err != nil {
		return errors.Is(err, proc.ErrGone)
	}
	defer h.Close()
	if !shows(h) {
		return false
	}
	if n == 0 { // its main thread may have ended: others have the table still
		tasks, err := os.Open(filepath.Join(dir, "task"))
		if err != nil {
			return false
		}
		defer tasks.Close()
		names, _ := tasks.Readdirnames(-1)
		for _, task := range names {
			if holds, n, known = lists(filepath.Join(dir, "task", task, "fdinfo"), i, mode); n > 0 || !known {
				break
			}
		}
	}
	return known && !holds && showsLocks()
}

// farthest is how many descriptors of a process are looked at: the lowest, of which a daemon's
// own is one. More, or what takes longer than timing.ListTakes, would be there to make us slow.
const farthest = 1 << 14

// lists reports whether a process has a lock of that mode according to its directory fdinfo,
// which has n descriptors, or more.
func lists(fdinfo string, i fileid.ID, mode string) (holds bool, n int, known bool) {
	d, err := os.Open(fdinfo)
	if err != nil {
		return false, 0, false
	}
	defer d.Close()
	for end := time.Now().Add(timing.ListTakes); n < farthest && time.Now().Before(end); {
		names, err := d.Readdirnames(64)
		for _, name := range names {
			var b [1024]byte
			size := 0
			fd, err := retried.Openat(int(d.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				size, err = retried.Read(fd, b[:])
				unix.Close(fd)
			}
			if err != nil && err != unix.ENOENT {
				return false, n, false
			}
			first := int64(byteWho)
			if mode == "READ" {
				first = anywhere
			}
			if n++; modeIn(b[:max(size, 0)], i, "POSIX", mode, first, first) {
				return true, n, true
			}
		}
		if err != nil {
			return false, n, err == io.EOF
		}
	}
	return false, n, true
}

// showsLocks reports whether this kernel lists locks in fdinfo.
var showsLocks = sync.OnceValue(func() bool {
	fd, err := unix.MemfdCreate("lock", unix.MFD_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if retried.Fstat(fd, &st) != nil || fcntl(fd, unix.F_SETLK, record(byteWho)) != nil {
		return false
	}
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	return err == nil && lockIn(b, fileid.Of(&st), "POSIX", byteWho, byteWho)
})

// Left finds what a daemon has left behind, after a look that has said Orphaned: who
// has the file open, and its process group if somebody in that does. The number in
// the file by itself proves nothing.
func (f *File) Left(r *Report) []int {
	f = f.holding(r.Inode)
	i, ok := f.inode()
	if !ok {
		return nil
	}
	var list []int
	for group, pids := range proc.Groups() {
		heirs := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return !inherits(pid, i) })
		if group == r.Number && len(heirs) > 0 {
			heirs = pids
		}
		list = append(list, heirs...)
	}
	list = slices.DeleteFunc(list, func(pid int) bool { return !proc.Alive(pid) })
	slices.Sort(list)
	return list
}

// inherits reports whether the process has the descriptor that Inherit makes. A daemon
// that another one has started has a higher number: the one that it inherits is still
// there then.
func inherits(pid int, i fileid.ID) bool {
	for fd := outOfTheWay; fd < tableSize; fd++ {
		var st unix.Stat_t
		if retried.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), &st) == nil && fileid.Of(&st) == i {
			return true
		}
	}
	return false
}

// IsLeft looks again at one that Left has found, for who has opened a handle of it.
func (f *File) IsLeft(r *Report, pid int) bool {
	f = f.holding(r.Inode)
	i, ok := f.inode()
	if !ok {
		return false
	}
	group, _, err := proc.GroupID(pid)
	return inherits(pid, i) || err == nil && group == r.Number
}

func (f *File) inode() (fileid.ID, bool) {
	var st unix.Stat_t
	dir, base, err := f.Dir()
	if err != nil {
		return fileid.ID{}, false
	}
	defer unix.Close(dir)
	err = retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	return fileid.Of(&st), err == nil
}

// locksIn looks for "lock:	1: OFDLCK ADVISORY  WRITE -1 fe:00:1234 1 1". The kernel makes one lock
// of that and the one on byteNext.
func locksIn(fdinfo []byte, i fileid.ID) bool {
	return lockIn(fdinfo, i, "OFDLCK", byteRunning, byteRunning) || lockIn(fdinfo, i, "OFDLCK", byteRunning, byteNext)
}

func lockIn(fdinfo []byte, i fileid.ID, kind string, first, last int64) bool {
	return modeIn(fdinfo, i, kind, "WRITE", first, last)
}

const anywhere = -1

func modeIn(fdinfo []byte, i fileid.ID, kind, mode string, first, last int64) bool {
	for line := range strings.Lines(string(fdinfo)) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] != "lock:" || f[2] != kind || f[4] != mode {
			continue
		}
		_, ino, _ := strings.Cut(f[6], ":")
		_, ino, _ = strings.Cut(ino, ":")
		if ino == strconv.FormatUint(i.Ino, 10) && (first == anywhere || f[7] == strconv.FormatInt(first, 10) && f[8] == strconv.FormatInt(last, 10)) {
			return true
		}
	}
	return false
}
