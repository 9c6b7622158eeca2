package paths

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// zfsMagic is not among the kernel's, whose file system it is not.
const zfsMagic = 0x2fc12fc1

// LocksIn says what is known of the locks in a directory, or in the innermost one above
// it that is there.
func LocksIn(dir string) Locks {
	var st unix.Statfs_t
	for {
		err := retried.Statfs(dir, &st)
		if err == nil {
			return locksOf(uint32(st.Type))
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return LocksUnknown
		}
		dir = filepath.Dir(dir)
	}
}

func locksOf(magic uint32) Locks {
	switch magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.BCACHEFS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.ECRYPTFS_SUPER_MAGIC, zfsMagic:
		return LocksNamed
	case unix.NFS_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC,
		unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.OCFS2_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.V9FS_MAGIC:
		return LocksRemote
	}
	return LocksUnknown
}
