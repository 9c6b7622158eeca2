//go:build linux

package daemonocle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func init() { helpers["veiled"] = veiled }

// veiled is prog, of user V_UID, with a /proc of its own that is mounted with hidepid=V_HIDE.
// It runs in a new mount namespace.
func veiled() {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("proc", "/proc", "proc", 0, "hidepid="+os.Getenv("V_HIDE"))
	}
	if err != nil {
		fmt.Println("cannot mount:", err)
		os.Exit(99)
	}
	uid := number("V_UID")
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(uid, uid, uid), syscall.Setresuid(uid, uid, uid)); err != nil {
		panic(err)
	}
	if os.Args[1] == "json" {
		err := mustNew(progConfig()).DoWith(context.Background(), daemonocle.Output{JSON: true}, "status", daemonocle.StatusOptions{})
		os.Exit(daemonocle.ExitCode(err))
	}
	prog()
}

// hidesByMount: before Linux 5.8 all mounts of /proc in a PID namespace have the same
// options, so that the machine's would change.
func hidesByMount(t *testing.T) {
	t.Helper()
	var name unix.Utsname
	must(t, unix.Uname(&name))
	var major, minor int
	fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	if major < 5 || major == 5 && minor < 8 {
		testkit.Skip(t, "hidepid", "each mount of /proc has options of its own since Linux 5.8")
	}
}

func TestStatusOfAHiddenDaemon(t *testing.T) {
	testkit.Parallel(t)
	uid, _ := testkit.Unprivileged(t)
	hidesByMount(t)
	for _, hide := range []string{"1", "2"} {
		t.Run("hidepid="+hide, func(t *testing.T) {
			r := newRig(t, "V_HIDE="+hide, "V_UID="+strconv.Itoa(uid))
			must(t, os.Chmod(r.dir, 0o755))
			pid := r.start()
			status := func(args ...string) result {
				t.Helper()
				cmd := r.command("veiled", args...)
				cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
				got := outcome(t, cmd)
				if got.code == 99 {
					testkit.Skip(t, "hidepid", got.out)
				}
				return got
			}
			r.expect(status("status"), result{out: fmt.Sprintf("foo -- pid: %d, status: unknown, uptime: unknown, %%cpu: unknown, %%mem: unknown\n", pid)})

			got := status("json")
			var values map[string]any
			if err := json.Unmarshal([]byte(got.out), &values); err != nil || got.code != 0 || got.err != "" {
				t.Fatalf("%v: %v", err, got)
			}
			for _, f := range []string{"cpu_percent", "memory_percent", "status", "uptime"} {
				if v, is := values[f]; !is || v != nil {
					t.Errorf("%s: got %v, %v, want null", f, v, is)
				}
			}
			if values["pid"] != float64(pid) || values["name"] != "foo" {
				t.Errorf("got %v", values)
			}
			// Who may look sees all.
			if got := r.do("status"); got.code != 0 || strings.Contains(got.out, "unknown") {
				t.Errorf("root: got %v", got)
			}
			// A stop is refused by the kernel, not by what could not be read.
			if got := status("stop"); got.code != 1 || !strings.Contains(got.err, "peration not permitted") {
				t.Errorf("stop: got %v", got)
			}
			r.alive(pid)
		})
	}
}
