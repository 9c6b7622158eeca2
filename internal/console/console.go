// Package console prints for the product: every line that an operator
// reads on a terminal, in a pipe or in a log comes from here, so that there is
// one place that knows how such a line looks. The lines are those of SPEC 2:
//
//	Starting foo ... FAILED
//	ERROR: Child exited immediately with exit code 42
//	reason: listen tcp :80: bind: permission denied
//	stderr: 2026/11/22 15:04:05 listening on :80
//	hint: Run as root, or choose a port above 1023.
//
// What a line says is for the caller to decide, who knows whether it begins with a word
// to [Capitalize] or with a name. Much of it was said by others, such
// as a daemon that died: whatever it was, it is text when it comes out of here,
// and can neither drive the terminal nor pass itself off as another line.
//
// # Colour
//
// Each of the two streams decides for itself, when the Console is made. The
// first of these that has an opinion wins: [Options].Color; NO_COLOR (if not
// empty: none); CLICOLOR_FORCE, then FORCE_COLOR (if neither empty nor 0:
// colour); TERM empty or dumb (none); CLICOLOR=0 (none); whether the stream is
// a terminal. Only the 16 colours of ANSI are used, those that a user's theme
// is made for.
//
// # The journal
//
// Where JOURNAL_STREAM names the stream, errors and their reasons, and warnings, have a
// priority before each line, as sd-daemon(3) has it.
//
// # Waiting
//
// On a terminal, what takes longer than half a second shows for how long it has
// been going on, at the end of its line; the line is as in SPEC when it ends.
// This uses carriage return and "erase to end of line" and never asks the
// terminal anything: one that does not answer would hold up the program.
//
// # Closed pipes
//
// Write errors do not change what a Console does; the first is kept for
// [Console.Err]. A Console that writes to descriptor 1 or 2 survives its reader;
// see [Steady].
package console

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Color says whether to write colours.
type Color int

const (
	Auto   Color = iota // as the environment and the stream suggest
	Always              // also into files and pipes
	Never               // not even on a terminal
)

// Options are where a Console writes and what it goes by.
type Options struct {
	Out, Err io.Writer // nil: nothing is written
	Color    Color
	Getenv   func(string) string // nil: os.Getenv; asked in New only
	Now      func() time.Time    // nil: time.Now
}

// Console writes the lines. Its methods are safe for concurrent use, and each
// line is one write.
type Console struct {
	mu       sync.Mutex
	out, err stream
	together bool // what is written to err appears behind what is written to out
	now      func() time.Time
	begun    *begun
	werr     error
}

type stream struct {
	w     io.Writer
	color bool
	tty   *os.File // nil if it is not a terminal
	indic bool     // a terminal that can take a line back

	journal bool // systemd reads it line by line, each with a priority of its own
}

// begun is a line that Begin opened and End has not closed.
type begun struct {
	text    string
	since   time.Time
	open    bool          // the cursor is at its end
	waiting bool          // the indicator is shown there
	stop    chan struct{} // closed to end the indicator's goroutine; nil: there is none
	done    chan struct{} // closed when it has ended
}

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
	erase  = "\x1b[K" // from the cursor to the end of the line
)

// New returns a Console. It holds no resources; there is nothing to close.
func New(o Options) *Console {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Out, o.Err = Steady(o.Out), Steady(o.Err)
	c := &Console{now: o.Now, out: newStream(o.Out, &o), err: newStream(o.Err, &o)}
	c.together = c.out.tty != nil && c.err.tty != nil || sameFile(o.Out, o.Err)
	return c
}

func newStream(w io.Writer, o *Options) stream {
	if w == nil {
		return stream{w: io.Discard}
	}
	s := stream{w: w, tty: terminal(w)}
	s.color = colored(o.Color, o.Getenv, s.tty != nil)
	s.indic = s.tty != nil && !dumb(o.Getenv)
	if f, ok := w.(*os.File); ok {
		s.journal = journal(f, o.Getenv("JOURNAL_STREAM"))
	}
	return s
}

// Priorities of sd-daemon(3).
const (
	priorityError   = "<3>"
	priorityWarning = "<4>"
)

// mark puts the priority before each line that goes to the journal.
func (s *stream) mark(priority, text string) string {
	if !s.journal {
		return text
	}
	return priority + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+priority) + "\n"
}

// terminal returns w if it is one.
func terminal(w io.Writer) *os.File {
	f, _ := w.(*os.File)
	is := false
	onFD(f, func(fd int) { is = term.IsTerminal(fd) })
	if !is {
		return nil
	}
	return f
}

// onFD calls fn with the descriptor of f, if it has one. Not by way of f.Fd,
// which has been known to change the mode of the file.
func onFD(f *os.File, fn func(fd int)) {
	if f == nil {
		return
	}
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { fn(int(fd)) }) // fails if closed: then nothing is known
	}
}

func dumb(getenv func(string) string) bool {
	t := getenv("TERM")
	return t == "" || t == "dumb"
}

// colored is the rule that the package comment tells.
func colored(c Color, getenv func(string) string, tty bool) bool {
	forced := func(name string) bool { v := getenv(name); return v != "" && v != "0" }
	switch {
	case c == Always:
		return true
	case c == Never:
		return false
	case getenv("NO_COLOR") != "":
		return false
	case forced("CLICOLOR_FORCE"), forced("FORCE_COLOR"):
		return true
	case dumb(getenv), getenv("CLICOLOR") == "0":
		return false
	}
	return tty
}

// sameFile reports whether two streams end in the same place, as after 2>&1.
func sameFile(a, b io.Writer) bool {
	fa, aok := a.(*os.File)
	fb, bok := b.(*os.File)
	if aok && bok && fa != nil && fb != nil {
		ia, aerr := fa.Stat()
		ib, berr := fb.Stat()
		return aerr == nil && berr == nil && os.SameFile(ia, ib)
	}
	return !aok && !bok && a != nil && sameValue(a, b)
}

// sameValue compares writers of which the type may not be comparable.
func sameValue(a, b io.Writer) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}

// Err returns the first error of a write, or nil.
func (c *Console) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.werr
}

func (c *Console) writeLocked(s *stream, text string) {
	if _, err := io.WriteString(s.w, text); err != nil && c.werr == nil {
		c.werr = err
	}
}

func (s *stream) paint(escape, text string) string {
	if !s.color {
		return text
	}
	return escape + text + reset
}

func (s *stream) verdict(ok bool) string {
	if ok {
		return s.paint(green, "OK")
	}
	return s.paint(red, "FAILED")
}

// Begin opens a line for something that takes time: "Starting foo ... ". End
// closes it. What is written in between does not end up in it: the line is then
// left as it is, and End writes it anew.
func (c *Console) Begin(text string) {
	c.mu.Lock()
	previous := c.begun
	c.leaveLineLocked(&c.out)
	b := &begun{text: text, since: c.now(), open: true}
	c.begun = b
	c.writeLocked(&c.out, b.line(""))
	if c.out.indic {
		b.stop, b.done = make(chan struct{}), make(chan struct{})
		go c.wait(b)
	}
	c.mu.Unlock()
	previous.join()
}

// End closes the line that Begin opened, with OK or FAILED. Without such a line
// it does nothing. When it returns, no goroutine of the Console is left.
func (c *Console) End(ok bool) {
	c.mu.Lock()
	b := c.begun
	if b != nil {
		word := c.out.verdict(ok)
		switch {
		case b.waiting:
			word = "\r" + erase + b.line(word)
		case !b.open:
			word = b.line(word)
		}
		c.begun = nil
		b.halt()
		c.writeLocked(&c.out, word+"\n")
	}
	c.mu.Unlock()
	b.join()
}

// Done writes a line as Begin and End do, in one piece: for something that is over, where
// others write as well.
func (c *Console) Done(text string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLineLocked(&c.out)
	c.writeLocked(&c.out, (&begun{text: text}).line(c.out.verdict(ok))+"\n")
}

func (b *begun) line(end string) string { return b.text + " ... " + end }

// halt tells the indicator to end. Under the mutex, so that it happens once.
func (b *begun) halt() {
	if b.stop != nil {
		close(b.stop)
		b.stop = nil
	}
}

// join waits until the indicator has ended. Not under the mutex, which the
// indicator may be waiting for.
func (b *begun) join() {
	if b != nil && b.done != nil {
		<-b.done
	}
}

// leaveLineLocked moves on from a line that Begin opened, before something else
// is written to s.
func (c *Console) leaveLineLocked(s *stream) {
	b := c.begun
	if b == nil || !b.open || s != &c.out && !c.together {
		return
	}
	end := "\n"
	if b.waiting {
		end = "\r" + erase + strings.TrimSuffix(b.line(""), " ") + "\n"
	}
	b.open, b.waiting = false, false
	b.halt()
	c.writeLocked(&c.out, end)
}

// When the indicator appears, and how often it changes.
const (
	patience = 500 * time.Millisecond
	pace     = time.Second
)

// wait is the indicator's goroutine.
func (c *Console) wait(b *begun) {
	defer close(b.done)
	c.mu.Lock()
	stop := b.stop
	c.mu.Unlock()
	if stop == nil {
		return
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		c.mu.Lock()
		if !b.open || c.begun != b {
			c.mu.Unlock()
			return
		}
		waited := max(0, c.now().Sub(b.since))
		c.drawLocked(b, waited)
		c.mu.Unlock()
		// The next change of what is shown, not one pace from now: else the
		// seconds would drift and one would be left out.
		t.Reset(pace - waited%pace)
	}
}

// drawLocked shows how long the line has been waited for.
func (c *Console) drawLocked(b *begun, waited time.Duration) {
	line := b.line(elapsed(waited))
	// In a line that has wrapped, carriage return does not lead back to its
	// beginning. The size is asked for each time, since windows are resized.
	if w := c.out.width(); cells(line) >= w {
		return
	}
	b.waiting = true
	c.writeLocked(&c.out, "\r"+line+erase)
}

// width returns the number of columns, 0 if it is not known.
func (s *stream) width() (w int) {
	onFD(s.tty, func(fd int) {
		if n, _, err := term.GetSize(fd); err == nil {
			w = n
		}
	})
	return w
}

// cells returns how many columns the text takes at most. There are tables for
// the exact number; terminals do not agree on them.
func cells(text string) int {
	n := 0
	for _, r := range text {
		switch {
		case r < ' ' || r == 0x7f:
			return int(^uint(0) >> 1) // a tab, an escape: anything
		case r < 0x7f:
			n++
		default:
			n += 2
		}
	}
	return n
}

// elapsed is "<1s", "3s", "1m 5s", "2h 0m".
func elapsed(d time.Duration) string {
	s := int(d / time.Second)
	switch {
	case s < 1:
		return "<1s"
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm %ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh %dm", s/3600, s/60%60)
}

// Line writes a plain line to out.
func (c *Console) Line(text string) { c.say(&c.out, text+"\n") }

// Raw writes the text to out as it is.
func (c *Console) Raw(text string) { c.say(&c.out, text) }

// Error writes an "ERROR: " line to err, red. Further lines of the text are indented.
func (c *Console) Error(text string) {
	c.say(&c.err, c.err.mark(priorityError, c.err.block(red, "ERROR: ", text)))
}

// Warn writes a "WARNING: " line to err, yellow.
func (c *Console) Warn(text string) {
	c.say(&c.err, c.err.mark(priorityWarning, c.err.block(yellow, "WARNING: ", text)))
}

// Reason writes a "reason: " line to err: what is behind the error before it.
// Further lines are indented.
func (c *Console) Reason(text string) {
	c.say(&c.err, c.err.mark(priorityError, c.err.block("", "reason: ", text)))
}

// Hint writes a "hint: " line to err: what the operator can do about it.
func (c *Console) Hint(text string) { c.say(&c.err, c.err.block("", "hint: ", text)) }

// Stderr writes the last ten of these lines to err, each as a "stderr: " line:
// what a daemon had to say before it died.
func (c *Console) Stderr(lines []string) {
	if text := outputLines("stderr: ", lines); text != "" {
		c.say(&c.err, text)
	}
}

// Stdout is the same for what it said on its other stream, as "stdout: " lines.
func (c *Console) Stdout(lines []string) {
	if text := outputLines("stdout: ", lines); text != "" {
		c.say(&c.err, text)
	}
}

func (c *Console) say(s *stream, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLineLocked(s)
	c.writeLocked(s, text)
}

// Limits for text of which we do not know who wrote it and why.
const (
	maxLines       = 20   // of a reason, an error, a hint
	maxRunes       = 1000 // of each of them
	maxStderrLines = 10
	maxStderrRunes = 500
)

// block formats text that is meant to be one line, and sometimes is not. Only
// the first line begins at the margin, so that no text can pass for a line of
// another kind.
func (s *stream) block(escape, label, text string) string {
	var b strings.Builder
	lines := splitLines(text)
	if len(lines) == 0 {
		lines = []string{""}
	}
	more := len(lines) - maxLines
	if more > 0 {
		lines = lines[:maxLines]
	}
	for i, line := range lines {
		line = sanitize(line, maxRunes)
		switch {
		case i == 0:
			line = label + line
		case line != "":
			line = "  " + line
		}
		if escape != "" && line != "" {
			line = s.paint(escape, line)
		}
		b.WriteString(line + "\n")
	}
	if more > 0 {
		fmt.Fprintf(&b, "  (%d more lines)\n", more)
	}
	return b.String()
}

func outputLines(label string, lines []string) string {
	// Each is one line in the eyes of the caller, but it may not be: it comes
	// from a file that anything may have been written to.
	all := splitLines(strings.Join(lines, "\n"))
	all = all[max(0, len(all)-maxStderrLines):]
	var b strings.Builder
	for _, line := range all {
		b.WriteString(strings.TrimRight(label+sanitize(line, maxStderrRunes), " ") + "\n")
	}
	return b.String()
}

// splitLines splits at line ends of all kinds and drops empty lines at the
// beginning and the end.
func splitLines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.Trim(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// sanitize makes a line harmless: what is not printable is shown as Go would
// write it in a string, colours (which many programs log in) are left out, and
// what is not UTF-8 becomes the replacement character. A tab stays. The text is
// cut after limit characters.
func sanitize(line string, limit int) string {
	var b strings.Builder
	n := 0
	for i := 0; i < len(line); {
		if skip := colorSequence(line[i:]); skip > 0 {
			i += skip
			continue
		}
		if n++; n > limit {
			b.WriteString("...")
			break
		}
		var r rune
		for _, r = range line[i:] { // just the first; RuneError for what is none
			break
		}
		size := len(string(r))
		if r == unicode.ReplacementChar && !strings.HasPrefix(line[i:], "\uFFFD") {
			size = 1
		}
		i += size
		if r == '\t' || harmless(r) {
			b.WriteRune(r)
			continue
		}
		quoted := fmt.Sprintf("%+q", r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// harmless reports whether a terminal shows the character and does nothing
// else. The characters that change the direction of the text around them do
// something else.
func harmless(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d' // Persian and emoji need them
	return strconv.IsPrint(r) || unicode.Is(unicode.Zs, r) || r == nonJoiner || r == joiner
}

// Shows reports whether a terminal shows the text, on one line, and does nothing else.
func Shows(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !harmless(r) }) < 0
}

// colorSequence returns the length of the escape sequence for colours and the
// like that s begins with, 0 if it does not.
func colorSequence(s string) int {
	rest, ok := strings.CutPrefix(s, "\x1b[")
	if !ok {
		return 0
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r != ';' && r != ':' && (r < '0' || r > '9') })
	if end < 0 || rest[end] != 'm' {
		return 0
	}
	return len("\x1b[") + end + len("m")
}

// Capitalize makes the first letter upper-case, or rather title-case, if the
// text begins with an ordinary word. A path, a quoted name, an option, an
// acronym, a word in mixed case or with digits is somebody's name, and is left
// alone. What is not ASCII is judged by its case alone: the tables of what is a
// letter, which many scripts have without a case, would be 8 KB.
func Capitalize(s string) string {
	word := s
	if i := strings.IndexFunc(s, unicode.IsSpace); i >= 0 {
		word = s[:i]
	}
	word = strings.TrimRight(word, ":;,.!?")
	first, size := rune(0), 0
	for i, r := range word {
		inner := r == '-' || r == '\'' || r == '\u2019' // re-exec, can't
		switch {
		case r == unicode.ReplacementChar:
			return s
		case i == 0:
			if unicode.ToUpper(r) == r {
				return s
			}
			first, size = r, len(string(r))
		case r < utf8.RuneSelf && (r < 'a' || r > 'z') && !inner, unicode.ToLower(r) != r:
			return s
		}
	}
	if size == 0 {
		return s
	}
	return string(unicode.ToTitle(first)) + s[size:]
}
