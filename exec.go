package daemonocle

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/program"
)

// Program is a worker that is another program: it replaces the daemon's process,
// so that the number in the PID file is its own, and the file's locks are as
// well. It has its signals at their defaults, none of them blocked, the resource
// limits of whoever starts it, descriptors 0 to 2, and one more, of the PID file.
// User, directory, umask and root directory come from the Config.
//
// No shutdown hook runs, and nothing of this library is left in the process: Stop
// signals the program itself, and removes the PID file. A program that ends
// otherwise leaves a stale one.
//
// A program must stay in the foreground and leave descriptors alone that it
// has not opened. One that goes into the background by itself, or that closes
// the PID file's descriptor, is noticed while it starts: it is ended, and the
// error says so.
//
// A detached program writes to the log files itself, and to /dev/null without
// them. If it dies while it starts, the last lines of this start are in the
// error. Where it is not detached, it writes where the starter does.
type Program struct {
	// Name is looked for in PATH, unless it has a slash; then it is relative to
	// the directory in which New is called.
	Name string
	// Args follow the name. What Do found behind the action follows them. In a group
	// {n} in Args and Env is the worker's number; see NewGroup.
	Args []string
	// Env changes the environment: "NAME=value" sets, "NAME" removes. Beyond that
	// it is the starter's, with HOME, USER and LOGNAME of Config.User.
	Env []string
	// Nice is added to the starter's niceness; see nice(1).
	Nice int
	// Limits are set for the program; see setrlimit(2).
	Limits []Limit
	// Ready says when the program is ready. The zero value: when it has lived
	// through Config.StartWindow.
	Ready Readiness
}

// Limit is one resource limit.
type Limit struct {
	Resource int // such as syscall.RLIMIT_NOFILE
	Soft     uint64
	Hard     uint64
}

// NoLimit is the value of a Limit that is none.
const NoLimit = ^uint64(0)

// Exec is a worker that is another program: Program{Name: name, Args: args}.
func Exec(name string, args ...string) func(context.Context) error {
	return Program{Name: name, Args: args}.Worker()
}

// Worker is for Config.Worker. It may also be called by a worker, with that one's
// context; then the launcher does not look for the program before it starts
// anything, and Nice, Limits and Ready must not be set.
func (p Program) Worker() func(context.Context) error {
	own := &programWorker{program.Program{
		Name: p.Name, Args: slices.Clone(p.Args), Env: slices.Clone(p.Env), Nice: p.Nice, Ready: p.Ready.probe,
	}}
	for _, l := range p.Limits {
		own.Limits = append(own.Limits, program.Limit(l))
	}
	find := programOf
	foreignWorker.Store(&find)
	return own.work
}

// programWorker is what a Program's worker is a method of.
type programWorker struct{ program.Program }

type programKey struct{}

// programOf finds the program of which the worker is the method.
func programOf(worker func(context.Context) error) foreign {
	if worker == nil || reflect.ValueOf(worker).Pointer() != reflect.ValueOf((*programWorker)(nil).work).Pointer() {
		return nil
	}
	var p *programWorker
	worker(context.WithValue(context.Background(), programKey{}, &p))
	return p
}

// work is the worker. It returns only if there is nothing to become.
func (p *programWorker) work(ctx context.Context) error {
	if ask, ok := ctx.Value(programKey{}).(**programWorker); ok {
		*ask = p
		return nil
	}
	d := From(ctx)
	return p.Become(ctx, d != nil && d.foreign == foreign(p))
}

func (p *programWorker) member(n int) (func(context.Context) error, []plan.Problem) {
	own, problems := p.Member(n)
	return (&programWorker{own}).work, problems
}

func (p *programWorker) help() string { return fmt.Sprintf("Run %q as a daemon.", p.Name) }
