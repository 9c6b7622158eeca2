package privs

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

const (
	supported = true
	maxGroups = 65536 // NGROUPS_MAX
)

// The syscall package's own change all threads, with and without cgo; the
// system calls of that name change one.
var kernel = calls{
	setgroups: syscall.Setgroups,
	setgid:    func(gid int) error { return syscall.Setresgid(gid, gid, gid) },
	setuid:    func(uid int) error { return syscall.Setresuid(uid, uid, uid) },
}

func current() (credentials, error) {
	groups, err := unix.Getgroups()
	if err != nil {
		return credentials{}, err
	}
	return credentials{uid: triple(unix.Getresuid()), gid: triple(unix.Getresgid()), groups: groups}, nil
}

// triple undoes what the sign of a C int does to great ids.
func triple(r, e, s int) [3]int { return [3]int{unsigned(r), unsigned(e), unsigned(s)} }

func unsigned(id int) int { return int(uint32(id)) }

// procfs is a descriptor of /proc, or noProcfs. A bare number, because no
// finalizer may close it.
type procfs int

const noProcfs procfs = -1

// openProcfs holds /proc if that is the real one and can tell about us. Another
// PID namespace's cannot, and some look-alike kernels leave out lines.
func openProcfs() procfs {
	fd, err := retried.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return noProcfs
	}
	p := procfs(fd)
	var st unix.Statfs_t
	if err := retried.Fstatfs(fd, &st); err != nil || st.Type != unix.PROC_SUPER_MAGIC {
		p.close()
		return noProcfs
	}
	if _, err := p.threads(nil); err != nil {
		p.close()
		return noProcfs
	}
	return p
}

func (p procfs) close() {
	if p != noProcfs {
		unix.Close(int(p))
	}
}

// threads reads the status of every thread of this process, calls check with it
// (nil: only read) and returns how many there were. A thread that appears
// meanwhile was made by one that is looked at here or by a child of such a one;
// the list is read again until it holds nobody new.
func (p procfs) threads(check func(tid string, st status) error) (int, error) {
	seen := map[string]bool{}
	for {
		tids, err := p.list("self/task")
		if err != nil {
			return 0, err
		}
		fresh := false
		for _, tid := range tids {
			if seen[tid] {
				continue
			}
			seen[tid], fresh = true, true
			data, err := p.read("self/task/" + tid + "/status")
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
				continue // it has ended
			} else if err != nil {
				return 0, err
			}
			st, err := parseStatus(data)
			if err != nil {
				return 0, errorf("status of thread %s: %w", tid, err)
			}
			if check == nil {
				continue
			}
			if err := check(tid, st); err != nil {
				return 0, err
			}
		}
		if !fresh {
			return len(seen), nil
		}
	}
}

func (p procfs) open(name string, flags int) (*os.File, error) {
	fd, err := retried.Openat(int(p), name, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, errorf("open proc/%s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "proc/"+name), nil
}

func (p procfs) list(name string) ([]string, error) {
	dir, err := p.open(name, unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}

func (p procfs) read(name string) ([]byte, error) {
	f, err := p.open(name, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(f)
	return b.Bytes(), err
}

// prove is called on a locked thread, see tryRoot.
func (c *Change) prove(before, after credentials, changed bool) error {
	if c.proc == noProcfs {
		st, err := thisThread()
		if err != nil {
			return err
		}
		if err := st.check(after, before.root()); err != nil {
			return err
		}
	} else if _, err := c.proc.threads(func(tid string, st status) error {
		if err := st.check(after, before.root()); err != nil {
			return errorf("thread %s: %w", tid, err)
		}
		return nil
	}); err != nil {
		return err
	}
	if after.root() || !changed {
		// Where nothing was switched nothing is tried: the ids and capabilities
		// above say it all, and a service manager's filter (systemd's
		// SystemCallFilter=~@privileged) kills for the attempt.
		return nil
	}
	return tryRoot(after)
}

// tryRoot attempts the way back. The raw system calls are on purpose: should one
// succeed, only this thread is root, which its caller keeps locked, and not the
// whole process.
func tryRoot(after credentials) error {
	const keep = ^uintptr(0)
	tries := []struct {
		name   string
		number uintptr
		args   [3]uintptr
	}{
		{"setuid(0)", unix.SYS_SETUID, [3]uintptr{}},
		{"seteuid(0)", unix.SYS_SETRESUID, [3]uintptr{keep, 0, keep}},
		{"setgid(0)", unix.SYS_SETGID, [3]uintptr{}},
		{"setegid(0)", unix.SYS_SETRESGID, [3]uintptr{keep, 0, keep}},
	}
	if after.gid == all(0) {
		tries = tries[:2] // it is the identity's own group
	}
	for _, t := range tries {
		if _, _, errno := unix.RawSyscall(t.number, t.args[0], t.args[1], t.args[2]); errno == 0 {
			return errorf("%s succeeded", t.name)
		}
	}
	return nil
}

// thisThread asks the kernel what /proc would tell of the calling thread.
func thisThread() (status, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now, err := current()
	if err != nil {
		return status{}, err
	}
	// There is no call to read these two; -1 is no id and changes nothing.
	fsuid, _ := unix.SetfsuidRetUid(-1)
	fsgid, _ := unix.SetfsgidRetGid(-1)
	st := status{
		uid:    [4]int{now.uid[0], now.uid[1], now.uid[2], unsigned(fsuid)},
		gid:    [4]int{now.gid[0], now.gid[1], now.gid[2], unsigned(fsgid)},
		groups: now.groups,
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return status{}, errorf("capget: %w", err)
	}
	st.permitted = uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
	st.effective = uint64(data[1].Effective)<<32 | uint64(data[0].Effective)
	for c := range 64 {
		set, err := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, uintptr(c), 0, 0)
		if err != nil {
			break // past the last capability, or a kernel without ambient ones
		}
		st.ambient |= uint64(set) << c
	}
	return st, nil
}
