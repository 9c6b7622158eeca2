package daemonocle

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/outside"
	"github.com/daemonocle/daemonocle/internal/plan"
)

// LogsOptions are for one look at log files.
type LogsOptions struct {
	// Lines is how many of the last lines of each file are shown. 0: 20; negative: none.
	Lines int `short:"n" zero:"-1" help:"How many of the last lines of each file to show, by default 20."`
	// Follow goes on to show what comes, over rotations.
	Follow bool `short:"f" help:"Go on showing what comes, over rotations, until Ctrl-C."`
	// Stdout and Stderr show only what was written there. Both false, or true: both.
	Stdout bool `help:"Show only what was written to stdout."`
	Stderr bool `help:"Show only what was written to stderr."`
}

// Logs writes to w what is at the end of StdoutFile and StderrFile. A file that is not
// there is empty. With Follow it goes on until ctx ends, and returns nil then; without, an
// end of ctx before all was shown is an error.
//
// The last lines are looked for in the last 64 MiB of a file, or in 4 KiB for each line asked
// for where that is more; few lines in 1 MiB for each. Holes of a sparse file are left out.
//
// Where there are two files, a head says from which of them the lines are. In what comes
// without a pause of a second no file has a second head.
//
// With Follow and a PID file there is a line where another process begins to be the
// daemon, after a start or a reload. It stands where that was seen: when two processes
// write at the same time, or one right after the other, lines of the one may be on the
// other's side.
//
// It may be called by any process, whether the daemon runs or not. Symbolic links are
// followed like those of the daemon's start.
func (d *Daemon) Logs(ctx context.Context, w io.Writer, o LogsOptions) error {
	return public(outside.Logs(ctx, w, plans(d), outside.LogsOptions(o), d.plan.Fail))
}

// Logs shows the log files of all workers as one; see Daemon.Logs.
func (g *Group) Logs(ctx context.Context, w io.Writer, o LogsOptions) error {
	list, err := g.all()
	if err != nil {
		return public(g.fail("read logs of", err))
	}
	return public(outside.Logs(ctx, w, plans(list...), outside.LogsOptions(o), g.fail))
}

func plans(list ...*Daemon) (all []*plan.Plan) {
	for _, d := range list {
		all = append(all, d.plan)
	}
	return all
}

// hasLogs reports whether the daemon has files to show.
func (d *Daemon) hasLogs() bool { return d.plan.Stdout != nil || d.plan.Stderr != nil }

// logs is the action. One that follows ends with Ctrl-C, and well.
func (v *printer) logs(ctx context.Context, o LogsOptions, show func(context.Context, io.Writer, LogsOptions) error) error {
	if v.out.JSON && o.Follow {
		return v.failed(v.d.plan.Misused("logs", errors.New("what is followed has no end, and an object has one")))
	}
	if o.Follow {
		var stop func()
		ctx, stop = outside.UntilTold(ctx)
		defer stop()
	}
	if !v.out.JSON {
		err := show(ctx, v.out.Out, o)
		if errors.Is(err, syscall.EPIPE) {
			return nil // who reads this has seen enough
		}
		return v.finish(err)
	}
	var text strings.Builder
	err := show(ctx, &text, o)
	if err != nil {
		v.object(failedObject(err), err)
		return v.finish(err)
	}
	v.object(func() map[string]any { return map[string]any{"outcome": "done", "output": text.String()} }, nil)
	return nil
}
