package daemonocle

import (
	"testing"
	"time"
)

func TestUptime(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		-time.Hour:                            "0m",
		0:                                     "0m",
		29*time.Second + 999*time.Millisecond: "0m",
		30 * time.Second:                      "1m",
		17 * time.Minute:                      "17m",
		59*time.Minute + 29*time.Second:       "59m",
		59*time.Minute + 30*time.Second:       "1h 0m",
		2*time.Hour + 47*time.Minute:          "2h 47m",
		day - 31*time.Second:                  "23h 59m",
		day - 30*time.Second:                  "1d 0h 0m",
		day:                                   "1d 0h 0m",
		day + 3*time.Hour + 47*time.Minute:    "1d 3h 47m",
		12*day + 3*time.Hour + 4*time.Minute:  "12d 3h 4m",
		1000 * day:                            "1000d 0h 0m",
	} {
		if got := uptime(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

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
