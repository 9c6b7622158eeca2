package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/fault"
	"golang.org/x/sys/unix"
)

// reopen is for a rotation that has renamed log files. Nobody can make another program
// open a file again; but the file that it has open can be put in its old place, when
// what is in it has been copied to where the rotation wants it.
func reopen(name string, files []logFile) error {
	d, err := open(name, "logs")
	if err != nil {
		return err
	}
	s, err := d.Status(background, plainStatus)
	if err != nil || !s.Running || s.PID == 0 {
		return err
	}
	for _, f := range files {
		used, err := writesTo(s.PID, f.fd)
		if err != nil {
			return failure("logs", name, fmt.Errorf("find out where %s writes: %w", name, fault.Cause(err)), "")
		}
		if err := f.bringBack(used); err != nil {
			return failure("logs", name, fmt.Errorf("the daemon %s has another file than %s open as its %s, and %w", name, f.path, f.stream, err),
				"Restart it.")
		}
	}
	return nil
}

// bringBack gives the log file's name to the file that the program has open, with
// nothing in it, and the name that this one had to a copy of what it held. The
// directory may belong to the daemon's user: nothing outside it is touched.
func (f logFile) bringBack(used fs.FileInfo) error {
	cannot := func(err error) error { return fmt.Errorf("it cannot be put back there: %w", fault.Cause(err)) }
	dir, err := os.OpenRoot(filepath.Dir(f.path))
	if err != nil {
		return cannot(err)
	}
	defer dir.Close()
	name := filepath.Base(f.path)
	switch now, err := dir.Lstat(name); {
	case err == nil && os.SameFile(now, used):
		return nil
	case err == nil && !now.Mode().IsRegular():
		return errors.New("what is there is not a regular file")
	case err == nil && now.Size() > 0:
		return errors.New("something else has written to what is there")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return cannot(err)
	}
	rotated, old, err := findFile(dir, used)
	if err != nil {
		return err
	}
	defer old.Close()

	temp := "." + name + ".tmp"
	if err := dir.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cannot(err) // one that was killed has left it
	}
	kept, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return cannot(err)
	}
	defer kept.Close()
	at, err := copyMore(kept, old, 0)
	if st, ok := used.Sys().(*syscall.Stat_t); err == nil && ok {
		err = errors.Join(kept.Chown(int(st.Uid), int(st.Gid)), kept.Chmod(used.Mode().Perm()))
	}
	if err != nil {
		dir.Remove(temp)
		return cannot(err)
	}
	// Whoever is killed from here on leaves lines that are there twice, and none that
	// are nowhere.
	if err := dir.Rename(rotated, name); err != nil {
		dir.Remove(temp)
		return cannot(err)
	}
	if err := dir.Rename(temp, rotated); err != nil {
		return cannot(err)
	}
	// What has come meanwhile, and while that was copied; whoever writes faster than that
	// does it to himself.
	for range 8 {
		before := at
		if at, err = copyMore(kept, old, at); err != nil {
			return cannot(err)
		}
		if at == before {
			break
		}
	}
	if err := old.Truncate(0); err != nil {
		return cannot(err)
	}
	return nil
}

// copyMore copies what the file has by now behind at, and returns where that ends. What comes
// while it does is not waited for, and holes stay holes: the file is the daemon's user's, and
// may be longer than any disk.
func copyMore(to, from *os.File, at int64) (end int64, err error) {
	info, err := from.Stat()
	if err != nil || info.Size() <= at {
		return at, err
	}
	end = info.Size()
	for at < end {
		data, err := from.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && data >= end {
			break // a hole is all that is left
		}
		if err != nil {
			return at, err
		}
		hole, err := from.Seek(data, unix.SEEK_HOLE)
		if errors.Is(err, unix.ENXIO) {
			break // truncated meanwhile
		}
		if err != nil {
			return at, err
		}
		at = min(hole, end)
		if _, err := to.Seek(data, io.SeekStart); err != nil {
			return at, err
		}
		if _, err := from.Seek(data, io.SeekStart); err != nil {
			return at, err
		}
		if _, err := io.CopyN(to, from, at-data); err != nil && err != io.EOF {
			return at, err
		}
	}
	return end, to.Truncate(end)
}

// findFile finds the file among those of the directory.
func findFile(dir *os.Root, file fs.FileInfo) (name string, f *os.File, err error) {
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return "", nil, fmt.Errorf("its directory cannot be read: %w", fault.Cause(err))
	}
	for _, e := range entries {
		if info, err := dir.Lstat(e.Name()); err != nil || !info.Mode().IsRegular() || !os.SameFile(info, file) {
			continue
		}
		f, err := dir.OpenFile(e.Name(), os.O_RDWR|nonblock, 0)
		if err != nil {
			return "", nil, fmt.Errorf("%s cannot be opened: %w", e.Name(), fault.Cause(err))
		}
		info, err := f.Stat()
		if err != nil || !os.SameFile(info, file) {
			f.Close()
			continue // exchanged just now
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Nlink != 1 {
			f.Close()
			return "", nil, fmt.Errorf("%s has more than one name", e.Name())
		}
		return e.Name(), f, nil
	}
	return "", nil, errors.New("that is not in the same directory")
}

// writesTo gives the file that the process has open as this descriptor.
func writesTo(pid, fd int) (os.FileInfo, error) {
	return os.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
}
