package launch

import (
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

var messages = []Message{
	{Kind: hello, Text: "detached\x00comm\x00name\x00/run/name.pid\x00\x00"},
	{Kind: Cancel},
	{Kind: spawned, PID: 1},
	{Kind: exited, Code: 256},
	{Kind: Claimed, PID: math.MaxInt32},
	{Kind: Stderr, Code: math.MaxInt},
	{Kind: Failed, Code: 13, Text: "unable to open /x (permission denied)", Hint: "Run as root."},
	{Kind: Refused, Text: "banana"},
	{Kind: Held, PID: -1, Code: math.MinInt, Hint: "only a hint"},
	{Kind: Reason, Text: "two\nlines and \xff"},
}

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	var wire bytes.Buffer
	for _, m := range messages {
		wire.Write(m.encode())
	}
	// However the bytes are cut up on the way.
	r := iotest.OneByteReader(&wire)
	for _, want := range messages {
		if got, err := receive(r); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if m, err := receive(r); err != io.EOF {
		t.Errorf("got %+v, %v, want io.EOF", m, err)
	}
}

// A process may die within any message.
func TestCutMessageIsTheEnd(t *testing.T) {
	whole := messages[6].encode()
	for n := range whole {
		if m, err := receive(bytes.NewReader(whole[:n])); err != io.EOF {
			t.Errorf("after %d bytes: got %+v, %v, want io.EOF", n, m, err)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	long := strings.Repeat("x", 2*maxMessage)
	b := Message{Kind: Failed, Text: long, Hint: long}.encode()
	if len(b) > maxMessage {
		t.Errorf("got a message of %d bytes, want %d at most", len(b), maxMessage)
	}
	m, err := receive(bytes.NewReader(b))
	if err != nil || m.Text == "" || m.Hint == "" || !strings.HasPrefix(long, m.Text) || !strings.HasPrefix(long, m.Hint) {
		t.Errorf("got %d and %d bytes, %v, want the beginnings of both texts", len(m.Text), len(m.Hint), err)
	}
}

func TestMessageWithoutEndIsRefused(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("\xff\xff\xff\xff"), neverRead{t})
	if m, err := receive(endless); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %+v, %v, want %v", m, err, ErrMalformed)
	}
}

type neverRead struct{ t *testing.T }

func (r neverRead) Read([]byte) (int, error) {
	r.t.Error("the body was read")
	return 0, io.EOF
}

func TestHello(t *testing.T) {
	for _, want := range []Hello{
		{Key: Key{Name: "foo"}},
		{Key: Key{Name: "foo", PIDFile: "/run/foo.pid", Member: "3"}, Foreground: true, Notify: "@x", comm: "prog"},
		{Key: Key{Name: "foo", Member: "12"}, Deaf: true, Files: []string{"tcp [::1]:80", "unix /run/x"}},
		{Key: Key{Name: "naïve name", PIDFile: "/with space\nand more"}, comm: "a:b"},
	} {
		if got, ok := parseHello(want.message()); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, ok, want)
		}
	}
	for _, m := range []Message{
		{},
		{Kind: hello},
		{Kind: Ready, Text: Hello{}.message().Text},
		{Kind: hello, Text: strings.Repeat("\x00", 4)},
	} {
		if got, ok := parseHello(m); ok {
			t.Errorf("%+v was taken for %+v", m, got)
		}
	}
}

// FuzzHello: what a message says to a new process is what it says when it is sent again.
func FuzzHello(f *testing.F) {
	f.Add("foreground,deaf\x00comm\x00foo\x00/run/foo.pid\x003\x00@x\x00tcp :80", 7, 2)
	f.Add(strings.Repeat("\x00", 5), 0, 0)
	f.Add(",,jailed,banana\x00\x00\x00\x00\x00\x00\x00", -1, -1)
	f.Fuzz(func(t *testing.T, text string, pid, code int) {
		h, ok := parseHello(Message{Kind: hello, PID: pid, Code: code, Text: text})
		if !ok {
			if strings.Count(text, "\x00") >= 5 {
				t.Fatalf("%q was refused", text)
			}
			return
		}
		if again, ok := parseHello(h.message()); !ok || !reflect.DeepEqual(again, h) {
			t.Errorf("%q: %+v came back as %+v, %v", text, h, again, ok)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, m := range messages {
		f.Add(m.encode()[4:])
	}
	f.Add([]byte{})
	f.Add([]byte("f"))
	f.Add([]byte("f\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")) // a varint of more than 64 bits
	f.Add([]byte("f\x00\x00\x05abc"))                              // a text longer than the message
	f.Add([]byte("f\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			if m != (Message{}) || !errors.Is(err, ErrMalformed) {
				t.Errorf("got %+v with %v", m, err)
			}
			return
		}
		if got, want := len(m.Text)+len(m.Hint), len(b); got >= want {
			t.Errorf("texts of %d bytes came out of %d", got, want)
		}
		want := m
		want.Text, want.Hint = cut(m.Text, maxMessage/2), cut(m.Hint, maxMessage/4)
		if again, err := receive(bytes.NewReader(m.encode())); err != nil || again != want {
			t.Errorf("%+v came back as %+v, %v", want, again, err)
		}
	})
}
