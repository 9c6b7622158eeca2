//go:build linux

package daemonocle_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func init() {
	helpers["execs"] = execs
	helpers["notifies"] = notifies
}

// execs is prog with a worker that is another program: the words of D_PROGRAM, or
// sh with the script D_SH. D_READY says how it is ready.
func execs() {
	c := progConfig()
	p := daemonocle.Program{Nice: number("D_NICE")}
	if script := os.Getenv("D_SH"); script != "" {
		p.Name, p.Args = "sh", []string{"-c", script}
	} else {
		words := strings.Split(os.Getenv("D_PROGRAM"), "\x1f")
		p.Name, p.Args = words[0], words[1:]
	}
	if env := os.Getenv("D_ENV"); env != "" {
		p.Env = strings.Split(env, "\n")
	}
	if n := uint64(number("D_NOFILE")); n != 0 {
		p.Limits = []daemonocle.Limit{{Resource: syscall.RLIMIT_NOFILE, Soft: n, Hard: n}}
	}
	c.StopSignal = syscall.Signal(number("D_STOP_SIGNAL"))
	switch kind, arg, _ := strings.Cut(os.Getenv("D_READY"), ":"); kind {
	case "notify":
		p.Ready = daemonocle.ReadyNotify()
	case "line":
		p.Ready = daemonocle.ReadyLine(regexp.MustCompile(arg))
	case "unix":
		p.Ready = daemonocle.ReadySocket("unix", arg)
	}
	c.Worker = p.Worker()
	if os.Getenv("D_WRAPPED") != "" {
		c.Worker = func(ctx context.Context) error { return p.Worker()(ctx) }
	}
	d := mustNew(c)
	if os.Args[1] == "run" {
		os.Exit(daemonocle.ExitCode(d.Run(context.Background())))
	}
	if os.Args[1] == "force" {
		os.Exit(daemonocle.ExitCode(d.DoWith(context.Background(), daemonocle.Output{}, "stop", daemonocle.StopOptions{Force: true})))
	}
	if os.Args[1] == "hup" {
		pid, err := d.Signal(context.Background(), syscall.SIGHUP)
		fmt.Println(pid, err)
		os.Exit(daemonocle.ExitCode(err))
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

func number(variable string) int {
	n, _ := strconv.Atoi(os.Getenv(variable))
	return n
}

// notifies sends the datagram os.Args[1] to NOTIFY_SOCKET, from a process group
// of its own if N_OUTSIDE is set, and stays.
func notifies() {
	if os.Getenv("N_OUTSIDE") != "" {
		if err := syscall.Setpgid(0, 0); err != nil {
			panic(err)
		}
	}
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err == nil {
		_, err = c.Write([]byte(os.Args[1]))
	}
	if err != nil {
		panic(err)
	}
	if path := os.Getenv("N_SENT"); path != "" {
		appendLine(path, "sent")
	}
	time.Sleep(time.Hour)
}

// foreign describes a daemon foo that is another program.
func foreign(t *testing.T, settings ...string) *described {
	return describe(t, "execs", settings...)
}

func program(words ...string) string { return "D_PROGRAM=" + strings.Join(words, "\x1f") }

// fact is a line of a file in /proc of the process.
func fact(t *testing.T, pid int, file, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	t.Fatalf("no %q in %s of process %d:\n%s", name, file, pid, b)
	return ""
}

func environOf(t *testing.T, pid int) []string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

func TestTheDaemonIsTheProgram(t *testing.T) {
	s := foreign(t, program("sleep", "1000"), "D_BECOME=execs", "NOTIFY_SOCKET=/run/somebody's", "WATCHDOG_USEC=1")
	// A caller with signals ignored and blocked, a descriptor open, and limits of
	// its own, of which Go raises one.
	self, err := os.Executable()
	must(t, err)
	cmd := s.adjust(testkit.Helper(t, "hostile", "/bin/sh", "-c",
		`ulimit -S -n 1000; ulimit -S -c 17; exec "$0" start 7</dev/zero`, self))
	if r := s.begin(cmd).wait(); r != (ending{startedLine, "", 0}) {
		t.Fatalf("got %+v", r)
	}
	pid := s.daemon()
	if got := fact(t, pid, "status", "Name:"); got != "sleep" {
		t.Errorf("process %d is %s", pid, got)
	}
	for _, field := range []string{"SigBlk:", "SigIgn:", "SigCgt:"} {
		if got := strings.Trim(fact(t, pid, "status", field), "0"); got != "" {
			t.Errorf("%s %s, want none", field, got)
		}
	}
	if got := fact(t, pid, "limits", "Max open files"); !strings.HasPrefix(got, "1000 ") {
		t.Errorf("limits of open files: %s, want 1000", got)
	}
	if got := fact(t, pid, "limits", "Max core file size"); strings.HasPrefix(got, "0 ") {
		t.Errorf("limits of core dumps: %s, want the caller's", got)
	}
	files := map[string]string{}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	must(t, err)
	for _, e := range fds {
		files[e.Name()], _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
	}
	held := 0
	for fd, path := range files {
		if path == s.pid {
			held++
		} else if n, _ := strconv.Atoi(fd); n > 2 {
			t.Errorf("descriptor %s is %s", fd, path)
		}
	}
	if files["0"] != os.DevNull || files["1"] != s.out || files["2"] != s.err || held != 1 {
		t.Errorf("the descriptors are %q", files)
	}
	for _, v := range environOf(t, pid) {
		if strings.HasPrefix(v, "DAEMONOCLE_") || strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_") || strings.HasPrefix(v, "PWD=") && v != "PWD=/" {
			t.Errorf("variable %s", v)
		}
	}
	group, session, err := unixIDs(pid)
	if err != nil || group != pid || session == pid {
		t.Errorf("process group %d, session %d, %v; the PID is %d", group, session, err, pid)
	}
	if r := s.do("start"); r.err != fmt.Sprintf("WARNING: foo already running with PID %d\n", pid) {
		t.Errorf("again: %+v", r)
	}
	if r := s.do("status"); !strings.HasPrefix(r.out, fmt.Sprintf("foo -- pid: %d, status: ", pid)) {
		t.Errorf("status: %+v", r)
	}
	s.stop()
	if onDisk(s.pid) {
		t.Error("the PID file is there after the stop")
	}
	if got := s.hookLog(); got != "" {
		t.Errorf("the shutdown hook was told %q", got)
	}
}

func unixIDs(pid int) (group, session int, err error) {
	group, err = unix.Getpgid(pid)
	if err == nil {
		session, err = unix.Getsid(pid)
	}
	return group, session, err
}

func TestProgramGetsWhatItIsGiven(t *testing.T) {
	s := foreign(t, "D_SH=echo \"$0 $*\"; echo \"<$ADDED> <$CHANGED> <${REMOVED-gone}>\"; exec sleep 1000",
		"CHANGED=before", "REMOVED=before", "D_ENV=ADDED=a=b\nCHANGED=after\nREMOVED", "D_NICE=5", "D_NOFILE=77")
	if r := s.do("start", "first", "-x", "--"); r != (ending{startedLine, "", 0}) {
		t.Fatalf("got %+v", r)
	}
	pid := s.daemon()
	if want, got := "first -x --\n<a=b> <after> <gone>\n", waitText(t, s.out, ">\n"); got != want {
		t.Errorf("it wrote %q, want %q", got, want)
	}
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	must(t, err)
	got, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
	must(t, err)
	if want := max(own-5, 1); got != want { // 20 less the niceness
		t.Errorf("priority %d, want %d", got, want)
	}
	if got := fact(t, pid, "limits", "Max open files"); got != "77 77 files" {
		t.Errorf("limits of open files: %s", got)
	}
	s.stop()
}

func TestProgramOfAnotherUser(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	s := foreign(t, "D_SH=id -u; echo $LOGNAME $USER; exec sleep 1000", "D_USER="+strconv.Itoa(uid), "D_GROUP="+strconv.Itoa(uid), "D_NICE=-3", "USER=root")
	s.start()
	name := username(t, uid)
	waitText(t, s.out, fmt.Sprintf("%d\n%s %s\n", uid, name, name))
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	must(t, err)
	if got, err := unix.Getpriority(unix.PRIO_PROCESS, s.daemon()); err != nil || got != min(own+3, 40) {
		t.Errorf("priority %d, %v, want %d", got, err, own+3)
	}
	s.stop()
}

// What cannot be executed is refused, and leaves nothing.
func TestNothingToExecute(t *testing.T) {
	testkit.Parallel(t)
	dir := testkit.TempDir(t)
	file := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode))
		return path
	}
	plain := file("plain", "#!/bin/sh\n", 0o644)
	interpreter := file("interpreter", "#!/no/such/thing -x\n", 0o755)
	loose := file("loose", "echo hello\n", 0o755)
	for name, tt := range map[string]struct{ program, text, hint string }{
		"unknown":        {"no-such-program", "no-such-program (not found in PATH)", "Install it, or give its path."},
		"no file":        {dir + "/none", dir + "/none (no such file or directory)", "Give the path of a program that exists."},
		"directory":      {dir, dir + " (it is a directory)", "Give the path of a program."},
		"not executable": {plain, plain + " (permission denied)", "Make it executable for the user that the daemon runs as, and its directories accessible."},
		"interpreter":    {interpreter, interpreter + " (its interpreter /no/such/thing: no such file or directory)", "Install the interpreter, or correct the first line of the script."},
		"no interpreter": {loose, loose + " (exec format error)", "It is no program for this machine, or a script without a line such as #!/bin/sh at its beginning."},
	} {
		t.Run(name, func(t *testing.T) {
			s := foreign(t, program(tt.program))
			want := ending{"Starting foo ... FAILED\n", "ERROR: Unable to execute " + tt.text + "\nhint: " + tt.hint + "\n", 1}
			if r := s.do("start"); r != want {
				t.Errorf("got %+v\nwant %+v", r, want)
			}
			if left := tree(t, s.dir); len(left) > 1 {
				t.Errorf("left: %q", left)
			}
			if r := s.do("restart"); r.code != 1 || !strings.Contains(r.err, "ERROR: Unable to execute "+tt.text) {
				t.Errorf("restart: got %+v", r)
			}
			if r := s.do("status"); r != (ending{"foo -- not running\n", "", 1}) {
				t.Errorf("status: got %+v", r)
			}
		})
	}
}

// A restart with a program that is gone keeps what runs.
func TestRestartKeepsWhatItCouldNotReplace(t *testing.T) {
	s := foreign(t, program("sleep", "1000"))
	pid := s.start()
	s.env = append(s.env, program("no-such-program"))
	if r := s.do("restart"); r.code != 1 || testkit.Gone(pid) {
		t.Errorf("got %+v, gone: %v", r, testkit.Gone(pid))
	}
	s.stop()
}

// A program that is not one the daemon's Config has: the launcher hears of it
// from the daemon alone.
func TestWorkerThatBecomesAProgram(t *testing.T) {
	s := foreign(t, program("sleep", "1000"), "D_WRAPPED=1")
	s.start()
	s.stop()
	s.env = append(s.env, program("no-such-program"))
	want := ending{"Starting foo ... FAILED\n", "ERROR: Unable to execute no-such-program (not found in PATH)\nhint: Install it, or give its path.\n", 1}
	if r := s.do("start"); r != want {
		t.Errorf("got %+v", r)
	}
	s.env = append(s.env, program("sleep", "1000"), "D_NICE=1")
	if r := s.do("start"); r.code != 1 || !strings.Contains(r.err, "niceness, limits and readiness need the program to be the daemon's worker itself") {
		t.Errorf("got %+v", r)
	}
}

func TestDeathOfAProgram(t *testing.T) {
	testkit.Parallel(t)
	for name, tt := range map[string]struct {
		script, err string
		code        int
	}{
		"code":   {"exit 3", "ERROR: Child exited immediately with exit code 3\n", 3},
		"signal": {"kill -9 $$", "ERROR: Child exited immediately with exit code -9\n", 137},
		"zero":   {"exit 0", "ERROR: Child exited immediately with exit code 0\n", 1},
		"stderr": {"echo no; echo why >&2; exit 4", "ERROR: Child exited immediately with exit code 4\nstderr: why\n", 4},
		"stdout": {"echo this is why; exit 4", "ERROR: Child exited immediately with exit code 4\nstdout: this is why\n", 4},
	} {
		t.Run(name, func(t *testing.T) {
			s := foreign(t, "D_SH="+tt.script, "D_START_WINDOW=1h")
			must(t, os.WriteFile(s.err, []byte("of old\n"), 0o666), os.WriteFile(s.out, []byte("of old\n"), 0o666))
			if r := s.do("start"); r != (ending{"Starting foo ... FAILED\n", tt.err, tt.code}) {
				t.Errorf("got %+v", r)
			}
			if onDisk(s.pid) {
				t.Error("the PID file is there")
			}
		})
	}
}

// Without log files nothing that a program writes is kept, however much it is.
func TestProgramWithoutLogFiles(t *testing.T) {
	s := foreign(t, program("sleep", "1000"), "D_STDOUT=", "D_STDERR=")
	pid := s.start()
	for fd := range 3 {
		if !pointsTo(pid, fd, os.DevNull) {
			t.Errorf("descriptor %d is not the null device", fd)
		}
	}
	s.stop()
}

// What does not stay what it was started as is ended, wherever it went.
func TestProgramsThatRunAway(t *testing.T) {
	testkit.Parallel(t)
	const hint = "hint: Tell it to stay in the foreground; many programs have an option for that, such as -f, -n, --foreground or --nodaemon.\n"
	for name, tt := range map[string]struct{ script, err string }{
		"into the background":      {"sleep 1000 &", `^ERROR: Child exited immediately with exit code 0\nreason: it went into the background by itself \(PID \d+\), and was ended\n` + hint + `$`},
		"deaf, into another group": {`trap "" TERM; setsid sleep 1000 & sleep 0.1`, `^ERROR: Child exited immediately with exit code 0\nreason: it went into the background by itself \(PID \d+\), and was ended\n` + hint + `$`},
		"letting everything go": {`setsid bash -c 'exec 58>&-; sleep 1000 & echo away; wait' & while ! grep -q away "$D_STDOUT"; do :; done`,
			`^ERROR: Child exited immediately with exit code 0\nreason: it went into the background by itself \(PID \d+(, \d+)*\), and was ended\nstdout: away\n` + hint + `$`},
		"with a failure":     {`sleep 1000 & exit 5`, `^ERROR: Child exited immediately with exit code 5\n$`},
		"closing the locked": {`exec bash -c 'exec 58>&-; echo away; sleep 1000'`, `^ERROR: The program has closed the descriptor that holds the lock of the PID file, and was ended\nstdout: away\nhint: .*\n$`},
	} {
		t.Run(name, func(t *testing.T) {
			s := foreign(t, "D_SH="+tt.script, "D_START_WINDOW=1h", "D_START_TIMEOUT=1h")
			if name == "closing the locked" { // which lives
				s.with("D_READY=line:away")
			}
			r := s.do("start")
			if r.out != "Starting foo ... FAILED\n" || r.code == 0 || !regexp.MustCompile(tt.err).MatchString(r.err) {
				t.Errorf("got %+v\nwant %s", r, tt.err)
			}
			if left := s.processes(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if onDisk(s.pid) {
				t.Error("the PID file is there")
			}
		})
	}
}

// A program's children have the locked descriptor, too. When the program is dead
// they block nothing.
func TestOrphansOfAProgramBlockNothing(t *testing.T) {
	s := foreign(t, "D_SH=sleep 1000 & echo $!; wait")
	pid := s.start()
	child, err := strconv.Atoi(strings.TrimSpace(waitText(t, s.out, "\n")))
	must(t, err)
	kill(t, pid)
	warning := fmt.Sprintf("WARNING: Processes that foo has left behind are still running (PID %d; for 0m)\n", child)
	for range 2 {
		if r := s.do("status"); r != (ending{"foo -- not running\n", warning, 1}) {
			t.Errorf("status: got %+v", r)
		}
	}
	if r := s.do("start"); r != (ending{startedLine, warning, 0}) {
		t.Errorf("start: got %+v", r)
	}
	pid = s.daemon()
	if testkit.Gone(child) {
		t.Error("the start has ended what was left")
	}
	kill(t, pid)
	if r := s.do("start"); r.code != 0 || r.out != startedLine || !strings.HasPrefix(r.err, "WARNING: Processes that foo has left behind") {
		t.Errorf("start: got %+v", r)
	}
	// A stop names them, and removes the file in spite of them.
	pid = s.daemon()
	if r := s.do("stop"); r.code != 0 || !strings.HasPrefix(r.err, "WARNING: A process of the process group of foo is still running") {
		t.Errorf("stop: got %+v", r)
	}
	if onDisk(s.pid) || !testkit.Gone(pid) {
		t.Error("the PID file is there, or the program")
	}
}

func TestProgramInTheForeground(t *testing.T) {
	s := foreign(t, program("echo", "hello", "world"), "D_NAME=hello_world", "D_FOREGROUND=1")
	want := ending{"Starting hello_world ... OK\nhello world\nAll children are gone. Parent is exiting...\n", "", 0}
	if r := s.do("start"); r != want {
		t.Errorf("got %+v", r)
	}
	if onDisk(s.pid) {
		t.Error("the PID file is there")
	}
	s = foreign(t, "D_SH=echo up; exec sleep 1000", "D_FOREGROUND=1")
	r := s.begin(s.command("start"))
	waitText(t, r.out, "up\n")
	r.signal(syscall.SIGINT)
	if got := r.wait(); got.code != 0 || !strings.HasSuffix(got.out, childlessLine) {
		t.Errorf("after SIGINT: got %+v", got)
	}
	if r := foreign(t, "D_SH=exit 9", "D_FOREGROUND=1", "D_START_WINDOW=1h").do("start"); r.code != 9 {
		t.Errorf("got %+v", r)
	}
	script := filepath.Join(s.side, "script")
	testkit.WriteProgram(t, script, []byte("no first line\n"))
	if r := foreign(t, program(script), "D_FOREGROUND=1").do("start"); r.code != 1 || !strings.HasPrefix(r.err, "ERROR: Unable to execute "+script+" (exec format error)\n") {
		t.Errorf("got %+v", r)
	}
}

// A keeper that is killed takes the program with it.
func TestProgramWithoutItsKeeper(t *testing.T) {
	s := foreign(t, "D_SH=echo up; exec sleep 1000", "D_FOREGROUND=1")
	r := s.begin(s.command("start"))
	waitText(t, r.out, "up\n")
	pid := s.daemon()
	testkit.WaitFor(t, "sleep", func() bool { return fact(t, pid, "status", "Name:") == "sleep" })
	r.signal(syscall.SIGKILL)
	testkit.WaitGone(t, pid)
}

// Where nothing is launched the very process becomes the program, with the
// sockets that the service manager has passed to it.
func TestProgramUnderAServiceManager(t *testing.T) {
	s := foreign(t, `D_SH=echo "$$ $NOTIFY_SOCKET"; readlink /proc/$$/fd/3; exec sleep 1000`, "NOTIFY_SOCKET=@of-the-manager", "LISTEN_FDS=1")
	self, err := os.Executable()
	must(t, err)
	listener, err := net.Listen("unix", filepath.Join(s.side, "socket"))
	must(t, err)
	passed, err := listener.(*net.UnixListener).File()
	must(t, err)
	defer passed.Close()
	cmd := s.adjust(testkit.Helper(t, s.helper))
	cmd.Path = "/bin/sh"
	cmd.Args = []string{"sh", "-c", `SYSTEMD_EXEC_PID=$$ LISTEN_PID=$$ exec "$0" start`, self}
	cmd.ExtraFiles = []*os.File{passed}
	r := s.begin(cmd)
	got := waitText(t, r.out, "socket:")
	if want := fmt.Sprintf("%d @of-the-manager\nsocket:[", cmd.Process.Pid); !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.daemon(); got != cmd.Process.Pid {
		t.Errorf("the daemon is %d, the process was %d", got, cmd.Process.Pid)
	}
	s.stop()
	if got := r.wait().code; got != -int(syscall.SIGTERM) {
		t.Errorf("it ended with %d", got)
	}
}

func TestRunBecomesTheProgram(t *testing.T) {
	s := foreign(t, program("sh", "-c", "exit 6"))
	if r := s.do("run"); r != (ending{"", "", 6}) {
		t.Errorf("got %+v", r)
	}
	s = foreign(t, program("no-such-program"), "D_PIDFILE=")
	if r := s.do("run"); r.code != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestStopSignalAndOthers(t *testing.T) {
	s := foreign(t, `D_SH=trap 'echo int; exit 0' INT; trap 'echo hup' HUP; trap 'echo term' TERM; echo up; while :; do sleep 0.01; done`, "D_STOP_SIGNAL=2")
	pid := s.start()
	waitText(t, s.out, "up\n")
	if r := s.do("hup"); r != (ending{fmt.Sprintf("%d <nil>\n", pid), "", 0}) {
		t.Errorf("got %+v", r)
	}
	waitText(t, s.out, "hup\n")
	s.stop()
	if got := slurp(s.out); got != "up\nhup\nint\n" {
		t.Errorf("it wrote %q", got)
	}
	if r := s.do("hup"); r.code != 1 || !strings.Contains(r.out, "is not running") {
		t.Errorf("got %+v", r)
	}
}

func TestWhatAProgramCannotBe(t *testing.T) {
	hello := func(p daemonocle.Program) daemonocle.Config {
		if p.Name == "" {
			p.Name = "true"
		}
		return daemonocle.Config{Name: t.Name(), Worker: p.Worker()}
	}
	for name, tt := range map[string]struct {
		c    daemonocle.Config
		want string
	}{
		"no name":      {daemonocle.Config{Worker: daemonocle.Exec("")}, "names no program"},
		"slash":        {hello(daemonocle.Program{Name: "bin/"}), "is a directory"},
		"zero byte":    {hello(daemonocle.Program{Args: []string{"a\x00b"}}), "holds a zero byte"},
		"variable":     {hello(daemonocle.Program{Env: []string{"=x"}}), "is no variable"},
		"limit":        {hello(daemonocle.Program{Limits: []daemonocle.Limit{{Soft: 2, Hard: 1}}}), "above the hard one"},
		"line":         {hello(daemonocle.Program{Ready: daemonocle.ReadyLine(regexp.MustCompile("x"))}), "nothing is written to a file"},
		"no pattern":   {hello(daemonocle.Program{Ready: daemonocle.ReadyLine(nil)}), "no pattern"},
		"no probe":     {hello(daemonocle.Program{Ready: daemonocle.ReadyWhen("x", nil)}), "without a probe"},
		"stop signal":  {daemonocle.Config{StopSignal: syscall.SIGSTOP}, "does not end a daemon"},
		"no signal":    {daemonocle.Config{StopSignal: -1}, "is no signal"},
		"never ready":  {daemonocle.Config{Worker: daemonocle.Exec("true"), RequireReady: true}, "give the program a way to be ready"},
		"reopen signa": {daemonocle.Config{Worker: func(context.Context) error { return nil }, StopSignal: syscall.SIGUSR1}, "does not end a daemon"},
	} {
		_, err := daemonocle.New(tt.c)
		var bad *daemonocle.ConfigError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	d, err := daemonocle.New(daemonocle.Config{Worker: daemonocle.Exec("sleep", "1")})
	must(t, err)
	if got := d.Help(); got != `Run "sleep" as a daemon.` {
		t.Errorf("help: %q", got)
	}
	if err := daemonocle.Exec("true")(t.Context()); err == nil || !strings.Contains(err.Error(), "not a worker's") {
		t.Errorf("outside of a worker: %v", err)
	}
}

// notifier is a program that sends one datagram.
func notifier(t *testing.T, text string, settings ...string) *described {
	self, err := os.Executable()
	must(t, err)
	settings = append(settings, program(self, text), "D_READY=notify",
		"D_ENV="+strings.Join(append(testkit.HelperEnv(t, "notifies"), settings...), "\n"))
	return foreign(t, settings...)
}

func TestReadyByNotification(t *testing.T) {
	s := notifier(t, "STATUS=fine\nREADY=1\n", "D_START_WINDOW=1h")
	s.start()
	s.stop()
	// Its children may speak for it, also one that has gone by then.
	if path, err := exec.LookPath("systemd-notify"); err == nil {
		s = foreign(t, "D_READY=notify", "D_START_WINDOW=1h", "D_SH="+path+" --ready; exec sleep 1000")
		pid := s.start()
		testkit.WaitFor(t, "the child to go", func() bool { return fact(t, pid, "status", "Name:") == "sleep" })
		s.stop()
	}
}

// It may take longer than any window, and the word of others does not count.
func TestNotYetReady(t *testing.T) {
	growing(t, func(limit time.Duration) bool {
		s := notifier(t, "READY=0\nX_READY=1\nSTATUS=loading", "D_START_WINDOW=1ms", "D_START_TIMEOUT="+limit.String())
		r := s.do("start")
		if r.code != 75 {
			t.Errorf("got %+v", r)
		}
		if !strings.Contains(r.err, "\nreason: loading\n") {
			s.do("stop") // it may have found nobody to tell, and have ended
			return false
		}
		s.stop()
		return true
	})
	self, err := os.Executable()
	must(t, err)
	growing(t, func(limit time.Duration) bool {
		sent := filepath.Join(testkit.TempDir(t), "sent")
		s := foreign(t, "D_READY=notify", "D_START_TIMEOUT="+limit.String(), "N_SENT="+sent,
			`D_SH=N_OUTSIDE=1 `+strings.Join(testkit.HelperEnv(t, "notifies"), " ")+" "+self+" READY=1 & while ! [ -e "+sent+" ]; do sleep 0.01; done; exec sleep 1000")
		r := s.do("start")
		heard := onDisk(sent) // before the stop, which the sender outlives
		if r.code != 75 {
			t.Errorf("word from another process group: got %+v", r)
		}
		s.do("stop")
		return heard
	})
}

func TestReadyByALine(t *testing.T) {
	for _, stream := range []string{"", " >&2"} {
		s := foreign(t, "D_READY=line:^listening on \\d+$", "D_START_WINDOW=1h",
			"D_SH={ echo x listening on 1; printf 'listening '; sleep 0.05; echo 'on 80'; sleep 1000; }"+stream)
		must(t, os.WriteFile(s.out, []byte("listening on 1\n"), 0o666))
		r := s.do("start")
		if r.code != 0 || r.out != startedLine || !strings.Contains(slurp(s.out)+slurp(s.err), "listening on 80") {
			t.Errorf("got %+v", r)
		}
		s.do("stop")
	}
	// One file for both.
	s := foreign(t, "D_READY=line:^up", "D_START_WINDOW=1h", "D_SH=echo up; exec sleep 1000")
	s.env = append(s.env, "D_STDERR="+s.out)
	s.start()
	s.stop()
}

func TestReadyByASocket(t *testing.T) {
	socket := filepath.Join(testkit.TempDir(t), "socket")
	s := foreign(t, "D_READY=unix:"+socket, "D_START_WINDOW=1h", program("sleep", "1000"))
	r := s.begin(s.command("start"))
	testkit.WaitFor(t, "the daemon", func() bool { return onDisk(s.pid) })
	time.Sleep(testkit.Settle) // it must not be ready now
	select {
	case <-r.done:
		t.Fatalf("got %+v before anybody listens", r.wait())
	default:
	}
	l, err := net.Listen("unix", socket)
	must(t, err)
	defer l.Close()
	if got := r.wait(); got != (ending{startedLine, "", 0}) {
		t.Errorf("got %+v", got)
	}
	s.stop()
	want := "ERROR: " + socket + " answers already, before the daemon runs\nhint: Stop what answers there, or let the daemon use another address.\n"
	if got := s.do("start"); got != (ending{"Starting foo ... FAILED\n", want, 1}) {
		t.Errorf("got %+v", got)
	}
}

func TestDeathWhileWaitingIsSeenAtOnce(t *testing.T) {
	for _, ready := range []string{"notify", "line:never", "unix:/no/such/socket"} {
		s := foreign(t, "D_READY="+ready, "D_START_TIMEOUT=1h", "D_SH=echo cannot bind >&2; exit 98")
		want := ending{"Starting foo ... FAILED\n", "ERROR: Child exited immediately with exit code 98\nstderr: cannot bind\n", 98}
		if r := s.do("start"); r != want {
			t.Errorf("%s: got %+v", ready, r)
		}
	}
}

func TestCancelledStartOfAProgram(t *testing.T) {
	s := foreign(t, "D_READY=line:never", "D_START_TIMEOUT=1h", "D_SH=trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.01; done")
	r := s.begin(s.command("start"))
	waitText(t, s.out, "up\n")
	r.signal(syscall.SIGINT)
	if got := r.wait(); got.code != 130 || got.out != "Starting foo ... FAILED\n" {
		t.Errorf("got %+v", got)
	}
	if got := slurp(s.out); got != "up\nbye\n" {
		t.Errorf("it wrote %q", got)
	}
	if left := s.processes(); len(left) > 0 || onDisk(s.pid) {
		t.Errorf("left: %v, PID file: %v", left, onDisk(s.pid))
	}
}

// What a program has started is no part of it that it could be asked to end.
func TestCancelledStartOfAProgramLeavesNothing(t *testing.T) {
	testkit.Parallel(t)
	root := func(t *testing.T) []string {
		uid, _ := testkit.Unprivileged(t)
		return []string{fmt.Sprintf("D_USER=%d", uid)}
	}
	for name, tt := range map[string]struct {
		script string
		as     func(t *testing.T) []string
	}{
		"in another group":       {script: `exec bash -c 'set -m; sh -c "echo up; exec sleep 1000" & exec sleep 1000'`},
		"in another session":     {script: `setsid sh -c 'echo up; exec sleep 1000' & exec sleep 1000`},
		"an orphan in another":   {script: `(setsid sh -c 'echo up; exec sleep 1000' &); exec sleep 1000`},
		"one after the other":    {script: `setsid sh -c 'setsid sh -c "setsid sh -c \"echo up; exec sleep 1000\" & exec sleep 1000" & exec sleep 1000' & exec sleep 1000`},
		"deaf":                   {script: `setsid sh -c 'trap "" TERM; echo up; exec sleep 1000' & exec sleep 1000`},
		"stopped":                {script: `setsid sh -c 'echo up; kill -STOP $$; exec sleep 1000' & exec sleep 1000`},
		"of another user":        {script: `setsid sh -c 'echo up; exec sleep 1000' & exec sleep 1000`, as: root},
		"deaf, and another user": {script: `setsid sh -c 'trap "" TERM; echo up; exec sleep 1000' & exec sleep 1000`, as: root},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Parallel(t)
			s := foreign(t, "D_READY=line:never", "D_START_TIMEOUT=1h", "D_SH="+tt.script)
			if tt.as != nil {
				s.with(tt.as(t)...)
			}
			r := s.begin(s.command("start"))
			waitText(t, s.out, "up\n")
			r.signal(syscall.SIGINT)
			// What it wrote is shown if the launcher has seen by then that it is the program.
			if got := r.wait(); got.code != 130 || got.out != "Starting foo ... FAILED\n" || !strings.HasPrefix(got.err, "ERROR: Start was cancelled\n") {
				t.Errorf("got %+v", got)
			}
			if left := s.processes(); len(left) > 0 || onDisk(s.pid) {
				t.Errorf("left: %v, PID file: %v", left, onDisk(s.pid))
			}
		})
	}
}

// Root's rights are not for what the daemon's user has only called, and could not end himself.
func TestCancelledStartLeavesWhatHasBecomeRoot(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	path, err := exec.LookPath("setpriv")
	if err != nil {
		testkit.Skip(t, "setpriv", err.Error())
	}
	image, err := os.ReadFile(path)
	must(t, err)
	special := filepath.Join(testkit.TempDir(t), "special")
	must(t, os.Chmod(filepath.Dir(special), 0o755))
	testkit.WriteProgram(t, special, image)
	must(t, os.Chmod(special, 0o755|os.ModeSetuid))
	s := foreign(t, "D_READY=line:never", "D_START_TIMEOUT=1h", fmt.Sprintf("D_USER=%d", uid),
		"D_SH=setsid "+special+` --reuid 0 sh -c 'id -ru; echo $$ up; exec sleep 1000' & exec sleep 1000`)
	r := s.begin(s.command("start"))
	var user, child int
	if _, err := fmt.Sscanf(waitText(t, s.out, "up\n"), "%d\n%d up\n", &user, &child); err != nil {
		t.Fatal(err)
	}
	if user != 0 {
		testkit.Skip(t, "set-user-ID", "the file system ignores it")
	}
	r.signal(syscall.SIGINT)
	if got := r.wait(); got.code != 130 {
		t.Errorf("got %+v", got)
	}
	if left := s.processes(); !slices.Equal(left, []int{child}) || onDisk(s.pid) {
		t.Errorf("left: %v, want %d, PID file: %v", left, child, onDisk(s.pid))
	}
}

// The signal must reach the daemon whether it is the program already or not yet.
func TestStopInTheMomentOfExec(t *testing.T) {
	for i := range 40 {
		sig := []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1}[i%2]
		s := foreign(t, program("sleep", "1000"), "D_START_TIMEOUT=1h", "D_READY=line:never", fmt.Sprint("D_STOP_SIGNAL=", int(sig)))
		r := s.begin(s.command("start"))
		testkit.WaitFor(t, "the PID file", func() bool { return slurp(s.pid) != "" })
		time.Sleep(time.Duration(i/2) * 300 * time.Microsecond) // somewhere along the way
		if got := s.do("stop"); got.code != 0 || !strings.HasPrefix(got.out, "Stopping foo ... OK\n") && !strings.Contains(got.err, "not running") {
			t.Fatalf("stop: %+v", got)
		}
		if got := r.wait(); got.code == 0 {
			t.Fatalf("start: %+v", got)
		}
		testkit.WaitFor(t, "nothing to be left", func() bool { return len(s.processes()) == 0 })
	}
}

// What a program does not use of this it does not link.
func TestOnlyWhoExecutesProgramsLinksIt(t *testing.T) {
	for of, executes := range map[string]bool{"./examples/heartbeat": false, "./cmd/daemonocle": true} {
		graph := goCommand(t, "linux", "build", "-o", os.DevNull, "-ldflags=-dumpdep", of)
		if !strings.Contains(graph, "\nmain.main -> ") {
			t.Fatalf("the linker's output is no graph of what needs what: %.200s", graph)
		}
		for _, name := range []string{module + ".(*programWorker).", module + "/internal/program.", module + "/internal/sdnotify.(*Listener).", "regexp."} {
			if strings.Contains(graph, "\n"+name) != executes {
				t.Errorf("%s, which executes programs: %t, links %s: %t", of, executes, name, !executes)
			}
		}
	}
}

// In a container the keeper is PID 1: it passes signals on to the program, reaps what
// is left to it, and ends with the program's exit code.
func TestProgramUnderPID1(t *testing.T) {
	testkit.RequireRoot(t)
	s := foreign(t, "D_SH=(setsid sleep 1000 &); trap 'echo bye; kill $!; exit 5' TERM; sleep 1000 & echo worker; wait")
	cmd := testkit.InPIDNamespace(t, "execs", "start")
	cmd.Env = append(cmd.Env, s.env...)
	r := s.begin(cmd)
	waitText(t, r.out, "worker\n")
	pid1 := cmd.Process.Pid
	var program, stray int
	testkit.WaitFor(t, "the program and what it has left to PID 1", func() bool {
		for _, pid := range childrenOf(pid1) {
			switch slurp(fmt.Sprintf("/proc/%d/comm", pid)) {
			case "sh\n":
				program = pid
			case "sleep\n":
				stray = pid
			}
		}
		return program != 0 && stray != 0
	})
	// Its child is no shell any more, which would take a signal for its own trap's.
	testkit.WaitFor(t, "the program's child", func() bool {
		all := childrenOf(program)
		return len(all) == 1 && slurp(fmt.Sprintf("/proc/%d/comm", all[0])) == "sleep\n"
	})
	if group := testkit.Stat(program).PGrp; group != program {
		t.Errorf("the program %d is in process group %d", program, group)
	}
	endStray(t, stray)
	must(t, syscall.Kill(pid1, syscall.SIGTERM))
	got := r.wait()
	if got.code != 5 || !strings.Contains(got.out, "Received signal SIGTERM (15). Forwarding to child...\n") || !strings.Contains(got.out, "bye\n") || !strings.HasSuffix(got.out, childlessLine) {
		t.Errorf("got %+v", got)
	}
	if onDisk(s.pid) {
		t.Error("the PID file is there")
	}
}
