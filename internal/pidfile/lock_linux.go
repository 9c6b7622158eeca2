package pidfile

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// set takes the lock that says that a daemon runs: it belongs to the open file
// description, survives the close of other descriptors, and is inherited.
func set(fd int, at int64) error { return fcntl(fd, unix.F_OFD_SETLK, record(at)) }

// daemon reports whether the lock is the running daemon's.
func (l lock) daemon(int) bool { return l.anonymous() }

// anonymous: only an open-file-description lock has no owner.
func (l lock) anonymous() bool { return l.held && l.write && l.pid == -1 }

// holds reports whether the process has an open file description that carries
// the lock on byteRunning; the kernel lists it in fdinfo (proc(5)). It is false
// if that may not be read, as after an in-process change of user.
func holds(pid int, i inode) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fdinfo")
	d, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !locksIn(b, i) {
			continue
		}
		// The line has the inode's number; the device's is not stat's everywhere.
		var st unix.Stat_t
		if unix.Stat(filepath.Join("/proc", strconv.Itoa(pid), "fd", name), &st) == nil && inodeOf(&st) == i {
			return true
		}
	}
	return false
}

// locksIn looks for "lock:	1: OFDLCK ADVISORY  WRITE -1 fe:00:1234 1 1".
func locksIn(fdinfo []byte, i inode) bool {
	for line := range bytes.Lines(fdinfo) {
		f := bytes.Fields(line)
		if len(f) < 9 || string(f[0]) != "lock:" || string(f[2]) != "OFDLCK" || string(f[4]) != "WRITE" {
			continue
		}
		_, ino, _ := bytes.Cut(f[6], []byte(":"))
		_, ino, _ = bytes.Cut(ino, []byte(":"))
		if string(ino) == strconv.FormatUint(i.ino, 10) && string(f[7]) == "1" && string(f[8]) == "1" {
			return true
		}
	}
	return false
}
