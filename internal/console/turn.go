package console

import "io"

// Turn is a place in the order in which several are heard who speak at the same
// time. It has the methods of a Console that writes lines; they are safe for
// concurrent use until Done.
type Turn struct{ lines chan func(*Console) }

// NewTurn returns a Turn that remembers what is said until Play. Of much more
// than an action has to say, the rest waits.
func NewTurn() *Turn { return &Turn{make(chan func(*Console), 64)} }

// Play says on the Console what was said, and what is said from now on, until
// Done.
func (t *Turn) Play(c *Console) {
	for line := range t.lines {
		line(c)
	}
}

// PlayWhile calls act, which speaks in these turns and ends each, and says meanwhile what they
// say, in their order. An error of act means that it has ended none.
func (c *Console) PlayWhile(turns []*Turn, act func() error) error {
	refused := make(chan error, 1)
	go func() {
		err := act()
		if err != nil {
			for _, t := range turns {
				t.Done()
			}
		}
		refused <- err
	}()
	for _, t := range turns {
		t.Play(c)
	}
	return <-refused
}

// Done: nothing more is said.
func (t *Turn) Done() { close(t.lines) }

func (t *Turn) Begin(text string)     { t.lines <- func(c *Console) { c.Begin(text) } }
func (t *Turn) End(ok bool)           { t.lines <- func(c *Console) { c.End(ok) } }
func (t *Turn) Line(text string)      { t.lines <- func(c *Console) { c.Line(text) } }
func (t *Turn) Error(text string)     { t.lines <- func(c *Console) { c.Error(text) } }
func (t *Turn) Warn(text string)      { t.lines <- func(c *Console) { c.Warn(text) } }
func (t *Turn) Reason(text string)    { t.lines <- func(c *Console) { c.Reason(text) } }
func (t *Turn) Hint(text string)      { t.lines <- func(c *Console) { c.Hint(text) } }
func (t *Turn) Stderr(lines []string) { t.lines <- func(c *Console) { c.Stderr(lines) } }
func (t *Turn) Stdout(lines []string) { t.lines <- func(c *Console) { c.Stdout(lines) } }

// Width is how many columns there are for what is written to w: those of a
// terminal, 80 off one.
func Width(w io.Writer) int {
	s := stream{tty: terminal(w)}
	if n := s.width(); n > 0 {
		return n
	}
	return 80
}
