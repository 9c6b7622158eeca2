//go:build unix

// Package examples_test runs the examples as a reader of the README does.
package examples_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m, nil) }

// example is one of the programs, with directories of its own.
type example struct {
	t    *testing.T
	name string
	path string
	dir  string
	env  []string
	via  []string // the command that runs it; nil: none
}

// images has the examples as the go command makes them without flags: most tests want the
// same one.
var images sync.Map // from name to func() ([]byte, error)

func build(t *testing.T, name string, env ...string) *example {
	t.Helper()
	e := newExample(t, name)
	once, _ := images.LoadOrStore(name, sync.OnceValues(func() ([]byte, error) {
		if err := compile(e.path, name, nil); err != nil {
			return nil, err
		}
		return os.ReadFile(e.path)
	}))
	image, err := once.(func() ([]byte, error))()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(e.path), 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	testkit.WriteProgram(t, e.path, image)
	e.env = append(e.env, env...)
	return e
}

// buildWith gives the go command variables and flags of its own.
func buildWith(t *testing.T, name string, env []string, flags ...string) *example {
	t.Helper()
	e := newExample(t, name)
	if err := compile(e.path, name, env, flags...); err != nil {
		t.Fatal(err)
	}
	return e
}

var canLoad = sync.OnceValue(func() error { return exec.Command("go", "list", "-deps", "./...").Run() })

func newExample(t *testing.T, name string) *example {
	t.Helper()
	testkit.Parallel(t)
	testkit.BuiltApart(t)
	if err := canLoad(); err != nil {
		testkit.Skip(t, "go", "the go command cannot load this module here: "+err.Error())
	}
	e := &example{t: t, name: name, dir: testkit.TempDir(t)}
	e.path = filepath.Join(e.dir, "bin", name)
	e.env = append(os.Environ(), "XDG_RUNTIME_DIR="+e.dir, "XDG_STATE_HOME="+e.dir)
	t.Cleanup(func() {
		if _, err := os.Stat(e.path); err == nil {
			e.run("stop")
		}
	})
	return e
}

func (e *example) compile(path string, flags ...string) {
	e.t.Helper()
	if err := compile(path, e.name, nil, flags...); err != nil {
		e.t.Fatal(err)
	}
}

// compilers bounds how many run at one time: unlike the tests, they do nothing but work.
var compilers = make(chan struct{}, runtime.GOMAXPROCS(0))

func compile(path, name string, env []string, flags ...string) error {
	compilers <- struct{}{}
	defer func() { <-compilers }()
	cmd := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), "./"+name)...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

func (e *example) command(args ...string) *exec.Cmd {
	args = append(append(slices.Clone(e.via), e.path), args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = e.env
	return cmd
}

// run gives what the program wrote, first to stdout, and its exit code.
func (e *example) run(action string) (string, int) {
	e.t.Helper()
	var out, errs strings.Builder
	cmd := e.command(strings.Fields(action)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		e.t.Fatal(err)
	}
	return out.String() + errs.String(), cmd.ProcessState.ExitCode()
}

func (e *example) expect(action, pattern string, code int) {
	e.t.Helper()
	got, gotCode := e.run(action)
	if !regexp.MustCompile("^"+pattern+"\n$").MatchString(got) || gotCode != code {
		e.t.Errorf("%s %s: got %q, exit code %d, want %q, %d", e.name, action, got, gotCode, pattern, code)
	}
}

func (e *example) log(name string) string {
	e.t.Helper()
	b, err := os.ReadFile(filepath.Join(e.dir, e.name, name))
	if err != nil {
		e.t.Fatal(err)
	}
	return string(b)
}

func TestHeartbeat(t *testing.T) {
	e := build(t, "heartbeat")
	e.expect("start", `Starting heartbeat \.\.\. OK`, 0)
	e.expect("status", `heartbeat -- pid: \d+, status: [a-z-]+, uptime: 0m, %cpu: \d+\.\d, %mem: \d+\.\d`, 0)
	e.expect("stop", `Stopping heartbeat \.\.\. OK`, 0)
	e.expect("status", `heartbeat -- not running`, 1)
	log := e.log("err.log")
	for _, want := range []string{"daemon is starting", "still running", `daemon is stopping why="Terminated by SIGTERM (15)" code=-15`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
}

// pid is the number in the PID file, 0 if there is none.
func (e *example) pid() int {
	files, _ := filepath.Glob(filepath.Join(e.dir, e.name, "@*", e.name+".pid"))
	if len(files) != 1 {
		return 0
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

func (e *example) waitLog(what string) {
	e.t.Helper()
	testkit.WaitFor(e.t, "the log to have "+strconv.Quote(what), func() bool { return strings.Contains(e.log("err.log"), what) })
}

// A file that is changed makes it another daemon, one that is wrong does not.
func TestFilewatcher(t *testing.T) {
	e := build(t, "filewatcher")
	path := filepath.Join(e.dir, "conf.json")
	e.env = append(e.env, "FILEWATCHER_CONF="+path)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	e.expect("start", `Starting filewatcher \.\.\. FAILED\n`+
		`ERROR: Child exited (immediately )?with exit code 1( before it was ready)?\n`+
		`reason: stat `+regexp.QuoteMeta(path)+`: no such file or directory`, 1)
	write(`{"say": "one", "every": "20ms"}`)
	e.expect("start", `Starting filewatcher \.\.\. OK`, 0)
	first := e.pid()
	e.waitLog("INFO one")

	write(`{"say": "two", "every": "20ms"}`)
	e.waitLog("INFO two")
	testkit.WaitGone(t, first)
	second := e.pid()
	if second == first {
		t.Error("the process is the same after a reload")
	}

	write(`{"say": "three", "every": "soon"}`)
	refused := regexp.MustCompile(`ERROR daemonocle: reload filewatcher: child exited (immediately )?with exit code 1( before it was ready)?: ` + regexp.QuoteMeta(path) + `: every: time: invalid duration`)
	testkit.WaitFor(t, "the log to say that it is refused", func() bool { return refused.MatchString(e.log("err.log")) })
	said := strings.Count(e.log("err.log"), "INFO two")
	testkit.WaitFor(t, "it to go on", func() bool { return strings.Count(e.log("err.log"), "INFO two") > said })
	e.expect("status", fmt.Sprintf(`filewatcher -- pid: %d, status: .*`, second), 0)

	write(`{"say": "three", "every": "20ms"}`)
	e.waitLog("INFO three")
	testkit.WaitGone(t, second)
	if got, want := e.log("out.log"), strings.Repeat("Reloading filewatcher ... OK\n", 2); got != want {
		t.Errorf("stdout has %q, want %q", got, want)
	}
	e.expect("stop", `Stopping filewatcher \.\.\. OK`, 0)
}

func TestFileserver(t *testing.T) {
	testkit.Parallel(t)
	listener, err := net.Listen("tcp", "127.0.0.1:"+testkit.FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	e := build(t, "fileserver", "FILESERVER_ADDR="+addr)

	// The port is ours yet.
	e.expect("start", `Starting fileserver \.\.\. FAILED\n`+
		`ERROR: Child exited (immediately )?with exit code 1( before it was ready)?\n`+
		`reason: listen tcp `+regexp.QuoteMeta(addr)+`: bind: address already in use`, 1)

	listener.Close()
	e.expect("start", `Starting fileserver \.\.\. OK`, 0)
	want, err := os.ReadFile("examples_test.go")
	if err != nil {
		t.Fatal(err)
	}
	got, err := fetch("http://" + addr + "/examples_test.go")
	if err != nil || got != string(want) {
		t.Errorf("got %d bytes, %v, want the %d bytes of this file", len(got), err, len(want))
	}
	e.expect("stop", `Stopping fileserver \.\.\. OK`, 0)
	if log := e.log("out.log"); !strings.Contains(log, `GET "/examples_test.go"`) {
		t.Errorf("the request was not logged:\n%s", log)
	}
}

func fetch(url string) (string, error) {
	answer, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, answer.Status)
	}
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// Four processes answer on one port, each when it is its turn; and when one of
// them is started again, it answers there as well.
func TestPool(t *testing.T) {
	testkit.Parallel(t)
	listener, err := net.Listen("tcp", "127.0.0.1:"+testkit.FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	e := build(t, "pool", "POOL_ADDR="+addr)
	// Nothing is started when the port is not to be had.
	refused := `ERROR: listen tcp ` + regexp.QuoteMeta(addr) + `: bind: address already in use`
	e.expect("start", strings.Repeat(`Starting pool\d \.\.\. FAILED\n`, 4)+strings.TrimSuffix(strings.Repeat(refused+`\n`, 4), `\n`), 1)
	listener.Close()

	lines := func(format string) string {
		var all []string
		for n := range 4 {
			all = append(all, fmt.Sprintf(format, n))
		}
		return strings.Join(all, `\n`)
	}
	e.expect("start", lines(`Starting pool%d \.\.\. OK`), 0)
	e.expect("status", lines(`pool%d -- pid: \d+, status: [a-z-]+, uptime: 0m, %%cpu: \d+\.\d, %%mem: \d+\.\d`), 0)
	answers := regexp.MustCompile(`^worker [0-3] of 4, PID \d+\n$`)
	ask := func() {
		t.Helper()
		if got, err := fetch("http://" + addr + "/"); err != nil || !answers.MatchString(got) {
			t.Errorf("got %q, %v", got, err)
		}
	}
	for range 20 {
		ask()
	}
	e.expect("restart --worker-id=2", `Stopping pool2 \.\.\. OK\nStarting pool2 \.\.\. OK`, 0)
	for range 20 {
		ask()
	}
	e.expect("stop", lines(`Stopping pool%d \.\.\. OK`), 0)
}
