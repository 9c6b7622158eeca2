//go:build unix

package environ

import (
	"syscall"

	"github.com/daemonocle/daemonocle/internal/retried"
	"golang.org/x/sys/unix"
)

// leads gives the session and the process group of this process.
func leads() (session, group int) {
	session, _ = unix.Getsid(0)
	group, _ = unix.Getpgid(0)
	return session, group
}

func superServer(fd int, getenv func(string) string) bool {
	var st unix.Stat_t
	if retried.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false
	}
	return !(nameless(fd) && bySSH(fd, getenv))
}

// nameless reports whether neither end has an address, which is so for a
// socketpair(2) only: who accepts a connection has the listener's name.
func nameless(fd int) bool {
	for _, name := range []func(int) (syscall.Sockaddr, error){syscall.Getsockname, syscall.Getpeername} {
		sa, err := name(fd)
		if err != nil {
			return false
		}
		// "@" is how package syscall shows an abstract name, and no name with it.
		if u, ok := sa.(*syscall.SockaddrUnix); !ok || u.Name != "" && u.Name != "@" {
			return false
		}
	}
	return true
}
