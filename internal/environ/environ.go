// Package environ answers where this process runs: as PID 1, in a container,
// under a service manager, for a super-server, on a terminal. Each answer is
// taken from the system when it is asked for, and none changes anything.
//
// Such answers are judgements. They decide only what a program does when it was
// not told (whether to detach), and no promise of safety rests on them.
//
// # BSD and macOS
//
// Containers are a Linux matter: elsewhere only the environment can name one.
//
// # Windows
//
// There is no PID 1, no service manager that this package knows, no
// super-server, and no terminal in the sense of isatty(3).
package environ

import (
	"os"
	"strconv"
)

// PID1 reports whether this process is the first of its PID namespace.
func PID1() bool { return os.Getpid() == 1 }

// Container names the evidence that this process runs in a container: "docker",
// "podman", "kubernetes", "lxc", "ecs", "containerd", "cri-o", or what the
// container's manager calls itself. It is empty outside.
func Container() string { return container(os.DirFS("/"), os.Getenv) }

// ServiceManager reports whether a service manager started this very process:
// it says so (systemd does, for its services and those of a user), or our parent
// is PID 1 of something that is not a container. An orphan looks like the
// latter.
func ServiceManager() bool {
	return serviceManager(os.Getpid(), os.Getppid(), os.Getenv, Container)
}

func serviceManager(pid, ppid int, getenv func(string) string, container func() string) bool {
	// Children inherit the variable, so it says something about us only if the
	// number is ours to the letter.
	if getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(pid) {
		return true
	}
	// In a container PID 1 is as a rule a shell or a program that knows nothing
	// of services.
	return ppid == 1 && container() == ""
}

// SuperServer reports whether standard input is a socket, as inetd and
// systemd's Accept=yes make it. A nameless pair of sockets that sshd has put
// there in place of a pipe is none: "ssh host myapp start" is not a connection
// to myapp.
func SuperServer() bool { return superServer(0, os.Getenv) }

// Terminal reports whether the descriptor is a terminal.
func Terminal(fd int) bool { return terminal(fd) }
