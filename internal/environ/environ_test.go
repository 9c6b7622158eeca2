package environ

import (
	"os"
	"strconv"
	"testing"
)

// The variable of this very process counts, and is not remembered.
func TestServiceManagerHere(t *testing.T) {
	t.Setenv("SYSTEMD_EXEC_PID", strconv.Itoa(os.Getpid()))
	if !ServiceManager() {
		t.Error("got false with SYSTEMD_EXEC_PID = our PID")
	}
	t.Setenv("SYSTEMD_EXEC_PID", strconv.Itoa(os.Getppid()))
	if ServiceManager() {
		t.Error("got true with SYSTEMD_EXEC_PID = our parent's PID")
	}
}

func TestPID1(t *testing.T) {
	if got, want := PID1(), os.Getpid() == 1; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
