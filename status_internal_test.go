package daemonocle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStatusText(t *testing.T) {
	s := Status{Name: "foo", Running: true, PID: 123, State: "sleeping", CPUPercent: 12.36, MemoryPercent: 4.5,
		Uptime: 12*24*time.Hour + 3*time.Hour + 4*time.Minute}
	if got, want := s.String(), "foo -- pid: 123, status: sleeping, uptime: 12d 3h 4m, %cpu: 12.4, %mem: 4.5"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJSONOfAStatus(t *testing.T) {
	for _, tt := range []struct {
		s    Status
		want string
	}{
		{Status{Name: "é", State: "dead"}, `{"name": "\u00e9", "status": "dead"}`},
		{Status{Name: "foo", State: "unknown", Running: true}, `{"name": "foo", "status": "unknown"}`},
		{Status{Name: "foo", Running: true, PID: 7, Fields: []string{"uptime", "cpu_percent"}, Uptime: 3 * time.Second, CPUPercent: 0.12}, `{"cpu_percent": 0.12, "uptime": 3.0}`},
		{Status{Name: "foo", Running: true, PID: 7, Fields: []string{"ppid", "status"}, Values: map[string]any{"ppid": int64(1), "status": nil}}, `{"ppid": 1, "status": null}`},
	} {
		if got, err := tt.s.MarshalJSON(); err != nil || string(got) != tt.want {
			t.Errorf("got %s, %v; want %s", got, err, tt.want)
		}
	}
}

// TestStatusDrivesNoTerminal: whatever a field holds is text on one line, as JSON as well.
func TestStatusDrivesNoTerminal(t *testing.T) {
	odd := []rune{'\u202e', '\u2066', '\u2028', '\ufeff', '\ue000', '\U000e0041'}
	for r := range rune(0xa0) {
		if r < ' ' || r >= 0x7f {
			odd = append(odd, r)
		}
	}
	texts := []string{"\x1b[31mevil\n)dir", "\xff", "\x9b2J", "a\xe2\x28"}
	for _, r := range odd {
		texts = append(texts, "a"+string(r)+"b")
	}
	clean := func(line string) bool {
		return line == strings.ToValidUTF8(line, "\x00") && !strings.ContainsFunc(line, func(r rune) bool { return slices.Contains(odd, r) })
	}
	for _, text := range texts {
		states := []Status{
			{Name: text, State: "dead"},
			{Name: text, State: text, Running: true},
			{Name: text, State: text, Running: true, PID: 7},
		}
		for _, field := range StatusFields() {
			for _, value := range []any{text, []any{text, []any{text}}, map[string]string{text: text}} {
				states = append(states, Status{Name: text, State: text, Running: true, PID: 7, PIDFile: text, StdoutFile: text, StderrFile: text,
					Fields: []string{field}, Values: map[string]any{field: value}})
			}
		}
		for _, s := range states {
			json, err := s.MarshalJSON()
			if line := s.String(); err != nil || !clean(line) || !clean(string(json)) {
				t.Errorf("%q in %v, %d: got %q and %q, %v", text, s.Fields, s.PID, line, json, err)
			}
		}
	}
	for text, want := range map[string]string{
		"/home/Zoë/日本 x":     "/home/Zoë/日本 x",
		"\x1b[31mevil\n)dir": `"\u001b[31mevil\n)dir"`,
		"/a\u202eb":          `"/a\u202eb"`,
	} {
		s := Status{Name: "foo", Running: true, PID: 7, Fields: []string{"cwd"}, Values: map[string]any{"cwd": text}}
		if got, want := s.String(), fmt.Sprint("foo -- cwd: ", want); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
