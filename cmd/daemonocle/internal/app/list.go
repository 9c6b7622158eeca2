package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/console"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func listCommand() *cobra.Command {
	var asJSON, watch bool
	pause := 2 * time.Second
	cmd := own("list", "List all daemons of this user.", "", func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return misuse("list", fmt.Sprintf("unexpected argument %q", args[0]), `"daemonocle status NAME" is about one daemon.`)
		}
		if watch {
			return watchList(cmd.OutOrStdout(), asJSON, pause)
		}
		return list(background, cmd.OutOrStdout(), asJSON)
	})
	f := cmd.Flags()
	toggle(f, &asJSON, "json", "", "Show the list in JSON format.")
	toggle(f, &watch, "watch", "w", "Show it again and again, until Ctrl-C.")
	durationOption(f, "interval", "2", "DURATION between two looks with --watch.", func(text string) (err error) {
		pause, err = parseDuration(text)
		return err
	})
	complete(cmd, "interval", cobra.NoFileCompletions)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	return cmd
}

// entry is one daemon of the list.
type entry struct {
	name   string
	status daemonocle.Status
	err    error
}

// look gives what it can, also with an error.
func look(ctx context.Context) ([]entry, error) {
	at, err := findPlaces()
	if err != nil {
		return nil, err
	}
	names, err := allNames()
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(names))
	var daemons []*daemonocle.Daemon
	var of []int
	place := func(name string) (daemonocle.Paths, error) { return at.layout(name), nil }
	for i, name := range names {
		entries[i].name = name
		// Whatever is remembered of it, it may run.
		d, err := (&definition{Name: name}).make("list", daemonocle.Config{Name: name, Layout: place})
		if err != nil {
			entries[i].err = err
			continue
		}
		daemons, of = append(daemons, d), append(of, i)
	}
	shut := checkStateDir("list", "daemonocle", at.state) // once for all names
	damaged := make([]error, len(names))
	var reading sync.WaitGroup
	reading.Go(func() { // while the others are measured
		if shut != nil {
			return
		}
		for i, name := range names {
			if _, err := load("list", name); !errors.Is(err, fs.ErrNotExist) {
				damaged[i] = err
			}
		}
	})
	all, errs := daemonocle.StatusAll(ctx, daemonocle.StatusOptions{}, daemons...)
	reading.Wait()
	for k, i := range of {
		e := &entries[i]
		e.status = all[k]
		if e.err = errs[k]; e.err == nil {
			e.err = damaged[i]
		}
	}
	return entries, shut
}

// list prints what it can, and returns what was wrong.
func list(ctx context.Context, out io.Writer, asJSON bool) error {
	entries, first := look(ctx)
	if entries == nil && first != nil {
		return first
	}
	text := table(entries)
	if asJSON {
		text = array(entries)
	}
	if _, err := io.WriteString(out, text); err != nil {
		return failure("list", "daemonocle", err, "")
	}
	for _, e := range entries {
		if e.err != nil && first == nil {
			first = e.err
		} else if e.err != nil {
			daemonocle.Output{}.Explain(e.err)
		}
	}
	return first
}

func array(entries []entry) string {
	var b strings.Builder
	b.WriteString("[")
	for i, e := range entries {
		if i > 0 {
			b.WriteString(",")
		}
		e.status.Name = e.name
		if e.status.State == "" {
			e.status.State = "unknown"
		}
		line, err := e.status.MarshalJSON()
		if err == nil {
			b.WriteString("\n  " + string(line))
		}
	}
	if len(entries) > 0 {
		b.WriteString("\n")
	}
	b.WriteString("]\n")
	return b.String()
}

func table(entries []entry) string {
	rows := [][]string{{"NAME", "STATE", "PID", "UPTIME", "%CPU", "%MEM"}}
	for _, e := range entries {
		row := []string{e.name, "not running", "-", "-", "-", "-"}
		switch s := e.status; {
		case s.Running && s.PID > 0:
			row = []string{e.name, s.State, fmt.Sprint(s.PID), console.Uptime(s.Uptime), fmt.Sprintf("%.1f", s.CPUPercent), fmt.Sprintf("%.1f", s.MemoryPercent)}
		case len(s.Left) > 0:
			row[1], row[2] = "left behind", strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Left), " ", ","), "[]")
		case s.Running || e.err != nil && s.State == "":
			row[1] = "unknown"
		}
		rows = append(rows, row)
	}
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			if i < 2 {
				line += fmt.Sprintf("%-*s  ", width[i], cell)
			} else {
				line += fmt.Sprintf("%*s  ", width[i], cell)
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// watchList shows the list until SIGINT or SIGTERM, on a terminal always in the
// same place.
func watchList(out io.Writer, asJSON bool, pause time.Duration) error {
	ctx, stop := signal.NotifyContext(background, os.Interrupt, syscall.SIGTERM)
	defer stop()
	f, isFile := out.(*os.File)
	onTerminal := isFile && term.IsTerminal(int(f.Fd()))
	for {
		if onTerminal {
			const homeAndClear = "\x1b[H\x1b[2J"
			io.WriteString(out, homeAndClear)
		}
		if err := list(ctx, out, asJSON); err != nil && ctx.Err() == nil {
			if onTerminal {
				daemonocle.Output{}.Explain(err) // it may be well the next time
			} else {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}
