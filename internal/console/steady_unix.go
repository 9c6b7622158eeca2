//go:build unix

package console

import (
	"io"
	"os"
	"strconv"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// Steady is a writer to the same file whose writes fail when the reader has
// gone, where those to descriptors 1 and 2 end a Go program by SIGPIPE
// (os/signal): what reports on a start or a stop must not end with its reader.
// To catch the signal instead would take a good part of a start.
func Steady(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok || f == nil {
		return w
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return w
	}
	steady := w
	conn.Control(func(fd uintptr) {
		if fd != 1 && fd != 2 {
			return
		}
		if fd, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3); err == nil {
			steady = os.NewFile(uintptr(fd), f.Name())
		}
	})
	return steady
}

// journal reports whether the name, as in JOURNAL_STREAM, is that of the file: its device
// and inode.
func journal(f *os.File, name string) bool {
	var st unix.Stat_t
	known := false
	onFD(f, func(fd int) { known = name != "" && retried.Fstat(fd, &st) == nil })
	return known && name == strconv.FormatUint(uint64(st.Dev), 10)+":"+strconv.FormatUint(uint64(st.Ino), 10)
}
