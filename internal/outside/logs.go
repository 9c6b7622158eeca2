package outside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/logtail"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// LogsOptions are for one look at log files; daemonocle.LogsOptions says what they mean.
type LogsOptions struct {
	Lines  int
	Follow bool
	Stdout bool
	Stderr bool
}

// defaultLines is how many lines are shown of each file.
const defaultLines = 20

// Logs writes to w what is at the end of the daemons' log files. fail makes its errors.
func Logs(ctx context.Context, w io.Writer, list []*plan.Plan, o LogsOptions, fail func(op string, err error) *fault.Fault) error {
	sources := sourcesOf(list, o)
	if len(sources) == 0 {
		e := fail("read logs of", errors.New("what the daemon writes goes to no file that could be shown"))
		e.Hint = "Set " + list[0].Setting("StdoutFile", "StderrFile") + ", or use a layout."
		return e
	}
	if o.Lines == 0 {
		o.Lines = defaultLines
	}
	woken := make(chan struct{}, 1)
	var all []*birth
	for _, p := range list {
		if o.Follow && p.PID != nil {
			b := &birth{p: p, seen: &pidfile.Report{}, woken: woken}
			defer b.forget()
			b.news(ctx) // who runs by now is no news
			all = append(all, b)
		}
	}
	news := func() (lines []string) {
		for _, b := range all {
			if line := b.news(ctx); line != "" {
				lines = append(lines, line)
			}
		}
		return lines
	}
	t, err := logtail.Open(w, sources)
	if err == nil {
		defer t.Close()
		err = t.Last(ctx, o.Lines)
	}
	if err != nil && err == ctx.Err() {
		if o.Follow {
			return nil
		}
		return fail("read logs of", fault.Say("reading was cancelled", context.Cause(ctx)))
	}
	if err == nil && o.Follow {
		err = t.Follow(ctx, woken, news)
	}
	if err == nil {
		return nil
	}
	return unread(err, fail)
}

// unread says why log files are not shown.
func unread(err error, fail func(string, error) *fault.Fault) *fault.Fault {
	path, is := errors.AsType[*fs.PathError](err)
	if !is || path.Op == "write" {
		return fail("read logs of", fmt.Errorf("print the lines: %w", err))
	}
	link, is := errors.AsType[*paths.LinkError](err)
	if is {
		path.Path = "" // the link is named
	}
	e := fail("read logs of", fault.Say(strings.TrimSpace("unable to read log file "+path.Path)+" ("+plan.Cause(err)+")", err))
	switch {
	case link != nil:
		e.Hint = "Remove the link, or give it to root."
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "Run as a user who may read it."
	}
	return e
}

// sourcesOf are the files to show, each once, by the names that they have in heads.
func sourcesOf(list []*plan.Plan, o LogsOptions) (sources []logtail.Source) {
	add := func(name string, file *paths.Name) {
		if file == nil {
			return
		}
		same := func(s logtail.Source) bool { return s.File == *file }
		if i := slices.IndexFunc(sources, same); i >= 0 {
			sources[i].Name += ", " + name
			return
		}
		sources = append(sources, logtail.Source{Name: name, File: *file})
	}
	both := o.Stdout == o.Stderr
	for _, p := range list {
		whose := ""
		if len(list) > 1 {
			whose = p.Name + " "
		}
		if both || o.Stdout {
			add(whose+"stdout", p.Stdout)
		}
		if both || o.Stderr {
			add(whose+"stderr", p.Stderr)
		}
	}
	return sources
}

// birth sees when another process begins to be the daemon.
type birth struct {
	p     *plan.Plan
	seen  *pidfile.Report // what was seen last
	asked bool            // and answered, if only that none runs
	woken chan struct{}   // hears of its end

	stop func() // lets go of it; nil: nothing is held
}

// news is a line that says that another process is the daemon; empty: none is.
func (b *birth) news(ctx context.Context) string {
	short, cancel := context.WithTimeout(ctx, timing.LookTakes)
	defer cancel()
	r, err := b.p.PID.Look(short)
	if err != nil {
		return ""
	}
	asked := b.asked
	b.asked = true
	if r.State != pidfile.Running { // whatever runs next was started
		b.forget()
		b.seen = r
		return ""
	}
	how, other := descent(b.seen, r)
	if other {
		b.forget()
		b.seen = r
		b.watch(ctx)
	}
	if how == "" || !asked {
		return ""
	}
	who := ""
	if r.Named() {
		who = fmt.Sprintf(" (PID %d)", r.PID)
	}
	return "-- " + b.p.Name + " " + how + who + " --"
}

// descent says whether the process that runs is another one than was seen last, and
// how it has come to be the daemon; empty: that is not known.
func descent(before, now *pidfile.Report) (how string, other bool) {
	switch {
	case before.State != pidfile.Running || before.Inode != now.Inode:
		return "started", true
	case !now.Named() || before.Named() && before.PID == now.PID:
		return "", false
	case !before.Named():
		return "", true
	}
	return "reloaded", true
}

// watch waits for the end of the process, so that its last words are shown before those
// of the next one, and keeps its PID file open, so that the next one's is another.
func (b *birth) watch(ctx context.Context) {
	unpin, _ := b.p.PID.Pin(b.seen)
	ctx, cancel := context.WithCancel(ctx)
	b.stop = func() { cancel(); unpin() }
	if !b.seen.Named() {
		return
	}
	h, err := proc.Open(b.seen.PID)
	if err != nil {
		return
	}
	go func() {
		defer h.Close()
		if h.Wait(ctx) == nil {
			select {
			case b.woken <- struct{}{}:
			default: // somebody else has
			}
		}
	}()
}

func (b *birth) forget() {
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
}
