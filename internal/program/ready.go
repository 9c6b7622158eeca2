package program

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/timing"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// Probe is one way of being ready.
type Probe interface {
	// suits refuses the plan of a daemon that it cannot work with. The setting is always Worker.
	suits(*plan.Plan) *plan.Problem
}

// Notify waits for READY=1 on a socket of the launcher's.
func Notify() Probe { return &notifyProbe{} }

// Ask waits until ask, which is called again and again, returns nil.
func Ask(what string, ask func(context.Context) error) Probe { return &askProbe{what, ask} }

// Socket waits until a stream socket accepts a connection.
func Socket(network, address string) Probe {
	return Ask(address, func(ctx context.Context) error {
		limit, stop := context.WithTimeout(ctx, timing.ProbeAnswers)
		defer stop()
		c, err := new(net.Dialer).DialContext(limit, network, address)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// Line waits for a line in the log files that matches.
func Line(pattern interface{ MatchString(string) bool }) Probe { return &lineProbe{pattern} }

type notifyProbe struct{}

func (*notifyProbe) suits(*plan.Plan) *plan.Problem {
	if err := sdnotify.CanListen(); err != nil {
		return &plan.Problem{Err: err}
	}
	return nil
}

type askProbe struct {
	what string
	ask  func(context.Context) error
}

func (p *askProbe) suits(*plan.Plan) *plan.Problem {
	if p.ask == nil {
		return &plan.Problem{Value: p.what, Err: errors.New("cannot be waited for without a probe"), Hint: "give ReadyWhen a function"}
	}
	return nil
}

func (p *askProbe) ready(ctx context.Context) bool {
	return usercode.Call("readiness probe", func() error { return p.ask(ctx) }) == nil
}

type lineProbe struct {
	pattern interface{ MatchString(string) bool }
}

func (p *lineProbe) suits(own *plan.Plan) *plan.Problem {
	if p.pattern == nil {
		return &plan.Problem{Err: errors.New("waits for a line, but no pattern says which"), Hint: "give ReadyLine a pattern"}
	}
	if own.Stdout == nil && own.Stderr == nil {
		return &plan.Problem{Err: errors.New("waits for a line, but nothing is written to a file"),
			Hint: "set one of " + own.Setting("StdoutFile", "StderrFile")}
	}
	return nil
}

// follower reads the lines that are added to a log file. It is none of internal/logtail, which
// follows a name: over rotations, to whatever file has the name, and at its own pace, for a reader.
// This one reads no file but the one that the daemon has opened, and looks when it is asked.
type follower struct {
	f    *os.File
	at   int64
	rest string // an unfinished line
}

// follow opens the file that the daemon has opened; nil if that cannot be.
func follow(log *attempt.Log) *follower {
	f := log.Open()
	if f == nil {
		return nil
	}
	return &follower{f: f, at: log.From}
}

// maxLine is how much of an unfinished line is remembered.
const maxLine = 64 << 10

// has reports whether one of the lines that have come matches.
func (w *follower) has(matches func(string) bool) bool {
	b := make([]byte, maxLine)
	for {
		n, _ := w.f.ReadAt(b, w.at)
		if n == 0 {
			return false
		}
		w.at += int64(n)
		lines := strings.Split(w.rest+string(b[:n]), "\n")
		last := len(lines) - 1
		w.rest = lines[last][max(len(lines[last])-maxLine, 0):]
		for _, line := range lines[:last] {
			if matches(strings.TrimSuffix(line, "\r")) {
				return true
			}
		}
	}
}

// backOff calls try with growing pauses until it is done or ctx ends.
func backOff(ctx context.Context, try func() (done bool)) bool {
	for pause := time.Millisecond; !try(); pause = min(2*pause, 20*time.Millisecond) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
	return true
}
