//go:build linux

package daemonocle_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func init() {
	helpers["life"] = lifeProgram
	helpers["nanny"] = nanny
	helpers["scene"] = func() { scenes[os.Args[1]]() }
}

// lifeProgram is prog with a worker that does what it is told through the FIFO
// L_FIFO, and with hooks of all kinds:
//
//	L_HOOK      shutdown hook: panic, hang; else D_HOOK_LOG gets "message|code|is the PID file there"
//	L_PRIV      privileged hook: say, ready, panic, or the text of its error
//	L_REFUSE    a file: its text is an error of the privileged hook; no file: none
//	L_FAIL      a file: its text is an error of the worker, at once; no file: none
//	L_START     start hook: panic, late, innocent, or the text of its error
//	L_LOGGER    set: a Logger that writes to stdout
//	L_STUBBORN  set: the worker ignores the end of its context
//	L_RETURN    what the worker returns when its context ends; see giveBack
//	L_HEAR      set: the worker says the signals that it gets
//	L_RUN       set: Run instead of Do
//	L_QUIET     set: the worker is ready only when it is told
//	L_LINGER    a FIFO: the first generation ends when somebody opens it for writing
//	L_NOTIFY_FD StartOptions.NotifyFD
//	L_HEALTH    a file: Health gives its text as an error, hangs at "hang"; no file: healthy
func lifeProgram() {
	commands, err := os.OpenFile(os.Getenv("L_FIFO"), os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	c := progConfig()
	c.Worker = func(ctx context.Context) error {
		if text := slurp(os.Getenv("L_FAIL")); text != "" {
			return errors.New(text)
		}
		return obey(ctx, commands)
	}
	if path := os.Getenv("L_REFUSE"); path != "" {
		c.Hooks.Privileged = func(context.Context) error {
			if text := slurp(path); text != "" {
				return errors.New(text)
			}
			return nil
		}
	}
	if os.Getenv("L_LOGGER") != "" {
		c.Logger = slog.New(slog.NewTextHandler(os.Stdout, nil))
	}
	if path := os.Getenv("L_HEALTH"); path != "" {
		c.Health = func(ctx context.Context) error { return health(ctx, path) }
	}
	switch path := os.Getenv("D_HOOK_LOG"); os.Getenv("L_HOOK") {
	case "panic":
		c.Hooks.Shutdown = func(daemonocle.Shutdown) { panic("coconut") }
	case "hang":
		c.Hooks.Shutdown = func(daemonocle.Shutdown) { fmt.Println("hook hangs"); select {} }
	default:
		c.Hooks.Shutdown = func(s daemonocle.Shutdown) {
			_, err := os.Stat(os.Getenv("D_PIDFILE"))
			appendLine(path, fmt.Sprintf("%s|%d|%v", s.Message, s.Code, err == nil))
		}
	}
	if what := os.Getenv("L_PRIV"); what != "" {
		c.Hooks.Privileged = func(ctx context.Context) error {
			fmt.Println("privileged hook: uid", os.Getuid(), "of", daemonocle.From(ctx).Name())
			switch what {
			case "say":
				return nil
			case "ready":
				fmt.Println("ready too early:", daemonocle.Ready(ctx))
				return nil
			case "panic":
				panic("coconut")
			case "goexit":
				runtime.Goexit()
			}
			return errors.New(what)
		}
	}
	if what := os.Getenv("L_START"); what != "" {
		c.Hooks.Start = func(_ context.Context, info daemonocle.StartInfo) error {
			switch what {
			case "panic":
				panic("coconut")
			case "goexit":
				runtime.Goexit()
			case "late":
				go waitLate()
				return nil
			case "innocent":
				return startInnocent()
			}
			return fmt.Errorf("%s, debug: %v", what, info.Debug)
		}
	}
	d, err := daemonocle.New(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv("L_RUN") != "" {
		os.Exit(daemonocle.ExitCode(d.Run(context.Background())))
	}
	if fd := os.Getenv("L_NOTIFY_FD"); fd != "" {
		n, _ := strconv.Atoi(fd)
		var options any = daemonocle.StartOptions{NotifyFD: n}
		if os.Args[1] == "restart" {
			options = daemonocle.RestartOptions{Start: options.(daemonocle.StartOptions)}
		}
		os.Exit(daemonocle.ExitCode(d.DoWith(context.Background(), daemonocle.Output{}, os.Args[1], options, os.Args[2:]...)))
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

func health(ctx context.Context, path string) error {
	text := slurp(path)
	switch text {
	case "":
		return nil
	case "hang":
		fmt.Println("health hangs")
		select {}
	case "slow":
		<-ctx.Done()
		fmt.Println("health gives up")
		return ctx.Err()
	}
	return errors.New(text)
}

// obey is the worker of lifeProgram. A command is a word and its argument; after
// "@N" it is for generation N. When its context has ended, or when it ends, it reads no more:
// a command that comes later is the next worker's.
func obey(ctx context.Context, from *os.File) error {
	heard := make(chan os.Signal, 16)
	if os.Getenv("L_HEAR") != "" {
		ossignal.Notify(heard, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	}
	commands, quit, err := hear(from, daemonocle.Generation(ctx))
	if err != nil {
		return err
	}
	defer quit()
	fmt.Printf("worker %d: uid %d of %s, args %q\n", os.Getpid(), os.Getuid(), daemonocle.From(ctx).Name(), daemonocle.Args(ctx))
	if os.Getenv("L_QUIET") == "" {
		if err := daemonocle.Ready(ctx); err != nil {
			return err
		}
	}
	end := ctx.Done()
	for {
		select {
		case s := <-heard:
			fmt.Println("heard", unix.SignalName(s.(syscall.Signal)))
		case <-end:
			var s *daemonocle.SignalError
			if os.Getenv("L_STUBBORN") == "" {
				quit()
			}
			fmt.Printf("cause: %v, of type SignalError: %v\n", context.Cause(ctx), errors.As(context.Cause(ctx), &s))
			if path := os.Getenv("L_LINGER"); path != "" && daemonocle.Generation(ctx) == 1 {
				f, err := os.Open(path)
				fmt.Println("lingered:", err)
				f.Close()
			}
			if os.Getenv("L_STUBBORN") == "" {
				return giveBack(ctx, os.Getenv("L_RETURN"))
			}
			end = nil
		case line := <-commands:
			command, arg, _ := strings.Cut(line, " ")
			switch command {
			case "say":
				fmt.Println(arg)
			case "err":
				fmt.Fprintln(os.Stderr, arg)
			case "sh": // with our output
				cmd := exec.Command("/bin/sh", "-c", arg)
				cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
				fmt.Println("sh:", cmd.Run())
			case "ready":
				fmt.Println("ready:", daemonocle.Ready(ctx))
			case "note":
				fmt.Println("note:", daemonocle.Notify(ctx, arg))
			case "forge": // the word that another process has taken this one's place
				pid, err := strconv.Atoi(arg)
				fmt.Println("forge:", errors.Join(err, forge(launch.Took, pid, 0, "")))
			case "garble": // the wire to the keeper
				fmt.Println("garbled:", garble(arg))
			case "tell": // the keeper, which tells the service manager
				fmt.Println("told:", forge(launch.Told, 0, 0, strings.ReplaceAll(arg, `\n`, "\n")))
			case "forge-all": // what a launcher hears from its own processes only; a file that is not ours
				fmt.Println("forged:", forgeAll(arg))
			case "lie": // about why it cannot start: a kind and a text
				kind, text, _ := strings.Cut(arg, " ")
				fmt.Println("lied:", forge(map[string]launch.Kind{"held": launch.Held, "blocked": launch.Blocked, "failed": launch.Failed, "refused": launch.Refused}[kind], 0, 0, text))
			case "beat":
				fmt.Println("beat:", daemonocle.Heartbeat(ctx))
			case "status":
				status, err := daemonocle.From(ctx).Status(ctx, daemonocle.StatusOptions{})
				fmt.Println("status:", status.Running, status.PID, err)
			case "generation":
				fmt.Println("generation:", daemonocle.Generation(ctx))
			case "reload":
				if err := daemonocle.From(ctx).Reload(ctx); err != nil {
					fmt.Println("reload:", err)
				}
			case "reopen":
				fmt.Println("reopened:", daemonocle.From(ctx).ReopenLogs())
			case "setuid":
				fmt.Println("setuid:", syscall.Setuid(0), syscall.Setgid(0), syscall.Setgroups([]int{0}))
			case "kill":
				n, _ := strconv.Atoi(arg)
				syscall.Kill(os.Getpid(), syscall.Signal(n))
			case "gopanic":
				go panic(arg)
			case "return":
				return giveBack(ctx, arg)
			}
		}
	}
}

// hear reads commands until quit is called, which leaves in the FIFO what nobody has taken.
func hear(from *os.File, generation int) (commands <-chan string, quit func(), err error) {
	if err := markReader(from); err != nil {
		return nil, nil, err
	}
	heard, stop, done := make(chan string), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer from.Close()
		for s := bufio.NewScanner(from); s.Scan(); {
			line := s.Text()
			command := line
			if strings.HasPrefix(line, "@") {
				var to string
				to, command, _ = strings.Cut(line, " ")
				if to != fmt.Sprint("@", generation) {
					fmt.Fprintln(from, line)
					time.Sleep(time.Millisecond) // the other one's turn
					continue
				}
			}
			select {
			case heard <- command:
			case <-stop:
				fmt.Fprintln(from, line)
			}
		}
	}()
	return heard, sync.OnceFunc(func() {
		close(stop)
		from.SetReadDeadline(time.Now())
		<-done
	}), nil
}

func giveBack(ctx context.Context, what string) error {
	what, arg, _ := strings.Cut(what, ":")
	n, _ := strconv.Atoi(arg)
	switch what {
	case "ctx":
		return ctx.Err()
	case "cause":
		return context.Cause(ctx)
	case "wrapped":
		return fmt.Errorf("serve: %w", context.Cause(ctx))
	case "error":
		return errors.New(arg)
	case "exit":
		return &daemonocle.ExitError{Code: n}
	case "message":
		return &daemonocle.ExitError{Message: arg}
	case "both":
		return &daemonocle.ExitError{Message: "goodbye world", Code: n}
	case "panic":
		panic(arg)
	case "goexit":
		runtime.Goexit()
	}
	return nil
}

// nanny runs the helper NANNY_OF, adopts the daemon that it leaves behind, and
// says how both ended: N for an exit code, -N for a signal.
func nanny() {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), "TESTKIT_HELPER="+os.Getenv("NANNY_OF"))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Run()
	fmt.Println("launcher", cmd.ProcessState.ExitCode())
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return
		}
		code := ws.ExitStatus()
		if ws.Signaled() {
			code = -int(ws.Signal())
		}
		fmt.Printf("ended %d %d\n", pid, code)
	}
}

// described is a daemon under test, seen from outside.
type described struct {
	t      *testing.T
	helper string
	env    []string
	dir    string // the daemon's files
	side   string // the test's own
	pid    string // PID file, and so on
	out    string
	err    string
	hooks  string
	user   *syscall.Credential // who starts it, nil: we
	runs   int
}

// describe describes a daemon foo of a helper program. Its PID file, FIFO and
// hook log are set; the log files are, unless they are among the settings.
func describe(t *testing.T, helper string, settings ...string) *described {
	t.Helper()
	testkit.Parallel(t)
	s := &described{t: t, helper: helper, dir: testkit.TempDir(t), side: testkit.TempDir(t)}
	s.pid = filepath.Join(s.dir, "foo.pid")
	s.out, s.err = filepath.Join(s.dir, "out.log"), filepath.Join(s.dir, "err.log")
	s.hooks = filepath.Join(s.side, "hooks")
	fifo := filepath.Join(s.side, "fifo")
	if err := errors.Join(
		syscall.Mkfifo(fifo, 0o666), os.Chmod(fifo, 0o666),
		os.WriteFile(s.hooks, nil, 0o666), os.Chmod(s.hooks, 0o666), os.Chmod(s.side, 0o777),
	); err != nil {
		t.Fatal(err)
	}
	s.env = append([]string{
		"D_PIDFILE=" + s.pid, "D_STDOUT=" + s.out, "D_STDERR=" + s.err, "D_HOOK_LOG=" + s.hooks, "L_FIFO=" + fifo,
		"SSH_CONNECTION=",
	}, settings...)
	t.Cleanup(s.sweep)
	return s
}

// setting gives the value of an environment variable.
func (s *described) setting(name string) string {
	for _, kv := range slices.Backward(s.env) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// sweep ends what the test has left behind.
func (s *described) sweep() { testkit.Sweep(s.t, "L_FIFO="+s.setting("L_FIFO")) }

// processes are the living processes that were started for this daemon.
func (s *described) processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		s.t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if strings.Contains(string(env), "L_FIFO="+s.setting("L_FIFO")+"\x00") && !testkit.Gone(pid) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// as makes nobody the one who starts the daemon, if we are root.
func (s *described) asOrdinary() *described {
	if os.Geteuid() == 0 {
		uid, gid := testkit.Unprivileged(s.t)
		s.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := errors.Join(os.Chown(s.dir, uid, gid), os.Chown(s.side, uid, gid)); err != nil {
			s.t.Fatal(err)
		}
	}
	return s
}

func (s *described) command(args ...string) *exec.Cmd {
	s.t.Helper()
	return s.adjust(testkit.Helper(s.t, s.helper, args...))
}

func (s *described) adjust(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(cmd.Env, s.env...)
	if s.user != nil {
		// The test binary's directory may be closed to others.
		cmd.Path = "/proc/self/exe"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	}
	return cmd
}

// running is a command whose output goes to files of the test.
type running struct {
	s        *described
	cmd      *exec.Cmd
	out, err string
	done     chan struct{}
}

type ending struct {
	out, err string
	code     int // -N: killed by signal N
}

// begin starts the command. Streams that are set stay.
func (s *described) begin(cmd *exec.Cmd) *running {
	s.t.Helper()
	s.runs++
	base := filepath.Join(s.side, strconv.Itoa(s.runs))
	r := &running{s: s, cmd: cmd, out: base + ".out", err: base + ".err", done: make(chan struct{})}
	open := func(path string) *os.File {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { f.Close() })
		return f
	}
	if cmd.Stdout == nil {
		cmd.Stdout = open(r.out)
	}
	if cmd.Stderr == nil {
		cmd.Stderr = open(r.err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { cmd.Wait(); close(r.done) }()
	return r
}

// wait gives what the command has written, and how it ended.
func (r *running) wait() ending {
	r.s.t.Helper()
	select {
	case <-r.done:
	case <-time.After(testkit.Patience):
		r.s.t.Fatalf("%q does not end; stdout %q, stderr %q", r.cmd.Args[1:], slurp(r.out), slurp(r.err))
	}
	code := r.cmd.ProcessState.ExitCode()
	if ws := r.cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		code = -int(ws.Signal())
	}
	return ending{slurp(r.out), slurp(r.err), code}
}

func (r *running) signal(sig syscall.Signal) {
	r.s.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.s.t.Fatalf("signal %v: %v", sig, err)
	}
}

func (s *described) do(args ...string) ending {
	s.t.Helper()
	return s.begin(s.command(args...)).wait()
}

// start starts the daemon detached and returns its PID.
func (s *described) start() int {
	s.t.Helper()
	if r := s.do("start"); r != (ending{"Starting foo ... OK\n", "", 0}) {
		s.t.Fatalf("start: %+v", r)
	}
	return s.daemon()
}

// daemon is the PID in the PID file.
func (s *described) daemon() int {
	s.t.Helper()
	text := slurp(s.pid)
	pid, err := strconv.Atoi(strings.TrimSuffix(text, "\n"))
	if err != nil {
		s.t.Fatalf("PID file has %q", text)
	}
	return pid
}

// readerFlag marks the FIFO of commands in a worker that reads it. Every process of the
// program has it open, for the worker may be in a chroot. The flag has no effect on a FIFO,
// and others see it in /proc.
const readerFlag = unix.O_APPEND

func markReader(fifo *os.File) error {
	raw, err := fifo.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err == nil {
			_, err = unix.FcntlInt(fd, unix.F_SETFL, flags|readerFlag)
		}
		failed = err
	})
	return errors.Join(err, failed)
}

// readers are the processes whose workers read commands.
func (s *described) readers() (pids []int) {
	s.t.Helper()
	var fifo, st unix.Stat_t
	if err := unix.Stat(s.setting("L_FIFO"), &fifo); err != nil {
		s.t.Fatal(err)
	}
	for _, pid := range s.processes() {
		dir := fmt.Sprintf("/proc/%d/", pid)
		fds, _ := os.ReadDir(dir + "fd")
		for _, fd := range fds {
			if unix.Stat(dir+"fd/"+fd.Name(), &st) != nil || st.Ino != fifo.Ino || st.Dev != fifo.Dev {
				continue
			}
			var pos, flags int
			if n, _ := fmt.Sscanf(slurp(dir+"fdinfo/"+fd.Name()), "pos: %d\nflags: %o", &pos, &flags); n == 2 && flags&readerFlag != 0 {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// tell gives the worker of lifeProgram a command, when there is one worker that reads: a
// moment after a reload there may be the old one still, and the new one not yet.
func (s *described) tell(format string, args ...any) {
	s.t.Helper()
	var all []int
	defer func() {
		if len(all) != 1 {
			s.t.Logf("processes that read commands: %v", all)
			for _, pid := range s.processes() {
				s.t.Logf("process %d lives: %+v, %q", pid, testkit.Stat(pid), slurp(fmt.Sprintf("/proc/%d/comm", pid)))
			}
		}
	}()
	testkit.WaitFor(s.t, "one worker that reads commands", func() bool {
		all = s.readers()
		return len(all) == 1
	})
	s.write(format, args...)
}

// tellGeneration is for when there are two.
func (s *described) tellGeneration(generation int, format string, args ...any) {
	s.t.Helper()
	s.write("@%d %s", generation, fmt.Sprintf(format, args...))
}

func (s *described) write(format string, args ...any) {
	s.t.Helper()
	var f *os.File
	testkit.WaitFor(s.t, "somebody to listen to commands", func() (ok bool) {
		var err error
		f, err = os.OpenFile(s.setting("L_FIFO"), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	defer f.Close()
	if _, err := fmt.Fprintf(f, format+"\n", args...); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends the daemon and checks that nothing of it is left.
func (s *described) stop() {
	s.t.Helper()
	if r := s.do("stop"); r != (ending{"Stopping foo ... OK\n", "", 0}) {
		s.t.Fatalf("stop: %+v", r)
	}
}

// hookLog is what the shutdown hook was told, a line for each call.
func (s *described) hookLog() string { return slurp(s.hooks) }

func slurp(path string) string {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err.Error()
	}
	return string(b)
}

// waitText waits until the file has the text, and returns all that it has.
func waitText(t *testing.T, path, text string) string {
	t.Helper()
	defer func() {
		if has := slurp(path); !strings.Contains(has, text) {
			t.Logf("%s has %q", path, has)
		}
	}()
	testkit.WaitFor(t, fmt.Sprintf("%q in %s", text, filepath.Base(path)), func() bool {
		return strings.Contains(slurp(path), text)
	})
	return slurp(path)
}

func onDisk(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// watched is a daemon whose wait status will be known.
type watched struct {
	*running
	pid int
}

func (s *described) startWatched() *watched {
	s.t.Helper()
	cmd := s.adjust(testkit.Helper(s.t, "nanny", "start"))
	cmd.Env = append(cmd.Env, "NANNY_OF="+s.helper)
	testkit.Helper(s.t, s.helper) // counts it as used
	w := &watched{running: s.begin(cmd)}
	if text := waitText(s.t, w.out, "launcher"); text != "launcher 0\n" {
		s.t.Fatalf("start: %s%s", text, slurp(w.err))
	}
	w.pid = s.daemon()
	return w
}

func (w *watched) kill(sig syscall.Signal) {
	w.s.t.Helper()
	if err := syscall.Kill(w.pid, sig); err != nil {
		w.s.t.Fatal(err)
	}
}

// status waits for the end of the daemon.
func (w *watched) status() int {
	w.s.t.Helper()
	r := w.wait()
	for line := range strings.Lines(r.out) {
		var pid, code int
		if n, _ := fmt.Sscanf(line, "ended %d %d", &pid, &code); n == 2 && pid == w.pid {
			return code
		}
	}
	w.s.t.Fatalf("nothing is known of process %d: %q", w.pid, r.out)
	return 0
}

// nameOf is as in "SIGTERM (15)".
func nameOf(sig syscall.Signal) string {
	return fmt.Sprintf("%s (%d)", unix.SignalName(sig), int(sig))
}

// abandonedBy is the exit code of a daemon that was abandoned after the signal.
func abandonedBy(sig syscall.Signal) int { return 128 + int(sig) }

func TestSignalEndsTheContextAndTheProcessWell(t *testing.T) {
	testkit.Parallel(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} {
		for _, back := range []string{"nil", "ctx", "cause", "wrapped"} {
			t.Run(unix.SignalName(sig)+" "+back, func(t *testing.T) {
				s := describe(t, "life", "L_RETURN="+back)
				w := s.startWatched()
				w.kill(sig)
				if got := w.status(); got != 0 {
					t.Errorf("exit code %d, want 0", got)
				}
				if got, want := s.hookLog(), fmt.Sprintf("Terminated by %s|%d|true\n", nameOf(sig), -int(sig)); got != want {
					t.Errorf("hook got %q, want %q", got, want)
				}
				if want := "cause: terminated by " + nameOf(sig) + ", of type SignalError: true\n"; !strings.Contains(slurp(s.out), want) {
					t.Errorf("worker said %q, want %q", slurp(s.out), want)
				}
				if got := slurp(s.err); got != "" {
					t.Errorf("stderr has %q", got)
				}
				if onDisk(s.pid) {
					t.Error("the PID file is still there")
				}
			})
		}
	}
}

// ways to end, as the worker returns them: message and code for the hook, exit
// code of the process, and what goes to its stderr.
var ways = []struct {
	back, message string
	code, exit    int
	stderr        string
}{
	{"nil", "Shutting down normally", 0, 0, ""},
	{"exit:0", "Shutting down normally", 0, 0, ""},
	{"exit:42", "Exiting with non-zero exit code 42", 42, 42, "ERROR: Exit with code 42\n"},
	{"exit:300", "Exiting with non-zero exit code 300", 300, 300 % 256, "ERROR: Exit with code 300\n"},
	{"exit:-9", "Exiting with non-zero exit code -9", -9, 128 + 9, "ERROR: Exit with code -9\n"},
	{"message:goodbye world", "Exiting with message: goodbye world", 1, 1, "ERROR: goodbye world\n"},
	{"both:7", "Exiting with message: goodbye world", 7, 7, "ERROR: goodbye world\n"},
	{"error:banana", "Dying due to unhandled error: banana", 1, 1, "ERROR: banana\n"},
	{"panic:banana", "Dying due to unhandled panic: banana", 2, 2, "panic: banana\n"},
	{"goexit", "Dying due to unhandled panic: the worker called runtime.Goexit", 2, 2, "panic: "},
}

func TestEveryWayToEndHasItsMessageAndCode(t *testing.T) {
	testkit.Parallel(t)
	for _, asked := range []bool{false, true} {
		for _, way := range ways {
			name := way.back
			if asked {
				name += " after a signal"
			}
			t.Run(name, func(t *testing.T) {
				s := describe(t, "life", "L_RETURN="+way.back)
				w := s.startWatched()
				message, code := way.message, way.code
				if asked {
					w.kill(syscall.SIGTERM)
					if way.back == "nil" {
						message, code = "Terminated by "+nameOf(syscall.SIGTERM), -int(syscall.SIGTERM)
					}
				} else {
					s.tell("return %s", way.back)
				}
				if got := w.status(); got != way.exit {
					t.Errorf("exit code %d, want %d", got, way.exit)
				}
				if got, want := s.hookLog(), fmt.Sprintf("%s|%d|true\n", message, code); got != want {
					t.Errorf("hook got %q, want %q", got, want)
				}
				if got := slurp(s.err); got != way.stderr && (way.code != 2 || !strings.HasPrefix(got, way.stderr)) {
					t.Errorf("stderr has %q, want %q", got, way.stderr)
				}
				if onDisk(s.pid) {
					t.Error("the PID file is still there")
				}
			})
		}
	}
}

// A worker of which the context has not ended cannot excuse itself with it.
func TestContextErrorWithoutASignalIsAnError(t *testing.T) {
	s := describe(t, "life")
	w := s.startWatched()
	s.tell("return error:%v", context.Canceled)
	if got := w.status(); got != 1 {
		t.Errorf("exit code %d, want 1", got)
	}
	if got, want := s.hookLog(), "Dying due to unhandled error: context canceled|1|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}

// The complaint goes to the Logger if there is one, else to stderr.
func TestPanicInTheShutdownHookChangesNothing(t *testing.T) {
	testkit.Parallel(t)
	for _, logger := range []string{"", "1"} {
		t.Run("logger "+logger, func(t *testing.T) {
			s := describe(t, "life", "L_HOOK=panic", "L_LOGGER="+logger)
			w := s.startWatched()
			s.tell("return exit:42")
			if got := w.status(); got != 42 {
				t.Errorf("exit code %d, want 42", got)
			}
			if onDisk(s.pid) {
				t.Error("the PID file is still there")
			}
			heard, silent := s.err, s.out
			if logger != "" {
				heard, silent = silent, heard
			}
			if got, want := slurp(heard), "shutdown hook panicked: coconut"; !strings.Contains(got, want) {
				t.Errorf("heard %q, want %q", got, want)
			}
			if got := slurp(silent); strings.Contains(got, "coconut") {
				t.Errorf("also said %q", got)
			}
		})
	}
}

func TestHangingHookIsLeftBehind(t *testing.T) {
	testkit.Parallel(t)
	for _, by := range []string{"AbandonAfter", "SIGINT", "SIGQUIT"} {
		t.Run(by, func(t *testing.T) {
			settings := []string{"L_HOOK=hang"}
			if by == "AbandonAfter" {
				settings = append(settings, "D_ABANDON_AFTER=10ms")
			}
			s := describe(t, "life", settings...)
			w := s.startWatched()
			s.tell("return exit:42")
			waitText(t, s.out, "hook hangs")
			switch by {
			case "SIGINT":
				w.kill(syscall.SIGTERM) // is not enough
				w.kill(syscall.SIGINT)
			case "SIGQUIT":
				w.kill(syscall.SIGQUIT)
			}
			if got := w.status(); got != 42 {
				t.Errorf("exit code %d, want 42", got)
			}
			if got, want := slurp(s.err), "Call the shutdown hook: it "; !strings.Contains(got, want) {
				t.Errorf("stderr has %q, want %q", got, want)
			}
			if onDisk(s.pid) {
				t.Error("the PID file is still there")
			}
		})
	}
}

func TestAbandonAfterEndsADeafWorker(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := describe(t, "life", "L_STUBBORN=1", "D_ABANDON_AFTER=10ms")
		w := s.startWatched()
		w.kill(sig)
		if got, want := w.status(), abandonedBy(sig); got != want {
			t.Errorf("%v: exit code %d, want %d", sig, got, want)
		}
		if got, want := s.hookLog(), fmt.Sprintf("Terminated by %s|%d|true\n", nameOf(sig), -int(sig)); got != want {
			t.Errorf("%v: hook got %q, want %q", sig, got, want)
		}
	}
}

func TestSecondInterruptCutsTheGoodbyeShort(t *testing.T) {
	testkit.Parallel(t)
	for _, second := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		t.Run(unix.SignalName(second), func(t *testing.T) {
			s := describe(t, "life", "L_STUBBORN=1")
			w := s.startWatched()
			w.kill(syscall.SIGTERM)
			waitText(t, s.out, "cause:")
			w.kill(second)
			if got, want := w.status(), abandonedBy(syscall.SIGTERM); got != want {
				t.Errorf("exit code %d, want %d", got, want)
			}
			if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
				t.Errorf("hook got %q, want %q", got, want)
			}
			// obey is on the worker's stack.
			dumped := strings.Contains(slurp(s.err), "goroutine ") && strings.Contains(slurp(s.err), "daemonocle_test.obey(")
			if want := second == syscall.SIGQUIT; dumped != want {
				t.Errorf("goroutine dump on stderr: %v, want %v: %q", dumped, want, slurp(s.err))
			}
			if onDisk(s.pid) {
				t.Error("the PID file is still there")
			}
		})
	}
}

func TestSecondTermDoesNotCutTheGoodbyeShort(t *testing.T) {
	s := describe(t, "life", "L_STUBBORN=1", "L_HEAR=1")
	w := s.startWatched()
	for n := 1; n <= 3; n++ {
		w.kill(syscall.SIGTERM)
		testkit.WaitFor(t, "the worker to hear the signal", func() bool {
			return strings.Count(slurp(s.out), "heard SIGTERM\n") == n && strings.Contains(slurp(s.out), "cause:")
		})
	}
	s.tell("say still here")
	waitText(t, s.out, "still here")
	s.tell("return nil")
	if got := w.status(); got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
	if got, want := s.hookLog(), "Terminated by SIGTERM (15)|-15|true\n"; got != want {
		t.Errorf("hook got %q, want %q", got, want)
	}
}

func TestHookCannotRunWhenTheProcessIsKilled(t *testing.T) {
	for command, want := range map[string]int{"kill 9": -9, "gopanic x": 2} {
		s := describe(t, "life")
		w := s.startWatched()
		s.tell("%s", command)
		if got := w.status(); got != want {
			t.Errorf("%s: exit code %d, want %d", command, got, want)
		}
		if got := s.hookLog(); got != "" {
			t.Errorf("%s: hook got %q", command, got)
		}
		if got, want := s.do("status"), (ending{"foo -- not running\n", "", 1}); got != want {
			t.Errorf("%s: status %+v, want %+v", command, got, want)
		}
	}
}

func TestErrorsAndPanicsOfHooksAbortTheStart(t *testing.T) {
	testkit.Parallel(t)
	for _, foreground := range []string{"", "1"} {
		for setting, text := range map[string]string{
			"L_PRIV=banana":  "banana",
			"L_PRIV=panic":   "Privileged hook panicked: coconut",
			"L_START=banana": fmt.Sprintf("banana, debug: %v", foreground != ""),
			"L_START=panic":  "Start hook panicked: coconut",
			"L_PRIV=goexit":  "Privileged hook panicked: runtime.Goexit was called",
			"L_START=goexit": "Start hook panicked: runtime.Goexit was called",
		} {
			t.Run(setting+" foreground "+foreground, func(t *testing.T) {
				s := describe(t, "life", setting, "D_FOREGROUND="+foreground)
				got := s.do("start")
				// In the foreground what the hook says is on the terminal as well.
				got.out = strings.TrimPrefix(got.out, fmt.Sprintf("privileged hook: uid %d of foo\n", os.Getuid()))
				got.out = strings.ReplaceAll(got.out, fmt.Sprintf("privileged hook: uid %d of foo\n", os.Getuid()), "")
				if want := (ending{"Starting foo ... FAILED\n", "ERROR: " + text + "\n", 1}); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				if pids := s.processes(); len(pids) > 0 {
					t.Errorf("left alive: %v", pids)
				}
				if onDisk(s.pid) || onDisk(s.err) {
					t.Error("files are left behind")
				}
			})
		}
	}
}

// Nobody is told that the daemon is ready while it may still fail.
func TestReadyInThePrivilegedHookIsAnError(t *testing.T) {
	s := describe(t, "life", "L_PRIV=ready")
	s.start()
	if got := slurp(s.out); !strings.Contains(got, "ready too early: daemonocle: ready: ") {
		t.Errorf("the hook said %q", got)
	}
	s.stop()
}

func TestPrivilegedHookRunsBeforeTheDrop(t *testing.T) {
	uid, _ := testkit.Unprivileged(t)
	s := describe(t, "life", "L_PRIV=say", fmt.Sprintf("D_USER=%d", uid))
	pid := s.start()
	want := fmt.Sprintf("privileged hook: uid 0 of foo\nworker %d: uid %d of foo, args []\n", pid, uid)
	if got := slurp(s.out); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.stop()
}

func TestWorkerGetsTheArgumentsAfterStart(t *testing.T) {
	s := describe(t, "life")
	if r := s.do("start", "a b", "--flag", ""); r.code != 0 {
		t.Fatalf("start: %+v", r)
	}
	if got, want := slurp(s.out), `args ["a b" "--flag" ""]`; !strings.Contains(got, want) {
		t.Errorf("worker said %q, want %q", got, want)
	}
	s.stop()
}

// scenes are programs that call the library themselves and print what they see.
// Scenes that start a daemon run again in it, up to that start.
var scenes = map[string]func(){
	"here":       sceneHere,
	"signal":     sceneSignal,
	"errors":     sceneErrors,
	"busy":       sceneBusy,
	"race":       sceneRace,
	"two":        sceneTwo,
	"ready":      sceneReady,
	"outside":    sceneOutside,
	"permission": scenePermission,
	"sentinels":  sceneSentinels,
	"debug":      sceneDebug,
}

func (s *described) playScene(name string, want ...string) ending {
	s.t.Helper()
	r := s.begin(s.adjust(testkit.Helper(s.t, "scene", name))).wait()
	if got, want := r.out, strings.Join(want, "\n")+"\n"; got != want {
		s.t.Errorf("got:\n%swant:\n%s", got, want)
	}
	if r.code != 0 {
		s.t.Errorf("exit code %d, want 0; stderr %q", r.code, r.err)
	}
	return r
}

func mustNew(c daemonocle.Config) *daemonocle.Daemon {
	d, err := daemonocle.New(c)
	if err != nil {
		panic(err)
	}
	return d
}

func sayShutdown(s daemonocle.Shutdown) {
	fmt.Printf("hook: %s|%d, PID file: %v\n", s.Message, s.Code, onDisk(os.Getenv("D_PIDFILE")))
}

func sceneHere() {
	pid := os.Getpid()
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), sceneKey{}, "kept"))
	c := progConfig()
	c.Hooks.Privileged = func(context.Context) error { fmt.Println("privileged hook"); return nil }
	c.Hooks.Shutdown = sayShutdown
	c.Worker = func(ctx context.Context) error {
		fmt.Println("same process:", os.Getpid() == pid, "PID file:", slurp(os.Getenv("D_PIDFILE")) == fmt.Sprintln(pid))
		fmt.Println("daemon:", daemonocle.From(ctx).Name(), "value:", ctx.Value(sceneKey{}), "ready:", daemonocle.Ready(ctx))
		fmt.Println("children:", len(childrenOf(pid)))
		cancel(errors.New("enough"))
		<-ctx.Done()
		fmt.Println("cause:", context.Cause(ctx))
		return ctx.Err()
	}
	d := mustNew(c)
	fmt.Println("run:", d.Run(ctx), "PID file:", onDisk(c.PIDFile))
}

type sceneKey struct{}

// childrenOf lists the children of all threads.
func childrenOf(pid int) []int {
	var pids []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		for _, f := range strings.Fields(slurp(list)) {
			n, _ := strconv.Atoi(f)
			pids = append(pids, n)
		}
	}
	return pids
}

func TestRunRunsTheWorkerInThisProcess(t *testing.T) {
	describe(t, "life").playScene("here",
		"privileged hook",
		"same process: true PID file: true",
		"daemon: foo value: kept ready: <nil>",
		"children: 0",
		"cause: enough",
		"hook: Shutting down normally|0, PID file: true",
		"run: <nil> PID file: false")
}

// The program is an ordinary one again after Run: the same signal then has its
// usual effect, and Run works again.
func sceneSignal() {
	c := progConfig()
	c.Hooks.Shutdown = sayShutdown
	c.Worker = func(ctx context.Context) error {
		syscall.Kill(os.Getpid(), syscall.SIGUSR1) // is harmless
		syscall.Kill(os.Getpid(), syscall.SIGTERM)
		<-ctx.Done()
		fmt.Println("cause:", context.Cause(ctx))
		return nil
	}
	d := mustNew(c)
	for range 2 {
		err := d.Run(context.Background())
		fmt.Println("run:", err, "PID file:", onDisk(c.PIDFile))
	}
	mine := make(chan os.Signal, 1)
	ossignal.Notify(mine, syscall.SIGTERM)
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	fmt.Println("after:", <-mine)
}

func TestRunEndsWellOnASignalAndCanRunAgain(t *testing.T) {
	once := []string{
		"cause: terminated by SIGTERM (15)",
		"hook: Terminated by SIGTERM (15)|-15, PID file: true",
		"run: <nil> PID file: false",
	}
	describe(t, "life").playScene("signal", append(slices.Repeat(once, 2), "after: terminated")...)
}

var errBanana = errors.New("banana")

func sceneErrors() {
	c := progConfig()
	c.Hooks.Shutdown = sayShutdown
	returns := []func() error{
		func() error { return fmt.Errorf("slip: %w", errBanana) },
		func() error { panic("coconut") },
		func() error { return &daemonocle.ExitError{Code: 42} },
		func() error { return nil },
	}
	var next func() error
	c.Worker = func(context.Context) error { return next() }
	d := mustNew(c)
	for _, next = range returns {
		err := d.Run(context.Background())
		var e *daemonocle.Error
		fmt.Println("run:", err, "is banana:", errors.Is(err, errBanana), "typed:", errors.As(err, &e), "code:", daemonocle.ExitCode(err))
	}
}

func TestRunReturnsTheWorkersErrorAndSurvivesItsPanic(t *testing.T) {
	r := describe(t, "life").playScene("errors",
		"hook: Dying due to unhandled error: slip: banana|1, PID file: true",
		"run: daemonocle: run foo: slip: banana: slip: banana is banana: true typed: true code: 1",
		"hook: Dying due to unhandled panic: coconut|2, PID file: true",
		"run: daemonocle: run foo: dying due to unhandled panic: coconut: panic: coconut is banana: false typed: true code: 2",
		"hook: Exiting with non-zero exit code 42|42, PID file: true",
		"run: daemonocle: run foo: exit with code 42 is banana: false typed: true code: 42",
		"hook: Shutting down normally|0, PID file: true",
		"run: <nil> is banana: false typed: false code: 0")
	if !strings.HasPrefix(r.err, "panic: coconut\n\ngoroutine ") {
		t.Errorf("stderr has %q, want the panic and its stack", r.err)
	}
}

func sceneBusy() {
	c := progConfig()
	c.Worker = func(ctx context.Context) error {
		d := daemonocle.From(ctx)
		run := d.Run(ctx)
		_, start := d.Start(ctx, daemonocle.StartOptions{})
		_, stop := d.Stop(ctx, daemonocle.StopOptions{})
		fmt.Println("run:", errors.Is(run, daemonocle.ErrAlreadyRunning), errors.Is(run, daemonocle.ErrInside))
		fmt.Println("start:", errors.Is(start, daemonocle.ErrAlreadyRunning))
		fmt.Println("stop:", errors.Is(stop, daemonocle.ErrInside), "wait:", errors.Is(d.Wait(ctx), daemonocle.ErrInside))
		// None of these may have opened and closed, and so unlocked, the PID file.
		cmd := exec.Command("/proc/self/exe", "status")
		cmd.Env = append(os.Environ(), "TESTKIT_HELPER=prog")
		out, err := cmd.Output()
		fmt.Println("status:", strings.HasPrefix(string(out), fmt.Sprintf("foo -- pid: %d, ", os.Getpid())), err)
		return nil
	}
	fmt.Println(mustNew(c).Run(context.Background()))
}

func TestRunWhileRunningIsRefused(t *testing.T) {
	s := describe(t, "life")
	testkit.Helper(t, "prog") // is executed by the scene
	s.playScene("busy",
		"run: true true",
		"start: true",
		"stop: true wait: true",
		"status: true <nil>",
		"<nil>")
}

// Without a PID file nothing but Run itself keeps the second one out.
func sceneRace() {
	c := progConfig()
	c.PIDFile = ""
	var mu sync.Mutex
	now, most := 0, 0
	c.Worker = func(ctx context.Context) error {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		<-ctx.Done()
		mu.Lock()
		now--
		mu.Unlock()
		return nil
	}
	d := mustNew(c)
	for range 100 {
		ctx, cancel := context.WithCancel(context.Background())
		errs := make(chan error)
		const callers = 4
		for range callers {
			go func() { errs <- d.Run(ctx) }()
		}
		for range callers - 1 {
			if err := <-errs; !errors.Is(err, daemonocle.ErrAlreadyRunning) {
				fmt.Println("unexpected:", err)
			}
		}
		cancel()
		if err := <-errs; err != nil {
			fmt.Println("unexpected:", err)
		}
	}
	fmt.Println("at most", most)
}

func TestOfConcurrentRunsOneRuns(t *testing.T) {
	describe(t, "life").playScene("race", "at most 1")
}

func sceneTwo() {
	for _, name := range []string{"one", "two"} {
		c := progConfig()
		c.Name, c.PIDFile = name, c.PIDFile+"."+name
		c.Worker = func(ctx context.Context) error {
			fmt.Println(daemonocle.From(ctx).Name(), "PID file:", onDisk(c.PIDFile))
			return nil
		}
		fmt.Println(mustNew(c).Run(context.Background()), "PID file:", onDisk(c.PIDFile))
	}
}

func TestOneProgramCanRunTwoDaemonsInTurn(t *testing.T) {
	describe(t, "life").playScene("two",
		"one PID file: true", "<nil> PID file: false",
		"two PID file: true", "<nil> PID file: false")
}

func sceneReady() {
	c := progConfig()
	c.Worker = func(ctx context.Context) error {
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { errs[i] = daemonocle.Ready(ctx) })
		}
		wg.Wait()
		errs = append(errs, daemonocle.Ready(context.WithValue(ctx, sceneKey{}, "derived")))
		if err := errors.Join(errs...); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	d := mustNew(c)
	s, err := d.Start(context.Background(), daemonocle.StartOptions{})
	fmt.Println("ready:", s.Ready, err)
	_, err = d.Stop(context.Background(), daemonocle.StopOptions{})
	fmt.Println("stop:", err)
}

func TestReadyMayBeCalledByManyAndAgain(t *testing.T) {
	describe(t, "life").playScene("ready", "ready: true <nil>", "stop: <nil>")
}

func sceneOutside() {
	ctx := context.Background()
	fmt.Println("ready:", daemonocle.Ready(ctx))
	fmt.Println("from:", daemonocle.From(ctx), "args:", daemonocle.Args(ctx), "launched:", daemonocle.Launched())
	err := mustNew(progConfig()).ReopenLogs()
	fmt.Println("reopen:", err, errors.Is(err, daemonocle.ErrNotRunning))
}

func TestOutsideADaemonThereIsNothingToBeReadyFor(t *testing.T) {
	describe(t, "life").playScene("outside",
		"ready: daemonocle: ready: the context is not a worker's",
		"from: <nil> args: [] launched: false",
		"reopen: daemonocle: reopen logs of foo: only the daemon's own process has log files open true")
}

func scenePermission() {
	_, err := mustNew(progConfig()).Start(context.Background(), daemonocle.StartOptions{})
	var e *daemonocle.Error
	fmt.Println("permission:", errors.Is(err, fs.ErrPermission), "EACCES:", errors.Is(err, syscall.EACCES), "typed:", errors.As(err, &e))
	fmt.Println(err)
	fmt.Println("op:", e.Op, "name:", e.Name, "PID:", e.PID > 0, "code:", e.Code, daemonocle.ExitCode(err))
}

// The daemon's process fails, the launcher's caller branches on it.
func TestErrorOfASystemCallReachesTheLauncher(t *testing.T) {
	s := describe(t, "life").asOrdinary()
	closed := filepath.Join(s.dir, "closed")
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "D_WORKDIR="+closed)
	if s.user != nil {
		if err := os.Chown(closed, int(s.user.Uid), int(s.user.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	s.playScene("permission",
		"permission: true EACCES: true typed: true",
		"daemonocle: start foo: unable to change working directory (permission denied)",
		"op: start name: foo PID: true code: 1 1")
}

func sceneSentinels() {
	ctx := context.Background()
	say := func(what string, err, is error) {
		var e *daemonocle.Error
		typed := errors.As(err, &e)
		fmt.Println(what+":", errors.Is(err, is), typed, daemonocle.ExitCode(err))
	}
	base := progConfig()
	make := func(name string, change func(*daemonocle.Config)) *daemonocle.Daemon {
		c := base
		c.Name, c.PIDFile = name, filepath.Join(filepath.Dir(c.PIDFile), name+".pid")
		change(&c)
		return mustNew(c)
	}
	deaf := make("deaf", func(c *daemonocle.Config) { c.Worker = progWorker("deaf") })
	_, err := deaf.Start(ctx, daemonocle.StartOptions{})
	if err != nil {
		fmt.Println(err)
	}
	_, err = deaf.Start(ctx, daemonocle.StartOptions{})
	say("already running", err, daemonocle.ErrAlreadyRunning)
	_, err = deaf.Stop(ctx, daemonocle.StopOptions{Timeout: time.Millisecond})
	say("stop timeout", err, daemonocle.ErrStopTimeout)
	deaf.Stop(ctx, daemonocle.StopOptions{Timeout: time.Millisecond, Force: true})
	_, err = deaf.Stop(ctx, daemonocle.StopOptions{})
	say("not running", err, daemonocle.ErrNotRunning)
	say("nothing to wait for", deaf.Wait(ctx), daemonocle.ErrNotRunning)

	dying := make("dying", func(c *daemonocle.Config) { c.Worker = progWorker("exit:42") })
	_, err = dying.Start(ctx, daemonocle.StartOptions{})
	say("died", err, daemonocle.ErrDied)

	slow := make("slow", func(c *daemonocle.Config) {
		c.Worker, c.RequireReady, c.StartTimeout = progWorker("alive"), true, 100*time.Millisecond
	})
	_, err = slow.Start(ctx, daemonocle.StartOptions{})
	say("still starting", err, daemonocle.ErrStillStarting)
	// It may not have come to its PID file yet.
	for {
		if _, err = slow.Stop(ctx, daemonocle.StopOptions{}); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err = slow.Start(over, daemonocle.StartOptions{})
	say("cancelled", err, daemonocle.ErrStartCancelled)

	idle := make("idle", func(c *daemonocle.Config) { c.Worker = nil })
	_, err = idle.Start(ctx, daemonocle.StartOptions{})
	say("no worker", err, daemonocle.ErrNoWorker)
	say("no worker to run", idle.Run(ctx), daemonocle.ErrNoWorker)
	say("unknown action", idle.Do(ctx, "banana"), daemonocle.ErrUnknownAction)
	fileless := make("fileless", func(c *daemonocle.Config) { c.PIDFile = "" })
	_, err = fileless.Stop(ctx, daemonocle.StopOptions{})
	say("no PID file", err, daemonocle.ErrNoPIDFile)
}

func TestEverySentinelCanBeBranchedOn(t *testing.T) {
	describe(t, "life").playScene("sentinels",
		"already running: true true 1",
		"stop timeout: true true 1",
		"not running: true true 1",
		"nothing to wait for: true true 1",
		"died: true true 42",
		"still starting: true true 75",
		"cancelled: true true 130",
		"no worker: true true 1",
		"no worker to run: true true 1",
		"unknown action: true true 1",
		"no PID file: true true 1")
}

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("banana"), 1},
		{&daemonocle.ExitError{Code: 42}, 42},
		{&daemonocle.ExitError{Code: 300}, 300 % 256},
		{&daemonocle.ExitError{Code: 256}, 0}, // as the kernel has it
		{&daemonocle.Error{Code: 256, Err: errBanana}, 0},
		{&daemonocle.ExitError{Code: -9}, 128 + 9},
		{&daemonocle.ExitError{Code: -1}, 128 + 1},
		{&daemonocle.ExitError{Message: "goodbye"}, 1},
		{&daemonocle.ExitError{Message: "goodbye", Code: 7}, 7},
		{&daemonocle.ExitError{}, 0},
		{fmt.Errorf("wrapped: %w", &daemonocle.ExitError{Code: 42}), 42},
		{&daemonocle.Error{Code: 42, Err: errBanana}, 42},
		{&daemonocle.Error{Code: -15, Err: errBanana}, 128 + 15},
		{&daemonocle.Error{Err: errBanana}, 1}, // an error is never success
		{fmt.Errorf("wrapped: %w", &daemonocle.Error{Code: 3, Err: errBanana}), 3},
		// The outer one decides.
		{&daemonocle.Error{Code: 3, Err: &daemonocle.ExitError{Code: 42}}, 3},
	} {
		if got := daemonocle.ExitCode(tt.err); got != tt.want {
			t.Errorf("%#v: got %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestErrorSaysActThingAndReason(t *testing.T) {
	e := &daemonocle.Error{Op: "start", Name: "foo", Reason: "listen: denied", Err: errBanana}
	if got, want := e.Error(), "daemonocle: start foo: banana: listen: denied"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(e, errBanana) {
		t.Error("the cause is lost")
	}
	s := &daemonocle.SignalError{Signal: syscall.SIGTERM}
	if got, want := s.Error(), "terminated by SIGTERM (15)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func sceneDebug() {
	c := progConfig()
	c.Worker = func(ctx context.Context) error { return daemonocle.Ready(ctx) }
	c.Hooks.Start = func(_ context.Context, info daemonocle.StartInfo) error {
		fmt.Println("debug:", info.Debug)
		return nil
	}
	c.Hooks.Shutdown = sayShutdown
	s, err := mustNew(c).Start(context.Background(), daemonocle.StartOptions{Debug: true})
	// The daemon was a child of ours, and nothing is left.
	fmt.Println("started:", s.PID > 0 && s.PID != os.Getpid(), "ready:", s.Ready, "gone:", testkit.Gone(s.PID), err)
}
