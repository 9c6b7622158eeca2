package console

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
		if got := Uptime(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
