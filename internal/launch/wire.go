package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Kind says what a message means.
type Kind byte

// Messages of the launcher.
const (
	hello     Kind = iota + 'A'
	Cancel         // give the start up, unless ready was said already
	Release        // the verdict is given: let go of what is the launcher's
	Listening      // to the operator: from now on its end is no Ctrl-C
	Leaving        // a predecessor: it ends
	Go             // the daemon that was in the way is gone, or has let go
)

// Messages of the stage and the daemon.
const (
	spawned   Kind = iota + 'a' // PID: the daemon's
	exited                      // Code: wait status, from a stage that stays
	Claimed                     // the program reached its daemon
	Locked                      // the PID file is the daemon's
	Stderr                      // Code: length of the stderr file when it was opened
	Running                     // set up; the worker runs
	Ready                       // the worker said so
	Failed                      // set-up failed: Text, Hint, Code: errno
	Held                        // a daemon runs already: PID
	Blocked                     // a stranger's lock is in the way: Text, Hint, PID
	Reason                      // why the daemon ends: Text
	Stdout                      // like Stderr, of a daemon that becomes another program
	Executing                   // it becomes that now: the end of the wire means that it has
	Note                        // what it is doing: Text
	Waiting                     // it has come as far as it can beside another daemon
	Took                        // it has taken its predecessor's place: PID
	Told                        // to its keeper: what a service manager is to hear: Text
	Refused                     // set-up failed, in words of the program's own: as Failed
)

// Message is one packet between launcher and daemon. What PID and Code mean
// depends on the kind.
type Message struct {
	Kind Kind
	PID  int
	Code int
	Text string
	Hint string
}

// maxMessage keeps one message within a socket's buffer, so that writing it
// never waits for the other side. Longer texts are cut.
const (
	maxMessage = 32 << 10
	maxText    = maxMessage / 2
)

func (m Message) encode() []byte {
	text, hint := cut(m.Text, maxText), cut(m.Hint, maxMessage/4)
	b := make([]byte, 4, 64+len(text)+len(hint))
	b = append(b, byte(m.Kind))
	b = binary.AppendVarint(b, int64(m.PID))
	b = binary.AppendVarint(b, int64(m.Code))
	b = binary.AppendUvarint(b, uint64(len(text)))
	b = append(b, text...)
	b = append(b, hint...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}

// ErrMalformed is in the error of a Receive that has come to what is no message: it cannot be
// told where the next one begins.
var ErrMalformed = errors.New("malformed message")

// decode reads what follows the length.
func decode(b []byte) (Message, error) {
	if len(b) == 0 {
		return Message{}, ErrMalformed
	}
	m := Message{Kind: Kind(b[0])}
	b = b[1:]
	for _, p := range []*int{&m.PID, &m.Code} {
		v, n := binary.Varint(b)
		if n <= 0 || int64(int(v)) != v {
			return Message{}, ErrMalformed
		}
		*p, b = int(v), b[n:]
	}
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return Message{}, ErrMalformed
	}
	b = b[n:]
	m.Text, m.Hint = string(b[:size]), string(b[size:])
	return m, nil
}

// receive reads one message; io.EOF means that the other side is gone.
func receive(r io.Reader) (Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, eof(err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMessage {
		return Message{}, fmt.Errorf("%w: %d bytes", ErrMalformed, size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return Message{}, eof(err)
	}
	return decode(b)
}

// eof: a process that dies in the middle of a message has ended, no more.
func eof(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
