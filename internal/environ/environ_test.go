package environ

import (
	"os"
	"strconv"
	"testing"
)

func TestServiceManager(t *testing.T) {
	tests := []struct {
		name      string
		pid, ppid int
		variable  string
		container string
		want      bool
	}{
		{"shell", 500, 400, "", "", false},
		{"child of init", 500, 1, "", "", true},
		{"child of a container's PID 1", 7, 1, "", "docker", false},
		{"systemd service", 500, 1, "500", "", true},
		{"systemd service in a container", 50, 1, "50", "lxc", true},
		{"service of a user", 500, 450, "500", "", true},
		{"child of a service", 501, 500, "500", "", false},
		{"number that only begins with ours", 500, 400, "5001", "", false},
		{"number that only ends in ours", 500, 400, "1500", "", false},
		{"number with a space", 500, 400, " 500", "", false},
		{"PID 1", 1, 0, "", "", false},
		{"parent in another namespace", 7, 0, "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			getenv := func(name string) string {
				if name == "SYSTEMD_EXEC_PID" {
					return tt.variable
				}
				return ""
			}
			got := serviceManager(tt.pid, tt.ppid, getenv, func() string { return tt.container })
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// The variable of this very process counts, and is not remembered.
func TestServiceManagerHere(t *testing.T) {
	t.Setenv("SYSTEMD_EXEC_PID", strconv.Itoa(os.Getpid()))
	if !ServiceManager() {
		t.Error("got false with SYSTEMD_EXEC_PID = our PID")
	}
	t.Setenv("SYSTEMD_EXEC_PID", strconv.Itoa(os.Getppid()))
	if os.Getppid() != 1 && ServiceManager() {
		t.Error("got true with SYSTEMD_EXEC_PID = our parent's PID")
	}
}

func TestPID1(t *testing.T) {
	if got, want := PID1(), os.Getpid() == 1; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
