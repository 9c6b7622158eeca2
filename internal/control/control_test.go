package control

import (
	"reflect"
	"strings"
	"testing"
)

func TestMessagesSurviveTheWire(t *testing.T) {
	for _, r := range []Request{{}, {Replace: true}} {
		if got, err := decodeRequest(string(r.encode())); err != nil || got != r {
			t.Errorf("got %+v, %v, want %+v", got, err, r)
		}
	}
	for _, a := range []Answer{
		{PID: 7, Generation: 2},
		{Err: "it ends", PID: 7, Stopping: true},
		{Err: "it ends", PID: 7, Capital: true},
		{Err: "it died", PID: 7, Reason: `a "quoted"` + "\nreason\x00", Hint: "Ünïcode.", Stderr: []string{"", " two "}},
	} {
		if got, err := decodeAnswer(string(a.encode())); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("got %+v, %v, want %+v", got, err, a)
		}
	}
}

func TestLongAnswerIsCutAndStaysOne(t *testing.T) {
	a := Answer{Err: "it died", PID: 7, Stderr: []string{strings.Repeat("x", 4*maxMessage)}}
	b := a.encode()
	got, err := decodeAnswer(string(b))
	if err != nil || len(b) > maxMessage || got.PID != 7 || len(got.Stderr) != 1 || !strings.HasPrefix(a.Stderr[0], got.Stderr[0]) {
		t.Errorf("got %d bytes, %v, PID %d", len(b), err, got.PID)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(string(Request{}.encode()))
	f.Add(string(Answer{Err: "x", PID: 1, Generation: 2, Stderr: []string{"y"}}.encode()))
	for _, s := range []string{"", "\n", `"`, `"a"`, `"reload" ` + "\n", `'r'` + "\n", "`reload`\n", `"\xff" "1" "1" "" ""` + "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if words, err := decode(line); err == nil {
			if again, err := decode(string(encode(words...))); err != nil || !reflect.DeepEqual(again, words) {
				t.Errorf("got %q, %v, want %q", again, err, words)
			}
		}
		if r, err := decodeRequest(line); err == nil {
			if again, err := decodeRequest(string(r.encode())); err != nil || again != r {
				t.Errorf("got %+v, %v, want %+v", again, err, r)
			}
		}
		if a, err := decodeAnswer(line); err == nil && len(line) < maxMessage/2 {
			if again, err := decodeAnswer(string(a.encode())); err != nil || !reflect.DeepEqual(again, a) {
				t.Errorf("got %+v, %v, want %+v", again, err, a)
			}
		}
	})
}
