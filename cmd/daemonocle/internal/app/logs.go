package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func logsCommand() *cobra.Command {
	var lines int
	var follow, onlyOut, onlyErr, again bool
	cmd := own("logs NAME", "Show the last lines that a daemon has written.", `
A daemon has a file for stdout and one for stderr; both are shown, unless one of
them is asked for or empty.

The program itself has the files open. After a rotation that renames them it goes on
writing to the old ones; with --reopen, it writes to the files of these names again,
and the rotated ones keep what was in them.`, func(cmd *cobra.Command, args []string) error {
		name, err := oneName("logs", args)
		if err != nil {
			return err
		}
		if onlyOut && onlyErr {
			return misuse("logs", "--stdout and --stderr contradict each other", `Without them both files are shown.`)
		}
		files, err := logFiles(name, onlyOut, onlyErr)
		if err != nil {
			return err
		}
		if again {
			return reopen(name, files)
		}
		t := &tail{out: cmd.OutOrStdout(), many: len(files) > 1}
		return t.show(files, lines, follow)
	})
	f := cmd.Flags()
	f.SortFlags = false
	lines = 20
	option(f, "lines", "n", "N", "20", "Show the last N lines of each file.", number(&lines, 0, "whole number from 0 up"))
	complete(cmd, "lines", cobra.NoFileCompletions)
	toggle(f, &follow, "follow", "f", "Go on showing what comes, over rotations, until Ctrl-C.")
	toggle(f, &onlyOut, "stdout", "", "Show only what was written to stdout.")
	toggle(f, &onlyErr, "stderr", "", "Show only what was written to stderr.")
	toggle(f, &again, "reopen", "", "After a rotation, let the daemon write to the log files again.")
	cmd.ValidArgsFunction = completeNames
	return cmd
}

// logFile is one of a daemon's.
type logFile struct {
	path   string
	fd     int // which of the program's descriptors
	stream string
}

// logFiles does not care whether the daemon is remembered: its logs may outlive
// that.
func logFiles(name string, onlyOut, onlyErr bool) ([]logFile, error) {
	at, err := findPlaces()
	if err != nil {
		return nil, err
	}
	var files []logFile
	exist := false
	for _, f := range []logFile{{"out.log", 1, "stdout"}, {"err.log", 2, "stderr"}} {
		if onlyOut && f.fd != 1 || onlyErr && f.fd != 2 {
			continue
		}
		f.path = filepath.Join(at.logDir(name), f.path)
		if _, err := os.Stat(f.path); err == nil {
			exist = true
		}
		files = append(files, f)
	}
	if _, err := os.Lstat(at.stateFile(name)); err != nil && !exist {
		return nil, unknown("logs", name)
	}
	return files, nil
}

// tail shows the ends of files, and what is added to them.
type tail struct {
	out  io.Writer
	many bool
	last string // the file whose lines came last
	err  error  // of writing
}

// followed is a file while it is followed.
type followed struct {
	logFile
	f  *os.File // nil: it is not there
	at int64
}

func (t *tail) show(files []logFile, lines int, follow bool) error {
	var list []*followed
	for _, file := range files {
		w := &followed{logFile: file}
		list = append(list, w)
		if err := w.open(); err != nil {
			return failure("logs", file.path, err, "")
		}
		if w.f == nil {
			continue
		}
		defer func() { w.close() }()
		from, err := lastLines(w.f, lines)
		if err != nil {
			return failure("logs", file.path, err, "")
		}
		w.at = from
		t.copy(w)
	}
	if t.err == nil && follow {
		t.follow(list)
	}
	if errors.Is(t.err, syscall.EPIPE) {
		return nil // who read this has seen enough
	}
	if t.err != nil {
		return failure("logs", "daemonocle", t.err, "")
	}
	return nil
}

func (w *followed) open() error {
	f, err := os.OpenFile(w.path, os.O_RDONLY|nonblock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	w.close()
	w.f, w.at = f, 0
	return nil
}

func (w *followed) close() {
	if w.f != nil {
		w.f.Close()
		w.f = nil
	}
}

// copy writes what has been added to the file.
func (t *tail) copy(w *followed) {
	b := make([]byte, 64<<10)
	for t.err == nil {
		n, _ := w.f.ReadAt(b, w.at)
		if n == 0 {
			return
		}
		w.at += int64(n)
		if t.many && t.last != w.path {
			space := "\n"
			if t.last == "" {
				space = ""
			}
			t.write([]byte(space + "==> " + w.stream + " <==\n"))
			t.last = w.path
		}
		t.write(b[:n])
	}
}

func (t *tail) write(b []byte) {
	if t.err == nil {
		_, t.err = t.out.Write(b)
	}
}

// pace is how often files are looked at: they need not be on a file system that
// can tell of changes.
const pace = 100 * time.Millisecond

func (t *tail) follow(list []*followed) {
	ctx, stop := signal.NotifyContext(background, os.Interrupt, syscall.SIGTERM)
	defer stop()
	for t.err == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pace):
		}
		for _, w := range list {
			t.advance(ctx, w)
		}
	}
}

// advance shows what is new in one file: also when it was renamed and another one
// has come, or when it was truncated.
func (t *tail) advance(_ context.Context, w *followed) {
	if w.f == nil {
		if w.open() != nil || w.f == nil {
			return
		}
	}
	if info, err := w.f.Stat(); err == nil && info.Size() < w.at {
		w.at = 0
	}
	t.copy(w)
	now, err := os.Stat(w.path)
	old, bad := w.f.Stat()
	if err == nil && bad == nil && !os.SameFile(now, old) {
		t.copy(w) // what came until it was renamed
		if w.open() == nil {
			t.copy(w)
		}
	}
}

// lastLines finds where the last n lines of a file begin.
func lastLines(f *os.File, n int) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	end := info.Size()
	if n == 0 || !info.Mode().IsRegular() {
		return end, nil
	}
	b := make([]byte, 64<<10)
	for at := end; at > 0; {
		size := min(int64(len(b)), at)
		at -= size
		if _, err := f.ReadAt(b[:size], at); err != nil && err != io.EOF {
			return 0, err
		}
		chunk := b[:size]
		if at+size == end { // the newline that ends the last line begins none
			chunk = chunk[:size-1]
		}
		for i := bytes.LastIndexByte(chunk, '\n'); i >= 0; i = bytes.LastIndexByte(chunk, '\n') {
			if n--; n == 0 {
				return at + int64(i) + 1, nil
			}
			chunk = chunk[:i]
		}
	}
	return 0, nil
}
