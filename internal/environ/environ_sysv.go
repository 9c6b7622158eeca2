//go:build aix || solaris

package environ

import "golang.org/x/sys/unix"

func terminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

func bySSH(_ int, getenv func(string) string) bool { return getenv("SSH_CONNECTION") != "" }
