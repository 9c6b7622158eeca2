package attempt

import (
	"bytes"
	"io"
	"os"

	"github.com/daemonocle/daemonocle/internal/launch"
)

// maxTail is how much of the end of the daemon's stderr is looked at.
const maxTail = 64 << 10

// Log is a file to which a daemon writes.
type Log struct {
	Path     string
	Identity string // which file that is; see launch.Identity
	From     int64  // its length when the daemon opened it
}

// Open opens the file that the daemon has opened; nil if that cannot be.
func (g *Log) Open() *os.File {
	// By now it may be a FIFO, at which a plain open would wait for a writer.
	f, err := os.OpenFile(g.Path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil
	}
	if launch.Identity(f) != g.Identity {
		f.Close()
		return nil // the directory may be the service's own: another file is not for us to show
	}
	return f
}

// tail is the end of what was written to it in this launch.
func (g *Log) tail() string {
	f := g.Open()
	if f == nil {
		return ""
	}
	defer f.Close()
	return tail(f, g.From)
}

// Last are the last lines that were written to it in this launch.
func (g *Log) Last() []string {
	lines := linesOf(g.tail())
	return lines[max(len(lines)-shown, 0):]
}

// tail reads from the offset, or the last maxTail bytes.
func tail(r io.ReaderAt, from int64) string {
	size := from
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
	}
	from = max(from, size-maxTail)
	var b bytes.Buffer
	b.ReadFrom(io.NewSectionReader(r, from, size-from))
	return b.String()
}

// output is the end of what the daemon wrote to stderr in this launch.
func (a *Attempt) output() string {
	s := tail(a.Launch.Output(), 0)
	if a.Stderr == nil {
		return s
	}
	return s + a.Stderr.tail()
}

// LastLines are what to show of what the daemon wrote to stderr in this launch.
func (a *Attempt) LastLines() []string {
	_, lines := explain(a.output())
	return lines
}
