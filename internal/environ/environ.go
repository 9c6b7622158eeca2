// Package environ answers where this process runs: as PID 1, in a container,
// under a service manager, for a super-server, on a terminal. Each answer is
// taken from the system when it is asked for, and none changes anything. Here is
// what a start needs of them; its table is in docs/ARCHITECTURE.md.
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

import "os"

// PID1 reports whether this process is the first of its PID namespace.
func PID1() bool { return os.Getpid() == 1 }

// Container names the evidence that this process runs in a container: "docker",
// "podman", "kubernetes", "lxc", "ecs", "containerd", "cri-o", or what the
// container's manager calls itself. It is empty outside.
func Container() string { return container("/", os.Getenv) }

// Here says where this process is.
func Here() Place {
	f := survey()
	f.lookAround()
	return f.place()
}

// ServiceManager reports whether a service manager has started this very process:
// systemd, launchd, or OpenRC's supervise-daemon.
func ServiceManager() bool { return survey().manager() != Shell }

func survey() *facts {
	f := &facts{
		pid: os.Getpid(), ppid: os.Getppid(), getenv: os.LookupEnv, socket: SuperServer(),
		container: func() bool { return false },
		processes: func() []process { return nil },
	}
	f.session, f.group = leads()
	f.look()
	return f
}

// SuperServer reports whether standard input is a socket, as inetd and
// systemd's Accept=yes make it. A nameless pair of sockets that sshd has put
// there in place of a pipe is none: "ssh host myapp start" is not a connection
// to myapp.
func SuperServer() bool { return superServer(0, os.Getenv) }

// Terminal reports whether the descriptor is a terminal.
func Terminal(fd int) bool { return terminal(fd) }
