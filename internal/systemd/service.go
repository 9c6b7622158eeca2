package systemd

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// Service is a service unit in whose control group a process lies. That says nothing of
// who is the service's main process: what cron or sshd starts lies in their groups.
type Service struct {
	Scope Scope
	Unit  string // its name, as systemctl takes it

	group string
}

// ServiceOf gives the service in whose own control group the process lies. It is false
// where the group is a scope's, a slice's or that of part of a service, and where the
// group cannot be read.
func ServiceOf(pid int) (Service, bool) {
	return serviceOf(groupOf(pid))
}

// ServiceIn is ServiceOf the process whose /proc/PID/cgroup has that content.
func ServiceIn(cgroup []byte) (Service, bool) {
	return serviceOf(parseGroup(cgroup))
}

// Has reports whether the process lies in the service's control group or below it, where
// those of ExecStop= and ExecReload= are.
func (s Service) Has(pid int) bool { return within(groupOf(pid), s.group) }

// groupOf is the path of the control group that systemd has put the process into; empty
// if it cannot be told.
func groupOf(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	return parseGroup(data)
}

// parseGroup reads a /proc/PID/cgroup file. Beside the controllers of version 1 systemd
// has a hierarchy of its own, unless it is one of a container in which only version 2 is
// its own: then everything lies at the root of the other.
func parseGroup(data []byte) (group string) {
	for line := range bytes.Lines(data) {
		// hierarchy:controllers:path; the path may have colons of its own.
		f := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		switch {
		case len(f) != 3:
		case f[1] == "name=systemd" && f[2] != "/":
			return f[2]
		case f[0] == "0" && f[1] == "":
			group = f[2]
		}
	}
	return group
}

func serviceOf(group string) (Service, bool) {
	parts := strings.Split(group, "/")
	last := len(parts) - 1
	// A name that the kernel could take for a file of its own has an underscore before it.
	s := Service{Unit: strings.TrimPrefix(parts[last], "_"), group: group}
	if !isService(s.Unit) {
		return Service{}, false
	}
	for _, part := range parts[:last] {
		if uid, ok := userManager(part); ok {
			s.Scope = Scope{User: true, UID: uid}
		}
	}
	return s, true
}

// isService reports whether the name is one that systemd gives to a service.
func isService(name string) bool {
	const others = ":-_.\\@"
	prefix, is := strings.CutSuffix(name, ".service")
	return is && prefix != "" && len(name) < 256 && strings.IndexFunc(prefix, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(others, r))
	}) < 0
}

// userManager reads user@UID.service, below which are the services of that user.
func userManager(part string) (uid int, ok bool) {
	text, is := strings.CutPrefix(part, "user@")
	text, ends := strings.CutSuffix(text, ".service")
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), is && ends && err == nil
}

func within(group, of string) bool {
	return of != "" && (group == of || strings.HasPrefix(group, strings.TrimSuffix(of, "/")+"/"))
}

// Command is what a person types to have the manager do it, as in
// "systemctl restart web.service".
func (s Service) Command(verb string) string {
	words := []string{"systemctl"}
	if s.Scope.User {
		words = s.Scope.arguments(os.Geteuid())
		words = append([]string{"systemctl"}, words...)
	}
	unit := s.Unit
	if strings.ContainsRune(unit, '\\') { // a shell would take it away
		unit = "'" + unit + "'"
	}
	words = append(words, verb)
	if strings.HasPrefix(unit, "-") {
		words = append(words, "--")
	}
	return strings.Join(append(words, unit), " ")
}
