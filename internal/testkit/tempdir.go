package testkit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TempDir returns a new directory that every user can look into, unlike that of
// t.TempDir, whose parents may be closed to others: a daemon that has dropped
// its privileges must still reach its files. The path has no symbolic links and
// is short enough for a socket in it. It is removed when the test ends.
func TempDir(t testing.TB) string {
	t.Helper()
	var errs []error
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		dir, err := openDir(parent)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Errorf("testkit: %v", err)
			}
		})
		return dir
	}
	t.Fatalf("testkit: no place for a directory that all users can reach: %v", errors.Join(errs...))
	return ""
}

func openDir(parent string) (string, error) {
	parent, err := filepath.EvalSymlinks(parent)
	if err != nil {
		return "", err
	}
	for dir := parent; ; dir = filepath.Dir(dir) {
		fi, err := os.Stat(dir)
		if err != nil {
			return "", err
		}
		if fi.Mode()&0o001 == 0 {
			return "", &fs.PathError{Op: "look into", Path: dir, Err: fs.ErrPermission}
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	dir, err := os.MkdirTemp(parent, "tk")
	if err != nil {
		return "", err
	}
	// Not through the mode of a mkdir: the umask, which tests change, would
	// have a say.
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}
