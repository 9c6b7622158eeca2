package paths

import (
	"fmt"
	"os"
)

// CheckPrivate refuses a directory that others could put names into: in a
// shared place such as /tmp anybody may have made it first.
func CheckPrivate(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory; remove it", dir)
	case !IsMine(info):
		return fmt.Errorf("%s belongs to somebody else; it must be your own", dir)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to others; chmod 0700 it", dir)
	}
	return nil
}
