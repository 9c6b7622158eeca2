//go:build unix

package launch

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestArrange(t *testing.T) {
	for _, tt := range []struct {
		name         string
		std          [3]int
		ours, theirs []int
		files        []uintptr
		numbers      []int
	}{
		{"nothing inherited", [3]int{5, 5, 6}, []int{8}, nil, []uintptr{5, 5, 6, 8}, []int{3}},
		{"already in place", [3]int{0, 1, 2}, []int{3}, nil, []uintptr{0, 1, 2, 3}, []int{3}},
		{"two of ours", [3]int{0, 1, 2}, []int{9, 10}, nil, []uintptr{0, 1, 2, 9, 10}, []int{3, 4}},
		{"the caller has 3", [3]int{0, 1, 2}, []int{9}, []int{3}, []uintptr{0, 1, 2, 3, 9}, []int{4}},
		{"around the caller's", [3]int{0, 1, 2}, []int{9, 10}, []int{3, 5}, []uintptr{0, 1, 2, 3, 9, 5, 10}, []int{4, 6}},
		{"the caller's beyond ours go by themselves", [3]int{0, 1, 2}, []int{9}, []int{10, 251}, []uintptr{0, 1, 2, 9}, []int{3}},
		{"ours is not the caller's", [3]int{0, 1, 2}, []int{3}, []int{3, 4}, []uintptr{0, 1, 2, 3}, []int{3}},
		{"nothing of ours", [3]int{0, 1, 2}, nil, []int{3}, []uintptr{0, 1, 2}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files, numbers := arrange(tt.std, tt.ours, tt.theirs)
			if !slices.Equal(files, tt.files) || !slices.Equal(numbers, tt.numbers) {
				t.Errorf("got %v, %v, want %v, %v", files, numbers, tt.files, tt.numbers)
			}
		})
	}
}

// Whatever is open: ours is where the numbers say, and the caller's where it was.
func TestArrangeKeepsTheCallersNumbers(t *testing.T) {
	for range 1000 {
		open := rand.Perm(20)
		for i := range open {
			open[i] += 3
		}
		ours := open[:1+rand.IntN(2)]
		theirs := open[len(ours) : len(ours)+rand.IntN(10)]
		files, numbers := arrange([3]int{0, 1, 2}, ours, theirs)
		for i, n := range numbers {
			if int(files[n]) != ours[i] || slices.Contains(theirs, n) {
				t.Fatalf("ours %v, theirs %v: got %v, %v", ours, theirs, files, numbers)
			}
		}
		for n := 3; n < len(files); n++ {
			if !slices.Contains(numbers, n) && int(files[n]) != n {
				t.Fatalf("ours %v, theirs %v: descriptor %d would be %d", ours, theirs, n, files[n])
			}
		}
		for _, n := range theirs {
			if n < len(files) && int(files[n]) != n {
				t.Fatalf("ours %v, theirs %v: descriptor %d would be %d", ours, theirs, n, files[n])
			}
		}
	}
}

// halfHeard is a launch whose daemon's words the test writes.
func halfHeard(t *testing.T) (l *Launch, daemon *os.File) {
	t.Helper()
	pair, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	unix.SetNonblock(pair[0], true)
	conn, daemon := os.NewFile(uintptr(pair[0]), "daemon"), os.NewFile(uintptr(pair[1]), "launcher")
	t.Cleanup(func() { conn.Close(); daemon.Close() })
	return &Launch{conn: conn, in: bufio.NewReaderSize(conn, 4+maxMessage)}, daemon
}

// The end of a context must not lose what has come of a message so far.
func TestReceiveGoesOnWithAMessageThatWasCutOff(t *testing.T) {
	want := Message{Kind: Failed, Text: strings.Repeat("long", 3000), Hint: "hint"}
	b := want.encode()
	for _, n := range []int{0, 2, 4, 5, len(b) / 2, len(b) - 1} {
		l, daemon := halfHeard(t)
		if _, err := daemon.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(cause)
		if m, err := l.Receive(ctx); err != cause {
			t.Fatalf("after %d bytes: got %+v, %v, want %v", n, m, err, cause)
		}
		if _, err := daemon.Write(b[n:]); err != nil {
			t.Fatal(err)
		}
		limit, stop := context.WithTimeout(context.Background(), testkit.Patience)
		m, err := l.Receive(limit)
		stop()
		if err != nil || m != want {
			t.Errorf("after %d bytes and the rest: got %.40q, %v", n, m.Text, err)
		}
	}
}

// However the wire breaks, that is its end: whether the daemon lives its process tells.
func TestBrokenWireIsTheEndOfIt(t *testing.T) {
	for name, tt := range map[string]struct {
		breaks    func(daemon *os.File, l *Launch)
		malformed bool
	}{
		"closed":   {func(daemon *os.File, _ *Launch) { daemon.Close() }, false},
		"reset":    {func(daemon *os.File, l *Launch) { l.Send(Release); daemon.Close() }, false},
		"cut off":  {func(daemon *os.File, _ *Launch) { daemon.Write([]byte{0, 0, 0, 9, byte(Ready)}); daemon.Close() }, false},
		"too long": {func(daemon *os.File, _ *Launch) { daemon.Write([]byte{0xff, 0xff, 0xff, 0xff, 0}) }, true},
		"garbage":  {func(daemon *os.File, _ *Launch) { daemon.Write([]byte{0, 0, 0, 2, byte(Ready), 0xff}) }, true},
		"our end":  {func(_ *os.File, l *Launch) { l.conn.Close() }, false},
	} {
		l, daemon := halfHeard(t)
		tt.breaks(daemon, l)
		limit, stop := context.WithTimeout(t.Context(), testkit.Patience)
		_, err := l.Receive(limit)
		stop()
		if !errors.Is(err, io.EOF) || errors.Is(err, ErrMalformed) != tt.malformed {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("stage:1:3")
	f.Add("stage:2:3:4:5:6")
	f.Add("daemon:1:3:7")
	f.Add("daemon:1:99999999999999999999")
	f.Fuzz(func(t *testing.T, s string) {
		role, daemons, fds, ok := parseToken(s)
		if !ok {
			return
		}
		if daemons < 1 || len(fds) < daemons || slices.Min(fds) < 3 {
			t.Fatalf("%q was taken for %q, %d daemons, %v", s, role, daemons, fds)
		}
		again, n, numbers, ok := parseToken(token(role, daemons, fds))
		if !ok || again != role || n != daemons || !slices.Equal(numbers, fds) {
			t.Errorf("%q came back as %q, %d, %v, %v", s, again, n, numbers, ok)
		}
	})
}

func TestTokens(t *testing.T) {
	for _, s := range []string{"stage:1:3", "stage:2:3:4:5:6", "daemon:1:3:7"} {
		role, daemons, fds, ok := parseToken(s)
		if !ok || token(role, daemons, fds) != s {
			t.Errorf("%q: got %q, %d, %v, %v", s, role, daemons, fds, ok)
		}
	}
	for _, s := range []string{"", "stage", "stage:", "stage:1", "stage:0:3", "daemon:1:2", "daemon:1:-3", "daemon:2:3", "daemon:1:x", ":", "daemon:1:3:"} {
		if role, daemons, fds, ok := parseToken(s); ok {
			t.Errorf("%q was taken for %q, %d daemons, %v", s, role, daemons, fds)
		}
	}
}
