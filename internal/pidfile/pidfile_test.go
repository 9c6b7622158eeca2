package pidfile

import (
	"strconv"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]int{
		"1": 1, "123\n": 123, "2147483647\n": 2147483647, "077\n": 77,
		"": 0, "\n": 0, "0\n": 0, "-1\n": 0, "+1\n": 0, " 1\n": 0, "1 \n": 0, "1\n\n": 0, "1\r\n": 0, "12 34\n": 0,
		"2147483648\n": 0, "99999999999999999999": 0, "0x1\n": 0, "1_0\n": 0, "1e1\n": 0, "1.0": 0, "١\n": 0, "\x001": 0, "foo": 0,
	} {
		if got := parse([]byte(s)); got != want {
			t.Errorf("%q: got %d, want %d", s, got, want)
		}
	}
}

// What is not a number of a process, from the first byte to the last, is
// nobody's.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "1\n", "0", "-1", "+1", "12 34", "077\n", "2147483648", "1\n\n", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := parse(b)
		if n < 0 || n > 1<<31-1 {
			t.Fatalf("%q: got %d", b, n)
		}
		digits := strings.TrimSuffix(string(b), "\n")
		if n > 0 && strings.TrimLeft(digits, "0") != strconv.Itoa(n) {
			t.Errorf("%q: got %d", b, n)
		}
		if again := parse([]byte(strconv.Itoa(n) + "\n")); again != n {
			t.Errorf("%d came back as %d", n, again)
		}
	})
}

func TestBroken(t *testing.T) {
	for r, want := range map[Report]bool{
		{State: Absent}:              false,
		{State: Free}:                true,
		{State: Running, PID: 5}:     true,
		{State: Free, Number: 5}:     false,
		{State: Running, Number: 10}: false,
	} {
		if got := r.Broken(); got != want {
			t.Errorf("%+v: got %v", r, got)
		}
	}
}
