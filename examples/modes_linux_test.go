package examples_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// mode is one way to build a program. What the linker and the C library do to its
// memory before main differs; a daemon must live in all of them.
type mode struct {
	name  string
	flags []string
	cgo   bool
	long  bool // to build: not in a short run
}

var modes = []mode{
	{name: "exe"},
	{name: "pie", flags: []string{"-buildmode=pie"}},
	{name: "stripped", flags: []string{"-trimpath", "-ldflags=-s -w"}},
	{name: "pie with cgo", flags: []string{"-buildmode=pie"}, cgo: true, long: true},
	{name: "full RELRO", flags: []string{`-ldflags=-linkmode=external -extldflags "-Wl,-z,relro,-z,now"`}, cgo: true, long: true},
	{name: "pie, full RELRO", flags: []string{"-buildmode=pie", `-ldflags=-linkmode=external -extldflags "-Wl,-z,relro,-z,now"`}, cgo: true, long: true},
	{name: "static-pie", flags: []string{"-buildmode=pie", "-tags=netgo,osusergo", `-ldflags=-linkmode=external -extldflags "-static-pie"`}, cgo: true, long: true},
	{name: "race", flags: []string{"-race"}, cgo: true, long: true},
	{name: "cover", flags: []string{"-cover"}, long: true},
}

func TestBuildModes(t *testing.T) {
	testkit.Parallel(t)
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			if m.long && testing.Short() {
				t.Skip("it takes long to build")
			}
			e := buildMode(t, m)
			coverage := filepath.Join(e.dir, "coverage")
			if err := os.Mkdir(coverage, 0o700); err != nil {
				t.Fatal(err)
			}
			e.env = append(e.env, "GOCOVERDIR="+coverage, "GORACE=atexit_sleep_ms=0")
			e.expect("start", `Starting short \.\.\. OK`, 0)
			e.lives()
		})
	}
}

// lives asks of a daemon that has been started what only one that is alive can do.
func (e *example) lives() {
	e.t.Helper()
	const running = `short -- pid: \d+, status: [a-z-]+, uptime: 0m, %cpu: \d+\.\d, %mem: \d+\.\d`
	first := e.pid()
	e.expect("status", running, 0)
	e.expect("reload", `Reloading short \.\.\. OK`, 0)
	if second := e.pid(); second == first || second == 0 {
		e.t.Errorf("after a reload the PID is %d, before it was %d", second, first)
	}
	e.expect("status", running, 0)
	e.expect("stop", `Stopping short \.\.\. OK`, 0)
	e.expect("status", `short -- not running`, 1)
}

func buildMode(t *testing.T, m mode, env ...string) *example {
	t.Helper()
	if _, err := exec.LookPath("gcc"); m.cgo && err != nil {
		testkit.Skip(t, "gcc", "there is no C compiler")
	}
	cgo := "CGO_ENABLED=0"
	if m.cgo {
		cgo = "CGO_ENABLED=1"
	}
	return buildWith(t, "short", append(env, cgo), m.flags...)
}

// emulated runs its arguments where the kernel hands programs for another processor to
// an emulator: in namespaces of their own, so that nothing of the machine's is changed.
// $1 is the emulator, $2 what the kernel is told of it.
const emulated = `mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && printf %s "$2" >/proc/sys/fs/binfmt_misc/register || exit 125
shift 2; exec "$@"`

// The emulator knows no CLONE_PARENT, without which there is no detached start: this one
// is in the foreground.
func TestEmulatedARM64(t *testing.T) {
	if runtime.GOARCH == "arm64" {
		t.Skip("the other tests run on it")
	}
	emulator, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		testkit.Skip(t, "qemu", "qemu-aarch64-static is not installed")
	}
	const magic = `\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`
	const mask = `\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`
	via := []string{"unshare", "--user", "--map-root-user", "--mount", "sh", "-c", emulated, "sh", emulator, ":arm64:M::" + magic + ":" + mask + ":" + emulator + ":FP"}
	if out, err := exec.Command(via[0], append(via[1:], "true")...).CombinedOutput(); err != nil {
		testkit.Skip(t, "binfmt", "this kernel has no binfmt_misc for a user namespace: "+err.Error()+": "+string(out))
	}
	e := buildMode(t, mode{}, "GOARCH=arm64")
	e.via = via

	cmd := e.command("start", "--debug")
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &errs
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	var said strings.Builder
	for !strings.Contains(said.String(), "OK\n") {
		n, err := out.Read(b)
		if err != nil {
			t.Fatalf("the start said %q, and then %v: %s", said.String(), err, errs.String())
		}
		said.Write(b[:n])
	}
	e.lives()
	if err := cmd.Wait(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
		t.Errorf("the keeper ended with %v: %s", err, errs.String())
	}
}
