// Package systemd asks a running systemd about its units. It changes nothing.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ErrNone: there is no systemctl here, so that no systemd can be asked.
var ErrNone = errors.New("no systemctl")

// Scope says which manager has the unit.
type Scope struct {
	// User is the manager of one user's services, and not the system's.
	User bool
	// UID is that user.
	UID int
}

// arguments are those that lead systemctl to the manager.
func (s Scope) arguments(self int) []string {
	switch {
	case !s.User:
		return []string{"--system"}
	case s.UID == self:
		return []string{"--user"}
	}
	return []string{"--user", "--machine=" + strconv.Itoa(s.UID) + "@.host"}
}

// places are where systemctl lies. PATH is not searched: in a program that is setuid it is
// the word of whoever has called it.
var places = []string{"/usr/bin/systemctl", "/bin/systemctl", "/run/current-system/sw/bin/systemctl"}

// maxAnswer is far more than the properties of one unit that anybody asks for.
const maxAnswer = 64 << 10

// Show gives properties of a unit, by their names, as systemctl show prints them. Of an
// unknown unit LoadState is "not-found". ctx bounds the question: at its end systemctl is
// killed, and the error wraps the context's cause. ErrNone: there is nobody to ask.
func Show(ctx context.Context, scope Scope, unit string, properties ...string) (map[string]string, error) {
	self := os.Geteuid()
	args := append([]string{"systemctl"}, scope.arguments(self)...)
	args = append(args, "--no-pager", "--no-ask-password", "--property="+strings.Join(properties, ","), "show", "--", unit)
	out, err := run(ctx, args, environment(self))
	if err != nil {
		return nil, fmt.Errorf("ask systemd about %s: %w", unit, err)
	}
	return parse(out), nil
}

// environment is all that systemctl sees: nothing of the caller's, which may be another
// user's word.
func environment(self int) []string {
	return []string{"LC_ALL=C", "SYSTEMD_COLORS=0", "XDG_RUNTIME_DIR=/run/user/" + strconv.Itoa(self)}
}

// parse reads lines of NAME=VALUE.
func parse(out string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			found[name] = value
		}
	}
	return found
}
