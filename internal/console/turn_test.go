package console

import (
	"bytes"
	"os"
	"sync"
	"testing"
)

// However they speak at the same time, they are heard one after the other.
func TestTurns(t *testing.T) {
	turns := []*Turn{NewTurn(), NewTurn(), NewTurn()}
	var speakers sync.WaitGroup
	for i, turn := range turns {
		speakers.Go(func() {
			defer turn.Done()
			name := string(rune('a' + i))
			turn.Warn(name + " is late")
			turn.Begin("Starting " + name)
			for range 100 { // more than a turn remembers
				turn.Line(name)
			}
			turn.End(i != 1)
			turn.Error(name + " is ill")
			turn.Reason("r")
			turn.Hint("h")
			turn.Stderr([]string{"s"})
		})
	}
	var out, errs bytes.Buffer
	c := New(Options{Out: &out, Err: &errs, Getenv: func(string) string { return "" }})
	for _, turn := range turns {
		turn.Play(c)
	}
	speakers.Wait()
	var wantOut, wantErrs string
	for i, end := range []string{"OK", "FAILED", "OK"} {
		name := string(rune('a' + i))
		wantOut += "Starting " + name + " ... \n"
		for range 100 {
			wantOut += name + "\n"
		}
		wantOut += "Starting " + name + " ... " + end + "\n"
		wantErrs += "WARNING: " + name + " is late\nERROR: " + name + " is ill\nreason: r\nhint: h\nstderr: s\n"
	}
	if out.String() != wantOut || errs.String() != wantErrs {
		t.Errorf("got\n%s%swant\n%s%s", &out, &errs, wantOut, wantErrs)
	}
}

func TestWidthOffATerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if a, b := Width(f), Width(&bytes.Buffer{}); a != 80 || b != 80 {
		t.Errorf("got %d and %d columns, want 80", a, b)
	}
}
