package daemonocle

import (
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
