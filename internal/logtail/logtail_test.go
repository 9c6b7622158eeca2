package logtail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/timing"
)

func TestLastLines(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, tt := range []struct {
		text string
		n    int
		want string
	}{
		{"", 3, ""},
		{"a\nb\nc\n", 0, ""},
		{"a\nb\nc\n", -1, ""},
		{"a\nb\nc\n", 2, "b\nc\n"},
		{"a\nb\nc", 2, "b\nc"},
		{"a\nb\nc\n", 3, "a\nb\nc\n"},
		{"a\nb\nc\n", 9, "a\nb\nc\n"},
		{"\n\n\n", 1, "\n"},
		{"a\n" + long + "\n" + long + "\n", 2, long + "\n" + long + "\n"},
		{long + "\nb\n", 2, long + "\nb\n"},
	} {
		from, err := lastLines(t.Context(), strings.NewReader(tt.text), int64(len(tt.text)), tt.n)
		if err != nil || tt.text[from:] != tt.want {
			t.Errorf("%d lines of %.10q: got %.20q, %v", tt.n, tt.text, tt.text[from:], err)
		}
	}
}

// zeros is a file without any line, of which somebody counts what is read.
type zeros struct{ read int64 }

func (z *zeros) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	z.read += int64(len(b))
	return len(b), nil
}

// TestLastLinesAreLookedForInABound: however long the file is.
func TestLastLinesAreLookedForInABound(t *testing.T) {
	const mega, huge = 1 << 20, 300 << 30
	for n, want := range map[int]int64{1: mega, 20: 20 * mega, 64: 64 * mega, 1000: 64 * mega, 16 << 10: 64 * mega, 1 << 20: 4 << 30, math.MaxInt: 4 << 50} {
		if got := reach(n); got != want {
			t.Errorf("%d lines are looked for in %d bytes, want %d", n, got, want)
		}
	}
	for _, n := range []int{1, 2, 65} {
		z := &zeros{}
		from, err := lastLines(t.Context(), z, huge, n)
		if want := reach(n); err != nil || z.read != want || from != huge-want {
			t.Errorf("%d lines: from %d, %v, after %d bytes", n, from, err, z.read)
		}
	}
	z := &zeros{}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := lastLines(ended, z, huge, 1); !errors.Is(err, context.Canceled) || z.read > 0 {
		t.Errorf("when nobody waits for it: %v, after %d bytes", err, z.read)
	}
	// What is whole is shown, and of one long line the end.
	long := strings.Repeat("x", 3*mega)
	for text, want := range map[string]string{
		long + "\nb\nc\n": "b\nc\n",
		long + "\n":       long[:3*mega-1] + "\n",
	} {
		from, err := lastLines(t.Context(), strings.NewReader(text), int64(len(text)), 3)
		if err != nil || text[from:] != want {
			t.Errorf("%d bytes: got %d of them, %v, want %d", len(text), len(text[from:]), err, len(want))
		}
	}
}

// TestHolesAreLeftOut: they take no time, before lines and behind them, in what is there
// and in what comes.
func TestHolesAreLeftOut(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only some systems tell where holes are")
	}
	const hole = 1 << 40
	d := newDesk(t)
	f := d.write("out", "first\n")
	d.open("out")
	// What surrounds a hole may be shown with it, as blocks are.
	shows := func(want string) {
		t.Helper()
		for fresh := d.tail.look(); len(fresh) > 0; fresh = d.tail.look() {
			d.tail.show(t.Context(), fresh)
		}
		if got := strings.ReplaceAll(d.got.String(), "\x00", ""); got != want || d.got.Len() > 256<<10 {
			t.Errorf("got %q in %d bytes, want %q", got, d.got.Len(), want)
		}
		d.got.Reset()
	}
	d.must(f.Truncate(hole))
	d.say(f, "last\n")
	d.must(d.tail.Last(t.Context(), 1))
	shows("last\n")
	d.must(f.Truncate(2 * hole))
	d.say(f, "what comes\n")
	shows("what comes\n")
	d.must(f.Truncate(3 * hole))
	shows("")
	d.must(d.tail.Last(t.Context(), 1))
	shows("")
	// Zeros that somebody has written are none.
	d.must(f.Truncate(0))
	d.shows("")
	written := strings.Repeat("\x00", 100_000) + "\n"
	d.say(f, written)
	d.shows(written)
}

// TestShownUntilTheContextEnds: what is there is no reason to go on.
func TestShownUntilTheContextEnds(t *testing.T) {
	text := strings.Repeat("line\n", 1<<20)
	for name, do := range map[string]func(tail *Tail, ctx context.Context) error{
		"last":   func(tail *Tail, ctx context.Context) error { return tail.Last(ctx, 1<<20) },
		"follow": func(tail *Tail, ctx context.Context) error { return tail.Follow(ctx, nil, nil) },
	} {
		d := newDesk(t)
		d.write("out", text)
		d.open("out")
		ctx, stop := context.WithCancel(t.Context())
		out := &stopper{text: "line\n", stop: stop}
		d.tail.out = out
		err := do(d.tail, ctx)
		if want := name == "last"; errors.Is(err, context.Canceled) != want || out.Len() > 64<<10 {
			t.Errorf("%s: %v, after %d bytes", name, err, out.Len())
		}
	}
}

// FuzzLastLines compares with lines that are cut from the front.
func FuzzLastLines(f *testing.F) {
	f.Add("a\nb\nc", 2)
	f.Add("\n\n", 1)
	f.Add(strings.Repeat("x", 1<<16)+"\n", 1)
	f.Add(strings.Repeat("\n", 1<<16), 1<<16-1)
	f.Fuzz(func(t *testing.T, text string, n int) {
		want := slices.Collect(strings.Lines(text))
		want = want[max(0, len(want)-max(n, 0)):]
		from, err := lastLines(t.Context(), strings.NewReader(text), int64(len(text)), n)
		if got := text[min(from, int64(len(text))):]; err != nil || got != strings.Join(want, "") {
			t.Errorf("%d lines of %q: got %q, %v", n, text, got, err)
		}
	})
}

// TestHead goes through all that can be with two files: which of them the last head
// named, which have something new, and whether there was a pause.
func TestHead(t *testing.T) {
	const (
		none, out, err, both = "", "0", "1", "01"
		no                   = "-" // no head
	)
	for _, tt := range []struct{ named, fresh, burst, paused string }{
		{none, out, out, out},
		{none, err, err, err},
		{none, both, both, both},
		{out, out, no, no},
		{out, err, both, err},
		{out, both, both, both},
		{err, out, both, out},
		{err, err, no, no},
		{err, both, both, both},
		{both, out, no, out},
		{both, err, no, err},
		{both, both, no, no},
	} {
		named := func(s string) []bool { return []bool{strings.Contains(s, "0"), strings.Contains(s, "1")} }
		var fresh []int
		for i, is := range named(tt.fresh) {
			if is {
				fresh = append(fresh, i)
			}
		}
		for paused, want := range map[bool]string{false: tt.burst, true: tt.paused} {
			now, due := head(named(tt.named), fresh, paused)
			wantNow := named(want)
			if want == no {
				wantNow = named(tt.named)
			}
			if due != (want != no) || !slices.Equal(now, wantNow) {
				t.Errorf("named %q, new %q, pause %t: got %v, %t, want %s", tt.named, tt.fresh, paused, now, due, want)
			}
		}
	}
}

// TestHeadsOfManyFiles: no line stands below a head that does not name its file, and in
// what comes without a pause there are no more heads than files, whoever writes when.
func TestHeadsOfManyFiles(t *testing.T) {
	const files = 3
	var all [][]int // what can be new
	for set := 1; set < 1<<files; set++ {
		var fresh []int
		for i := range files {
			if set&(1<<i) != 0 {
				fresh = append(fresh, i)
			}
		}
		all = append(all, fresh)
	}
	var try func(named []bool, before [][]int, heads int)
	try = func(named []bool, before [][]int, heads int) {
		if heads > files {
			t.Fatalf("%d heads in %v", heads, before)
		}
		if len(before) == 5 {
			return
		}
		for _, fresh := range all {
			now, due := head(named, fresh, len(before) == 0)
			for _, i := range fresh {
				if !now[i] {
					t.Fatalf("behind %v: %v is not named by %v", before, fresh, now)
				}
			}
			n := heads
			if due {
				n++
			}
			try(now, append(slices.Clone(before), fresh), n)
		}
	}
	for set := range 1 << files {
		try([]bool{set&1 != 0, set&2 != 0, set&4 != 0}, nil, 0)
	}
}

// desk has two log files, and a Tail that is moved by hand.
type desk struct {
	t    *testing.T
	dir  string
	got  bytes.Buffer
	tail *Tail
	time time.Time
}

func newDesk(t *testing.T) *desk {
	return &desk{t: t, dir: t.TempDir(), time: time.Unix(1000, 0)}
}

// open begins to look at the files.
func (d *desk) open(names ...string) {
	d.t.Helper()
	var sources []Source
	for _, name := range names {
		sources = append(sources, Source{name, paths.Name{Path: d.path(name)}})
	}
	tail, err := Open(&d.got, sources)
	d.must(err)
	d.t.Cleanup(tail.Close)
	tail.now = func() time.Time { return d.time }
	d.tail = tail
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// write adds to a file, and returns it open as a daemon has it.
func (d *desk) write(name, text string) *os.File {
	d.t.Helper()
	f, err := os.OpenFile(d.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	d.must(err)
	d.t.Cleanup(func() { f.Close() })
	d.say(f, text)
	return f
}

func (d *desk) say(f *os.File, text string) {
	d.t.Helper()
	_, err := f.WriteString(text)
	d.must(err)
}

// shows looks once more, and until there is nothing new.
func (d *desk) shows(want string) {
	d.t.Helper()
	for {
		fresh := d.tail.look()
		if len(fresh) == 0 {
			break
		}
		d.tail.show(d.t.Context(), fresh)
	}
	if got := d.got.String(); got != want {
		d.t.Errorf("got %q, want %q", got, want)
	}
	d.got.Reset()
}

func TestFollowOneFile(t *testing.T) {
	d := newDesk(t)
	d.open("out") // which is not there yet
	d.shows("")
	old := d.write("out", "first\n")
	d.shows("first\n")
	d.say(old, "half")
	d.shows("half")
	d.say(old, " a line\n")
	d.shows(" a line\n")

	// Renamed, and another one made: who has the old one open writes to it for a while.
	d.must(os.Rename(d.path("out"), d.path("out.1")))
	d.shows("")
	d.say(old, "renamed\n")
	d.shows("renamed\n")
	next := d.write("out", "")
	d.shows("")
	d.say(old, "and another one is there\n")
	d.shows("and another one is there\n")
	d.say(old, "last of the old\n")
	d.say(next, "first of the new\n")
	d.shows("last of the old\nfirst of the new\n")

	// Removed meanwhile.
	d.must(os.Remove(d.path("out")))
	d.say(next, "removed\n")
	d.shows("removed\n")
	d.must(os.Remove(d.path("out.1")))
	next = d.write("out", "again\n")
	d.shows("again\n")

	// Truncated, and rotated by copying.
	d.must(os.Truncate(d.path("out"), 0))
	d.shows("")
	d.say(next, "short\n")
	d.shows("short\n")
	d.must(os.Truncate(d.path("out"), 0))
	d.say(next, "less\n")
	d.shows("less\n")

	// Something else in its place is left alone.
	d.must(os.Rename(d.path("out"), d.path("out.1")))
	d.must(os.Mkdir(d.path("out"), 0o700))
	d.say(next, "not a directory\n")
	d.shows("not a directory\n")
	d.must(os.Remove(d.path("out")))
	d.must(os.RemoveAll(d.dir))
	d.say(next, "its directory has gone\n")
	d.shows("its directory has gone\n")
	d.must(os.Mkdir(d.dir, 0o700))
	d.write("out", "all is back\n")
	d.shows("all is back\n")
}

func TestFollowManyFiles(t *testing.T) {
	d := newDesk(t)
	out, err := d.write("out", "o1\no2\n"), d.write("err", "e1\n")
	d.open("out", "err")
	d.must(d.tail.Last(t.Context(), 1))
	d.shows("==> out <==\no2\n\n==> err <==\ne1\n")

	// In turns, without a pause.
	d.say(err, "e2\n")
	d.shows("e2\n")
	want := "\n==> out, err <==\n"
	for i := range 3 {
		d.time = d.time.Add(timing.BurstEnds - 1)
		d.say(out, fmt.Sprint("o", i, "\n"))
		d.shows(fmt.Sprint(want, "o", i, "\n"))
		want = ""
		d.say(err, fmt.Sprint("e", i, "\n"))
		d.shows(fmt.Sprint("e", i, "\n"))
	}
	d.time = d.time.Add(timing.BurstEnds)
	d.say(err, "e\n")
	d.shows("\n==> err <==\ne\n")
	d.time = d.time.Add(timing.BurstEnds)
	d.say(err, "e\n")
	d.shows("e\n")
	d.say(out, "o\n")
	d.say(err, "e\n")
	d.shows("\n==> out, err <==\no\ne\n")

	// What has no end yet shares no line with another file's, nor with a head or a mark.
	d.say(out, "half")
	d.shows("half")
	d.say(err, "e\n")
	d.shows("\ne\n")
	d.say(out, "rest")
	d.shows("rest")
	d.tail.mark("-- started --")
	d.say(out, "o\n")
	d.shows("\n-- started --\n\n==> out <==\no\n")
}

// stopper ends a context when a text was written.
type stopper struct {
	bytes.Buffer
	text string
	stop func()
}

func (s *stopper) Write(b []byte) (int, error) {
	n, err := s.Buffer.Write(b)
	if strings.Contains(s.String(), s.text) {
		s.stop()
	}
	return n, err
}

// TestNewsStandBeforeWhatComesAfter: between what was there when they were asked for and
// what was shown before. What was there when somebody ended is shown before them.
func TestNewsStandBeforeWhatComesAfter(t *testing.T) {
	d := newDesk(t)
	f := d.write("out", "")
	d.open("out")
	ctx, stop := context.WithCancel(t.Context())
	out := &stopper{text: "third\n", stop: stop}
	d.tail.out = out
	woken := make(chan struct{}, 1)
	asked := 0
	err := d.tail.Follow(ctx, woken, func() []string {
		asked++
		switch asked {
		case 1:
			d.say(f, "first\n") // after the files were looked at
			return nil
		case 2:
			d.say(f, "last words\n")
			woken <- struct{}{}
			return []string{"-- one --", "-- two --"}
		case 3:
			d.say(f, "third\n")
			return []string{"-- three --"}
		}
		return nil
	})
	want := "-- one --\n-- two --\nfirst\nlast words\n-- three --\nthird\n"
	if got := out.String(); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestFollowEndsWhileMuchIsWritten: a file that grows faster than it is shown keeps
// nobody.
func TestFollowEndsWhileMuchIsWritten(t *testing.T) {
	d := newDesk(t)
	f := d.write("out", "")
	d.open("out")
	ctx, stop := context.WithCancel(t.Context())
	out := &stopper{text: "line\nline\n", stop: stop}
	d.tail.out = out
	if err := d.tail.Follow(ctx, nil, func() []string { d.say(f, "line\n"); return nil }); err != nil {
		t.Error(err)
	}
}

// TestOnlyRegularFiles: neither a FIFO nor a device holds anybody up.
func TestOnlyRegularFiles(t *testing.T) {
	var got []string
	for _, path := range []string{t.TempDir(), os.DevNull} {
		_, err := Open(nil, []Source{{"out", paths.Name{Path: path}}})
		if err == nil {
			t.Errorf("%s is opened", path)
			continue
		}
		got = append(got, strings.TrimPrefix(err.Error(), "open "+path+": "))
	}
	if want := []string{"is not a regular file", "is not a regular file"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}
