//go:build !linux

package testkit

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// The death socket needs abstract names and a signal of choice for SIGIO; the
// count of stragglers needs other processes' environments. Neither is to be had
// here, so that what a failing test leaves behind, stays.

func openSuite() (string, error)    { return "", nil }
func dieWith(string) error          { return nil }
func initialEnviron(int) []string   { return nil }
func stragglers(string) []straggler { return nil }
func (straggler) kill(string)       {}
func idsMapped(int) error           { return nil }
func mountOwnProc() error           { return nil }
func openPty() (*PtyPair, error) {
	return nil, errors.New("testkit opens pseudo terminals on Linux only")
}
func FDs(int) map[int]string                   { return nil }
func Stat(int) ProcStat                        { return ProcStat{} }
func DeathFD() int                             { return -1 }
func (p *PtyPair) Attach(*exec.Cmd)            {}
func (p *PtyPair) Resize(testing.TB, int, int) {}

func InPIDNamespace(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	Skip(t, "pidns", "there are no PID namespaces here")
	return nil
}

// awaitGone takes a zombie for alive: kill(2) does.
func awaitGone(pid int, limit time.Duration) bool {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		p, err := os.FindProcess(pid)
		if err != nil {
			return true
		}
		if err := p.Signal(syscall.Signal(0)); err != nil && !errors.Is(err, os.ErrPermission) {
			return true
		}
		if !time.Now().Before(end) {
			return false
		}
	}
}
