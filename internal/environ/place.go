package environ

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/daemonocle/daemonocle/internal/systemd"
)

// Place is where a start finds itself, which decides what it makes of its process.
type Place int

const (
	// Shell: nobody needs this process to stay, whoever has started it: a person, a
	// script, or one that has left it behind as an orphan.
	Shell Place = iota
	// Unseen: this is a container, and /proc does not show whether this process is its
	// first.
	Unseen
	// Init: this is PID 1 of a PID namespace.
	Init
	// First is the first process of a container, which ends with it, although it is
	// not PID 1: that is an init, or in another container.
	First
	// Socket: standard input is one, a super-server's.
	Socket
	// Systemd has started this very process.
	Systemd
	// Forking: systemd has, for a unit that waits until the daemon is in the background.
	// Only systemd can tell, so that Here does not say it.
	Forking
	// Supervisor: another service manager has, launchd or OpenRC's supervise-daemon.
	Supervisor
)

// facts are all that the judgement rests on. What costs something to find out is a
// function, and is called when it matters.
type facts struct {
	pid, ppid      int
	session, group int // of this process
	getenv         func(string) (value string, set bool)
	socket         bool    // standard input is a super-server's
	cgroup         string  // of this process, as /proc/self/cgroup has it; empty: not to be read
	parent         process // the zero value: not to be seen
	container      func() bool
	processes      func() []process // that /proc shows, in any order
}

// process is what /proc says of one.
type process struct {
	pid    int
	start  uint64   // in the kernel's ticks; those that have the same began in the order of their numbers
	cgroup string   // as for facts
	name   string   // comm: at most 15 bytes
	args   []string // read only where the name alone does not tell
}

func (f *facts) place() Place {
	switch {
	case f.pid == 1:
		return Init
	case f.socket:
		return Socket
	}
	if p := f.manager(); p != Shell {
		return p
	}
	return f.first()
}

// manager is Systemd or Supervisor if a service manager has started this very process;
// else it is Shell. That the parent is PID 1 says nothing: every orphan's is.
func (f *facts) manager() Place {
	// Children inherit the variable, so it says something about us only if the number
	// is ours to the letter.
	if number, set := f.getenv("SYSTEMD_EXEC_PID"); set {
		if number == strconv.Itoa(f.pid) {
			return Systemd
		}
	} else if id, _ := f.getenv("INVOCATION_ID"); id != "" && (f.ppid == 1 || f.parent.userManager()) && f.session == f.pid {
		if _, ok := systemd.ServiceIn([]byte(f.cgroup)); ok {
			return Systemd // before 248
		}
	}
	// launchd's jobs lead a process group. "0" and application.* are what everything
	// inherits that is started from a desktop.
	if job, _ := f.getenv("XPC_SERVICE_NAME"); job != "" && job != "0" && !strings.HasPrefix(job, "application.") &&
		f.ppid == 1 && f.group == f.pid {
		return Supervisor
	}
	if service, _ := f.getenv("RC_SVCNAME"); service != "" && f.parent.name == "supervise-daemo" {
		return Supervisor
	}
	return Shell
}

// first tells a container's first process from all others: it is the oldest of those
// with its cgroup. Who is executed into a running container has its cgroup as well, and
// the same parent, or none.
func (f *facts) first() Place {
	if f.cgroup != "" && f.parent.cgroup == f.cgroup && !f.parent.smallInit() {
		return Shell // the parent is older
	}
	if !f.container() {
		return Shell
	}
	all := f.processes()
	i := slices.IndexFunc(all, func(p process) bool { return p.pid == 1 })
	if i < 0 || f.cgroup == "" {
		return Unseen
	}
	if all[i].serviceManager() && !f.outside(all[i]) {
		return Shell // each service has a cgroup of its own
	}
	oldest := process{start: math.MaxUint64}
	for _, p := range all {
		older := p.start < oldest.start || p.start == oldest.start && p.pid < oldest.pid
		if older && p.cgroup == f.cgroup && !p.smallInit() {
			oldest = p
		}
	}
	if oldest.pid == f.pid {
		return First
	}
	return Shell
}

// outside reports whether a process of the same PID namespace is not in our container:
// its cgroup lies beyond the root of our cgroup namespace, or ours is an engine's and
// its is not.
func (f *facts) outside(p process) bool {
	return strings.Contains(p.cgroup, ":/../") || strings.Contains(p.cgroup, ":/..\n") ||
		cgroup([]byte(f.cgroup)) < none && cgroup([]byte(p.cgroup)) == none
}

// smallInit reports whether this is one of the programs that are put before a container's
// own to be PID 1 for it.
func (p process) smallInit() bool {
	switch p.name {
	case "tini", "tini-static", "dumb-init", "catatonit", "docker-init", "podman-init":
		return true
	case "init": // as podman before 4 calls it
		return len(p.args) > 0 && p.args[0] == "/dev/init"
	}
	return false
}

// serviceManager reports whether this, as PID 1, runs services in cgroups of their own.
func (p process) serviceManager() bool {
	switch p.name {
	case "systemd", "openrc-init", "dinit", "procd":
		return true
	case "init":
		return !p.smallInit()
	}
	return false
}

// userManager reports whether this is systemd for the services of one user.
func (p process) userManager() bool {
	return p.name == "systemd" && slices.Contains(p.args, "--user")
}
