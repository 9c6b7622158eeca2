// Package control lets an operator's process ask a running daemon to reload, and
// hear how that went.
//
// The daemon listens on an abstract Unix socket that is named after its PID file's
// device and inode: no file that could be in the way, be replaced or be left behind.
// Anybody may take such a name, so the asker requires that the peer is the process
// that holds the PID file's lock. The daemon answers root and its own user.
package control

import (
	"errors"
	"strconv"
	"strings"
)

// Request is what is asked for.
type Request struct {
	// Replace: a new process, even if the daemon could do without.
	Replace bool
}

// Answer is how it went.
type Answer struct {
	Err        string // empty: well
	Capital    bool   // Err begins with a word that a line capitalises
	PID        int    // of the daemon from now on
	Generation int
	Reason     string // the new process's own words
	Hint       string
	Stderr     []string // the last lines that it wrote
	Stopping   bool     // it was told to end meanwhile; what Err says does not matter then
}

// Errors of Ask.
var (
	// ErrNobody: nobody listens.
	ErrNobody = errors.New("the daemon does not listen")
	// ErrElsewhere: nobody listens, nor could the asker reach the daemon.
	ErrElsewhere = errors.New("the daemon is in another network namespace")
	// ErrCrowded: more wait to be heard than the listener has room for. Whether that is the daemon
	// cannot be told.
	ErrCrowded = errors.New("the queue before its name is full")
	// ErrStranger: somebody else has the daemon's name.
	ErrStranger = errors.New("another process answers in the daemon's name")
	// ErrUnanswered: the daemon has gone, or has handed over meanwhile.
	ErrUnanswered = errors.New("the daemon has not answered")
)

var errMalformed = errors.New("malformed message")

// maxMessage bounds what is read from the other side.
const maxMessage = 64 << 10

// encode makes one line: words, each quoted, with spaces between.
func encode(words ...string) []byte {
	var b []byte
	for _, w := range words {
		b = append(strconv.AppendQuote(b, w), ' ')
	}
	b[len(b)-1] = '\n'
	return b
}

func decode(line string) ([]string, error) {
	line, whole := strings.CutSuffix(line, "\n")
	if !whole {
		return nil, errMalformed
	}
	var words []string
	for {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil || quoted[0] != '"' {
			return nil, errMalformed
		}
		word, _ := strconv.Unquote(quoted)
		words = append(words, word)
		line = line[len(quoted):]
		if line == "" {
			return words, nil
		}
		if line[0] != ' ' {
			return nil, errMalformed
		}
		line = line[1:]
	}
}

const (
	ask     = "reload"
	replace = "replace"

	stopping = "stopping"
	capital  = "capital"
)

func (r Request) encode() []byte {
	if r.Replace {
		return encode(ask, replace)
	}
	return encode(ask)
}

func decodeRequest(line string) (Request, error) {
	words, err := decode(line)
	if err != nil || words[0] != ask {
		return Request{}, errMalformed
	}
	return Request{Replace: len(words) > 1 && words[1] == replace}, nil
}

func (a Answer) encode() []byte {
	state := ""
	switch {
	case a.Stopping:
		state = stopping
	case a.Capital:
		state = capital
	}
	words := append([]string{a.Err, strconv.Itoa(a.PID), strconv.Itoa(a.Generation), a.Reason, a.Hint, state}, a.Stderr...)
	for {
		b := encode(words...)
		if len(b) <= maxMessage {
			return b
		}
		for i, w := range words { // the beginning says most
			if len(w) > 100 {
				words[i] = w[:len(w)*3/4]
			}
		}
		if n := len(words); n > 100 {
			words = words[:n-1]
		}
	}
}

func decodeAnswer(line string) (Answer, error) {
	words, err := decode(line)
	if err != nil || len(words) < 6 {
		return Answer{}, errMalformed
	}
	a := Answer{Err: words[0], Reason: words[3], Hint: words[4], Stopping: words[5] == stopping, Capital: words[5] == capital}
	var bad [2]error
	a.PID, bad[0] = strconv.Atoi(words[1])
	a.Generation, bad[1] = strconv.Atoi(words[2])
	if errors.Join(bad[:]...) != nil {
		return Answer{}, errMalformed
	}
	if len(words) > 6 {
		a.Stderr = words[6:]
	}
	return a, nil
}
