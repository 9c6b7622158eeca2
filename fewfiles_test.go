//go:build linux

package daemonocle_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// limited is a program that has room for so many descriptors.
func limited(env []string, files int, program string, args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$@"`, files), "sh", program}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// Whatever there is no descriptor for, that is said, and what to do, and it is true.
func TestTooFewFiles(t *testing.T) {
	program := filepath.Join(testkit.TempDir(t), "heartbeat")
	goCommand(t, "linux", "build", "-o", program, "./examples/heartbeat")
	for files := 4; files <= 20; files++ {
		t.Run(strconv.Itoa(files), func(t *testing.T) {
			testkit.Parallel(t)
			r := newRig(t)
			r.env = append(r.env, "HOME="+r.dir, "XDG_STATE_HOME="+r.dir, "XDG_RUNTIME_DIR=")
			pid := func() int {
				found, err := filepath.Glob(r.dir + "/heartbeat/*/heartbeat.pid")
				if err != nil || len(found) == 0 {
					return 0
				}
				return holder(t, found[0])
			}
			try := func(action string) (got result, few bool) {
				t.Helper()
				got = outcome(t, limited(r.env, files, program, action))
				said := got.out + got.err
				for _, never := range []string{"create it", "fatal error", "goroutine", "panic"} {
					if strings.Contains(said, never) {
						t.Errorf("%s: %v", action, got)
					}
				}
				return got, strings.Contains(said, "too many open files") && strings.Contains(said, "aise the limit of open files (ulimit -n)")
			}

			got, few := try("start")
			running := pid()
			if ok := got == (result{out: "Starting heartbeat ... OK\n"}); ok == few || ok != (running != 0) || ok != (got.code == 0) {
				t.Errorf("start: process %d runs: %v", running, got)
			}
			if running == 0 {
				if left := r.marked(); len(left) > 0 {
					t.Errorf("processes %v are left", left)
				}
				if left, err := os.ReadDir(r.dir); err != nil || len(left) > 0 {
					t.Errorf("%v is left: %v", left, err)
				}
				if got, few := try("status"); !few && got != (result{out: "heartbeat -- not running\n", code: 1}) {
					t.Errorf("status of none: %v", got)
				}
				if got, few := try("stop"); few == (got.code == 0) || !few && got != (result{err: "WARNING: heartbeat is not running\n"}) {
					t.Errorf("stop of none: %v", got)
				}
				if got := outcome(t, limited(r.env, 1000, program, "start")); got.code != 0 {
					t.Fatalf("start with room: %v", got)
				}
				running = pid()
			}
			if got, few := try("status"); few == (got.code == 0) || !few && !strings.HasPrefix(got.out, fmt.Sprintf("heartbeat -- pid: %d, ", running)) {
				t.Errorf("status of process %d: %v", running, got)
			}
			if got, few := try("start"); few == (got.code == 0) || !few && got != (result{err: fmt.Sprintf("WARNING: heartbeat already running with PID %d\n", running)}) {
				t.Errorf("start beside process %d: %v", running, got)
			}
			r.alive(running)
			got, few = try("stop")
			if ok := got == (result{out: "Stopping heartbeat ... OK\n"}); ok == few || ok != testkit.Gone(running) {
				t.Errorf("stop of process %d: %v", running, got)
			}
		})
	}
}

// What the environment does is an error of the command, and no failure of its code: also of what
// needs no descriptor.
func TestCommandWithTooFewFiles(t *testing.T) {
	program := filepath.Join(testkit.TempDir(t), "daemonocle")
	goCommand(t, "linux", "build", "-o", program, "./cmd/daemonocle")
	r := newRig(t)
	r.env = append(r.env, "HOME="+r.dir, "XDG_STATE_HOME="+r.dir, "XDG_RUNTIME_DIR=")
	if got := outcome(t, limited(r.env, 1000, program, "start", "--name", "old", "--", "sleep", "1000")); got.code != 0 {
		t.Fatalf("start: %v", got)
	}
	for files := 4; files <= 14; files++ {
		for _, call := range []string{"--help", "list", "status old", "start --name new -- true", "logs old", "completion bash"} {
			got := outcome(t, limited(r.env, files, program, strings.Fields(call)...))
			said := got.out + got.err
			few := strings.Contains(said, "too many open files") && strings.Contains(said, "aise the limit of open files (ulimit -n)")
			if strings.Contains(said, "goroutine") || few == (got.code == 0) && call != "start --name new -- true" {
				t.Errorf("%s with %d descriptors: %v", call, files, got)
			}
			// Two are for the poller of Go's runtime, and two for what the control group allows.
			if call == "--help" && files >= 3+2+2 && got.code != 0 {
				t.Errorf("%s with %d descriptors: %v", call, files, got)
			}
		}
	}
	if got := outcome(t, limited(r.env, 1000, program, "stop", "old")); got.code != 0 {
		t.Errorf("stop: %v", got)
	}
}
