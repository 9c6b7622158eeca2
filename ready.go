package daemonocle

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/sdnotify"
	"github.com/daemonocle/daemonocle/internal/usercode"
)

// Readiness is how a Program that knows nothing of this library shows that it is
// ready. With one, Start waits for it, up to StartTimeout. Where the program does not
// say so itself, with ReadyNotify, it must live on for another 100 ms: some listen
// before they go into the background, which a daemon must not.
type Readiness struct{ probe probe }

// probe is one way of being ready.
type probe interface {
	// suits refuses the settings of a daemon that it cannot work with.
	suits(d *Daemon) error
}

// ReadyNotify waits for READY=1 on a socket that the launcher listens on and the
// program finds in NOTIFY_SOCKET: the protocol of sd_notify(3). Only the daemon's
// process group is heard. After the start nobody listens there: what the
// program then sends is refused by the kernel, which clients of the protocol
// ignore.
func ReadyNotify() Readiness { return Readiness{&notifyProbe{}} }

// ReadySocket waits until a stream socket accepts a connection: "tcp" with
// "host:port", or "unix" with a path. If one does before the start, the start
// fails: whose connection would it be?
func ReadySocket(network, address string) Readiness {
	return ReadyWhen(address, func(ctx context.Context) error {
		limit, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		c, err := new(net.Dialer).DialContext(limit, network, address)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// ReadyWhen waits until probe returns nil. It is called again and again, in the
// launcher, at most 20 ms after it has failed; ctx ends with the waiting. What
// names it in messages. If it succeeds before the start, whose success would it
// be? The start then fails.
func ReadyWhen(what string, probe func(ctx context.Context) error) Readiness {
	return Readiness{&askProbe{what, probe}}
}

// ReadyLine waits for a line, on stdout or stderr, that matches. A *regexp.Regexp
// is such a pattern. It looks into the log files, of which there must be one;
// many programs write lines there only by the block, unless told otherwise.
func ReadyLine(pattern interface{ MatchString(line string) bool }) Readiness {
	return Readiness{&lineProbe{pattern}}
}

type notifyProbe struct{}

func (*notifyProbe) suits(*Daemon) error { return sdnotify.CanListen() }

type askProbe struct {
	what string
	ask  func(context.Context) error
}

func (p *askProbe) suits(*Daemon) error {
	if p.ask == nil {
		return &ConfigError{Setting: "Worker", Value: p.what, Err: errors.New("cannot be waited for without a probe"), Hint: "give ReadyWhen a function"}
	}
	return nil
}

func (p *askProbe) ready(ctx context.Context) bool {
	return usercode.Call("readiness probe", func() error { return p.ask(ctx) }) == nil
}

type lineProbe struct {
	pattern interface{ MatchString(string) bool }
}

func (p *lineProbe) suits(d *Daemon) error {
	if p.pattern == nil {
		return &ConfigError{Setting: "Worker", Err: errors.New("waits for a line, but no pattern says which"), Hint: "give ReadyLine a pattern"}
	}
	if d.plan.Stdout == nil && d.plan.Stderr == nil {
		return &ConfigError{Setting: "Worker", Err: errors.New("waits for a line, but nothing is written to a file"),
			Hint: "set one of " + d.plan.Setting("StdoutFile", "StderrFile")}
	}
	return nil
}

// follower reads the lines that are added to a log file.
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
