// Package logtail shows the ends of files, and what is added to them: over rotations of
// both kinds, with the old file read to its end before the new one.
package logtail

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// Source is a file, and what a reader calls it.
type Source struct {
	Name string
	File paths.Name
}

// Tail shows several files as one text. It is for one goroutine.
type Tail struct {
	out   io.Writer
	files []*file
	err   error // of writing

	named []bool    // the files of the last head
	shown time.Time // when something was written last
	last  *file     // whose bytes those were; nil: a line of our own
	open  bool      // the last line has no end yet

	now func() time.Time
}

// file is one of the files.
type file struct {
	Source
	f  *os.File // nil: it is not there
	at int64    // what is before was shown
	to int64    // what is before is to be shown
}

// Open opens those files that are there. Whoever gets no error closes the Tail.
func Open(out io.Writer, sources []Source) (*Tail, error) {
	t := &Tail{out: out, named: make([]bool, len(sources)), now: time.Now}
	for _, s := range sources {
		w := &file{Source: s}
		t.files = append(t.files, w)
		f, err := s.File.Read()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Close()
			return nil, err
		}
		w.f = f
	}
	return t, nil
}

// Close closes the files.
func (t *Tail) Close() {
	for _, w := range t.files {
		w.close()
	}
}

// Last shows the last n lines of each file, one file after the other. What lastLines does
// not look at is not shown. When ctx ends before that, the error is ctx's.
func (t *Tail) Last(ctx context.Context, n int) error {
	for i, w := range t.files {
		if w.f == nil {
			continue
		}
		info, err := w.f.Stat()
		if err == nil {
			w.to = info.Size()
			w.at, err = lastLines(ctx, w.f, w.to, n)
		}
		if err != nil {
			return err
		}
		if w.at < w.to {
			t.named = make([]bool, len(t.files)) // each has a head of its own
			t.show(ctx, []int{i})
		}
	}
	if t.err == nil {
		return ctx.Err()
	}
	return t.err
}

// Follow shows what comes, until ctx ends: then without an error. news, if there is
// one, is asked again and again, after it was seen how long the files are and before
// what they have is shown: its answers are lines between what was shown and that. When
// something is received from woken, what the files have by then is shown first.
func (t *Tail) Follow(ctx context.Context, woken <-chan struct{}, news func() []string) error {
	for t.err == nil && ctx.Err() == nil {
		fresh := t.look()
		if news != nil {
			for _, line := range news() {
				t.mark(line)
			}
		}
		t.show(ctx, fresh)
		// A rotated file may have another one behind it: then nothing is waited for.
		if wakes(ctx, woken, len(fresh) == 0) {
			t.show(ctx, t.look())
		}
	}
	return t.err
}

// wakes waits until it is time for another look, and reports whether something was
// received from woken.
func wakes(ctx context.Context, woken <-chan struct{}, wait bool) bool {
	if wait {
		next := time.NewTimer(timing.LogsPoll)
		defer next.Stop()
		select {
		case <-woken:
			return true
		case <-ctx.Done():
		case <-next.C:
		}
	}
	select {
	case <-woken:
		return true
	default:
		return false
	}
}

// look finds the files that have something new.
func (t *Tail) look() (fresh []int) {
	for i, w := range t.files {
		if w.look() {
			fresh = append(fresh, i)
		}
	}
	return fresh
}

// show shows what is new in these files, with a head if one is due, until ctx ends. Holes
// of a sparse file are left out, but for blocks around them: they may be longer than any disk.
func (t *Tail) show(ctx context.Context, fresh []int) {
	if len(fresh) == 0 {
		return
	}
	if len(t.files) > 1 {
		var due bool
		if t.named, due = head(t.named, fresh, t.now().Sub(t.shown) >= timing.BurstEnds); due {
			t.head()
		}
	}
	b := make([]byte, 64<<10)
	for _, i := range fresh {
		w := t.files[i]
		for t.err == nil && ctx.Err() == nil && w.at < w.to {
			n, _ := w.f.ReadAt(b[:min(int64(len(b)), w.to-w.at)], w.at)
			if n == 0 { // truncated meanwhile
				break
			}
			if next := min(dataFrom(w.f, w.at, w.to, b[:n]), w.to); next > w.at {
				w.at = next
				continue
			}
			w.at += int64(n)
			t.write(w, b[:n])
		}
	}
}

// head decides about a head before lines of these files, of which the last one has named
// some: none, while all of them are among those. Else one that names them: after a pause
// them alone, and in what comes without one those of before as well. So no line stands
// below a head that does not name its file, and files that are written to by turns
// have no head for each line.
func head(named []bool, fresh []int, paused bool) (now []bool, due bool) {
	now = make([]bool, len(named))
	for _, i := range fresh {
		now[i] = true
	}
	due = false
	for i := range named {
		due = due || now[i] != named[i] && (now[i] || paused)
	}
	if !due {
		return named, false
	}
	for i := range named {
		now[i] = now[i] || named[i] && !paused
	}
	return now, true
}

func (t *Tail) head() {
	var names []string
	for i, w := range t.files {
		if t.named[i] {
			names = append(names, w.Name)
		}
	}
	text := "==> " + strings.Join(names, ", ") + " <==\n"
	if !t.shown.IsZero() {
		text = "\n" + text
	}
	t.write(nil, []byte(text))
}

// mark shows a line of our own. Heads begin anew behind it.
func (t *Tail) mark(line string) {
	t.write(nil, []byte(line+"\n"))
	t.named = make([]bool, len(t.files))
}

// write writes what is of one file, or our own. What is of another one begins a line.
func (t *Tail) write(of *file, b []byte) {
	if t.open && of != t.last {
		b = append([]byte("\n"), b...)
	}
	if t.err == nil {
		_, t.err = t.out.Write(b)
	}
	t.last, t.open, t.shown = of, b[len(b)-1] != '\n', t.now()
}

// look reports whether there is something new: added to the file, or in another one that
// has its name now, once all of this one was shown. Whoever has this one open goes on
// writing to it until he opens the other one: while that is empty, this one is followed.
func (w *file) look() bool {
	if w.f == nil {
		f, err := w.File.Read()
		if err != nil {
			return false
		}
		w.f, w.at = f, 0
		return w.more()
	}
	other := w.other()
	if other != nil {
		defer func() { other.Close() }()
	}
	if w.more() || other == nil {
		return w.at < w.to
	}
	w.f, other, w.at = other, w.f, 0
	return w.more()
}

// other is the file that has the name now, if it is another one and has something in it.
func (w *file) other() *os.File {
	f, err := w.File.Read()
	if err != nil {
		return nil
	}
	now, err := f.Stat()
	old, bad := w.f.Stat()
	if err != nil || bad != nil || os.SameFile(now, old) || now.Size() == 0 {
		f.Close()
		return nil
	}
	return f
}

// more sees how long the file is. One that has become shorter was truncated, and begins
// anew.
func (w *file) more() bool {
	info, err := w.f.Stat()
	if err != nil {
		return false
	}
	if info.Size() < w.at {
		w.at = 0
	}
	w.to = info.Size()
	return w.at < w.to
}

func (w *file) close() {
	if w.f != nil {
		w.f.Close()
		w.f = nil
	}
}

// dataFrom is where what is behind a hole at at begins; at: there is none. b is what was read
// there: only zeros make it worth asking, and where there is something else no file system
// is believed that there is a hole.
func dataFrom(f *os.File, at, end int64, b []byte) int64 {
	for _, c := range b {
		if c != 0 {
			return at
		}
	}
	return skipHole(f, at, end)
}

// A line is thought to be no longer than longLine, and many of them to be shorter: somebody
// else may have written what the lines are looked for in.
const (
	longLine   = 1 << 20
	shortLine  = 4 << 10
	manyBytes  = 64 << 20
	countsMost = 1 << 40
)

// reach is how many bytes the last n lines are looked for in.
func reach(n int) int64 {
	lines := min(int64(n), countsMost)
	return min(lines*longLine, max(manyBytes, lines*shortLine))
}

// lastLines finds where the last n lines of what is before end begin. Where reach does not
// reach that far, those that it reaches in whole are taken, and else the end of the last one.
func lastLines(ctx context.Context, f io.ReaderAt, end int64, n int) (int64, error) {
	if n <= 0 {
		return end, nil
	}
	begin := max(0, end-reach(n))
	found := begin
	b := make([]byte, 64<<10)
	for at := end; at > begin; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		size := min(int64(len(b)), at-begin)
		at -= size
		if _, err := f.ReadAt(b[:size], at); err != nil && err != io.EOF {
			return 0, err
		}
		chunk := b[:size]
		if at+size == end { // the newline that ends the last line begins none
			chunk = chunk[:size-1]
		}
		for i := bytes.LastIndexByte(chunk, '\n'); i >= 0; i = bytes.LastIndexByte(chunk, '\n') {
			found = at + int64(i) + 1
			if n--; n == 0 {
				return found, nil
			}
			chunk = chunk[:i]
		}
	}
	if begin == 0 {
		return 0, nil
	}
	return found, nil
}
