package program

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/plan"
)

// Become makes the process of the worker that has this context become the program, and
// returns only if it cannot. itself: the program is the daemon's worker, not only called by it.
func (p *Program) Become(ctx context.Context, itself bool) error {
	l := inside.Of(ctx)
	if l == nil {
		return errors.New("daemonocle: execute " + p.Name + ": the context is not a worker's")
	}
	if !itself && (p.Nice != 0 || p.Limits != nil || p.Ready != nil) {
		return errors.New("daemonocle: execute " + p.Name + ": niceness, limits and readiness need the program to be the daemon's worker itself")
	}
	err := p.become(ctx, l)
	if odd, is := errors.AsType[*Error](err); is {
		m := plan.FailureMessage(odd)
		m.Hint = odd.Hint
		l.SayFailed(m)
	}
	return err
}

func (p *Program) become(ctx context.Context, l *inside.Life) error {
	path, err := p.find()
	if err != nil {
		return err
	}
	env := p.environment(l)
	argv := slices.Concat([]string{p.Name}, p.Args, l.Args())
	keep, err := l.GiveSignalsBack(ctx)
	defer keep()
	if err != nil {
		return err
	}
	err = p.execute(l, path, argv, env)
	hint := hintFor(err)
	if errors.Is(err, fs.ErrNotExist) {
		hint = "The file is there, but not what runs it: see its first line, or file(1)."
	}
	return &Error{path, err, hint}
}

// environment is the starter's, with what is different for the program.
func (p *Program) environment(l *inside.Life) []string {
	env := os.Environ()
	set := func(variable string) {
		name, _, isSet := strings.Cut(variable, "=")
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		if isSet {
			env = append(env, variable)
		}
	}
	if os.Getenv("PWD") != "" {
		set("PWD=" + l.Plan().WorkDir)
	}
	if address := l.NotifyAddress(); address != "" {
		set("NOTIFY_SOCKET=" + address)
	}
	for _, v := range slices.Concat(p.user, p.Env) {
		set(v)
	}
	return env
}
