package environ

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func terminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// bySSH asks the kernel who made the pair. The environment is second best:
// sudo clears it.
func bySSH(fd int, getenv func(string) string) bool {
	if getenv("SSH_CONNECTION") != "" {
		return true
	}
	maker, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return false
	}
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(int(maker.Pid)) + "/comm")
	if err != nil {
		return false
	}
	return strings.HasPrefix(string(comm), "sshd") || strings.HasPrefix(string(comm), "dropbear")
}
