package environ

import (
	"os"
	"testing"
	"time"
)

func TestWatchdogTime(t *testing.T) {
	for _, tt := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"3000000", "", 3 * time.Second},
		{"3000000", "500", 3 * time.Second},
		{"3000000", "501", 0},
		{"3000000", "5000", 0},
		{"", "", 0}, {"", "500", 0}, {"0", "", 0}, {"-1", "", 0}, {"1.5", "", 0},
		{"18446744073709551615", "", 0}, {"9223372036854775807", "", 0},
	} {
		env := map[string]string{"WATCHDOG_USEC": tt.usec, "WATCHDOG_PID": tt.pid}
		if got := watchdogTime(500, func(name string) string { return env[name] }); got != tt.want {
			t.Errorf("%s, %q: got %v, want %v", tt.usec, tt.pid, got, tt.want)
		}
	}
}

func TestNothingIsLeftForChildren(t *testing.T) {
	for _, name := range supervision {
		t.Setenv(name, "1")
	}
	t.Setenv("NOTIFY_SOCKET", "/run/x")
	if socket, watchdog := TakeNotify(); socket != "/run/x" || watchdog != 0 {
		t.Errorf("got %q, %v", socket, watchdog)
	}
	for name, there := range map[string]bool{"NOTIFY_SOCKET": false, "WATCHDOG_USEC": false, "LISTEN_FDS": true} {
		if _, ok := os.LookupEnv(name); ok != there {
			t.Errorf("%s: got %v", name, ok)
		}
	}
	if fds, _ := TakeListenFDs(); fds != nil {
		t.Errorf("got %v, which is another's", fds)
	}
	for _, name := range supervision {
		if _, ok := os.LookupEnv(name); ok {
			t.Errorf("%s is still there", name)
		}
	}
}
