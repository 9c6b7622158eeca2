//go:build linux

package daemonocle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	helpers["odd"] = odd
	helpers["here"] = here
	helpers["ask"] = ask
	helpers["noreap"] = noreap
	helpers["locker"] = locker
}

// odd is prog with a worker that no sensible program has; D_ODD chooses it.
func odd() {
	c := progConfig()
	c.Worker = map[string]func(context.Context) error{
		"stubborn": stubborn, "inside": inside, "drop": drop, "collect": collect, "busy": busy,
		"spin": spin, "fifolog": fifolog,
	}[os.Getenv("D_ODD")]
	d, err := daemonocle.New(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

// stubborn says in the file D_NOTE that it was asked to end, and stays.
func stubborn(ctx context.Context) error {
	daemonocle.Ready(ctx)
	<-ctx.Done()
	appendLine(os.Getenv("D_NOTE"), context.Cause(ctx).Error())
	select {}
}

// inside calls in the daemon what is meant for other processes, and notes what
// comes of it.
func inside(ctx context.Context) error {
	d := daemonocle.From(ctx)
	note := func(what string, err error) {
		appendLine(os.Getenv("D_NOTE"), fmt.Sprintf("%s: inside %v", what, errors.Is(err, daemonocle.ErrInside)))
	}
	_, err := d.Stop(context.Background(), daemonocle.StopOptions{Force: true})
	note("stop", err)
	note("wait", d.Wait(context.Background()))
	s, err := d.Status(context.Background(), daemonocle.StatusOptions{})
	if err != nil {
		return err
	}
	appendLine(os.Getenv("D_NOTE"), fmt.Sprintf("status: own %v", s.Running && s.PID == os.Getpid()))
	daemonocle.Ready(ctx)
	<-ctx.Done()
	return nil
}

// drop loses the lock that names the process, as any code does that reads the
// PID file.
func drop(ctx context.Context) error {
	if _, err := os.ReadFile(os.Getenv("D_PIDFILE")); err != nil {
		return err
	}
	daemonocle.Ready(ctx)
	<-ctx.Done()
	return nil
}

// collect gives finalizers every opportunity.
func collect(ctx context.Context) error {
	for range 20 {
		_ = make([]byte, 1<<20)
		runtime.GC()
	}
	daemonocle.Ready(ctx)
	<-ctx.Done()
	return nil
}

// busy has a child that uses one CPU.
func busy(ctx context.Context) error {
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		return err
	}
	daemonocle.Ready(ctx)
	<-ctx.Done()
	cmd.Process.Kill()
	cmd.Wait()
	return nil
}

// spin uses one CPU itself.
func spin(ctx context.Context) error {
	daemonocle.Ready(ctx)
	for ctx.Err() == nil {
	}
	return nil
}

// fifolog puts a FIFO in the place of its log file and dies.
func fifolog(context.Context) error {
	path := os.Getenv("D_STDERR")
	if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o666)); err != nil {
		return err
	}
	os.Exit(3)
	return nil
}

// here runs the worker in this very process.
func here() {
	d, err := daemonocle.New(progConfig())
	if err != nil {
		panic(err)
	}
	os.Exit(daemonocle.ExitCode(d.Run(context.Background())))
}

// ask prints a status as JSON: of all fields, or of those in its arguments.
func ask() {
	fields := os.Args[1:]
	if len(fields) == 0 {
		fields = daemonocle.StatusFields()
	}
	d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: os.Getenv("D_PIDFILE")})
	if err != nil {
		panic(err)
	}
	s, err := d.Status(context.Background(), daemonocle.StatusOptions{Fields: fields})
	if err != nil {
		panic(err)
	}
	b, _ := s.MarshalJSON()
	os.Stdout.Write(b)
}

// noreap runs prog and stays as the parent of the orphans that it leaves, for
// none of which it ever waits.
func noreap() {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), "TESTKIT_HELPER=prog")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Printf("%s%v\n", out, err)
		os.Exit(1)
	}
	fmt.Println("parent")
	io.Copy(io.Discard, os.Stdin)
}

// locker holds a lock until its stdin ends: path, posix or ofd, read or write,
// first byte, length (0: to the end).
func locker() {
	number := func(i int) int64 {
		n, err := strconv.ParseInt(os.Args[i], 10, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	lock := unix.Flock_t{Type: unix.F_RDLCK, Start: number(4), Len: number(5)}
	mode := os.O_RDONLY
	if os.Args[3] == "write" {
		lock.Type, mode = unix.F_WRLCK, os.O_RDWR
	}
	f, err := os.OpenFile(os.Args[1], mode, 0)
	if err != nil {
		panic(err)
	}
	cmd := map[string]int{"posix": unix.F_SETLK, "ofd": unix.F_OFD_SETLK}[os.Args[2]]
	if err := unix.FcntlFlock(f.Fd(), cmd, &lock); err != nil {
		panic(err)
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
	f.Close()
}

// rig is a daemon of the helper prog (or another that reads the same
// variables) with a directory of its own, in which run holds the PID file and
// nothing else.
type rig struct {
	t       *testing.T
	helper  string
	dir     string
	pidFile string
	env     []string
	user    *syscall.Credential // who acts; nil: this process's user
}

type result struct {
	out, err string
	code     int
}

func (r result) String() string {
	return fmt.Sprintf("stdout %q, stderr %q, exit code %d", r.out, r.err, r.code)
}

func newRig(t *testing.T, env ...string) *rig {
	t.Helper()
	testkit.Parallel(t)
	r := &rig{t: t, helper: "prog", dir: testkit.TempDir(t)}
	r.pidFile = filepath.Join(r.dir, "run", "foo.pid")
	r.env = append([]string{"D_PIDFILE=" + r.pidFile}, env...)
	t.Cleanup(r.killAll)
	return r
}

// oddRig has one of the odd workers. D_NOTE is the file note in its directory.
func oddRig(t *testing.T, worker string, env ...string) *rig {
	t.Helper()
	r := newRig(t, env...)
	r.helper = "odd"
	r.env = append(r.env, "D_ODD="+worker, "D_NOTE="+r.note())
	return r
}

func (r *rig) note() string { return filepath.Join(r.dir, "note") }

// marked are the processes of the program and its daemons, also what they have started:
// the path of the PID file in the environment is their mark.
func (r *rig) marked() (pids []int) {
	mark := []byte("D_PIDFILE=" + r.pidFile + "\x00")
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, mark) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// killAll ends what the program and its daemons have left, also what they have started.
func (r *rig) killAll() { testkit.Sweep(r.t, "D_PIDFILE="+r.pidFile) }

func (r *rig) command(helper string, args ...string) *exec.Cmd {
	r.t.Helper()
	cmd := testkit.Helper(r.t, helper, args...)
	cmd.Env = append(cmd.Env, r.env...)
	if r.user != nil {
		// The test binary may lie where that user cannot go.
		cmd.Path = "/proc/self/exe"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.user}
	}
	return cmd
}

func (r *rig) do(args ...string) result {
	r.t.Helper()
	return outcome(r.t, r.command(r.helper, args...))
}

func outcome(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(testkit.Patience, func() {
		t.Errorf("%v hangs", cmd.Args[1:])
		cmd.Process.Kill()
	})
	defer late.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (r *rig) expect(got, want result) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("got  %v\nwant %v", got, want)
	}
}

// start starts the daemon and returns its PID, by the kernel's word.
func (r *rig) start() int {
	r.t.Helper()
	if got := r.do("start"); got != (result{out: "Starting foo ... OK\n"}) {
		r.t.Fatalf("start: %v", got)
	}
	pid := holder(r.t, r.pidFile)
	if pid == 0 || testkit.Gone(pid) {
		r.t.Fatalf("after start process %d holds the PID file", pid)
	}
	return pid
}

// daemon is the typed face of the daemon, for calls from this process.
func (r *rig) daemon() *daemonocle.Daemon {
	r.t.Helper()
	d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: r.pidFile})
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// clean checks that the directory of the PID file is there, and empty.
func (r *rig) clean() {
	r.t.Helper()
	entries, err := os.ReadDir(filepath.Dir(r.pidFile))
	if err != nil || len(entries) > 0 {
		r.t.Errorf("the directory of the PID file holds %v, %v", entries, err)
	}
}

func (r *rig) alive(pid int) {
	r.t.Helper()
	if testkit.Gone(pid) {
		r.t.Errorf("process %d is gone", pid)
	}
}

func (r *rig) gone(pid int) {
	r.t.Helper()
	if !testkit.Gone(pid) {
		r.t.Errorf("process %d is alive", pid)
	}
}

// holder is the process that has the write lock on the first byte of a file; 0
// if none has.
func holder(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_RDLCK, Len: 1} // conflicts with a write lock only
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		t.Fatal(err)
	}
	if lock.Type == unix.F_UNLCK {
		return 0
	}
	return int(lock.Pid)
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// held starts a helper that says a word when it is there and stays until its
// stdin ends, which is when the test ends or let is called.
func held(t *testing.T, cmd *exec.Cmd, word string) (pid int, let func()) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := ""
	if _, err := fmt.Fscanln(out, &said); err != nil || said != word {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("%v says %q, %v: %s", cmd.Args, said, err, stderr.String())
	}
	let = func() {
		in.Close()
		cmd.Wait()
	}
	t.Cleanup(let)
	return cmd.Process.Pid, let
}

// victim is a process that nobody may signal.
func victim(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if testkit.Gone(cmd.Process.Pid) {
			t.Errorf("the victim, process %d, is dead", cmd.Process.Pid)
		}
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// members are the other processes of a process group.
func members(t *testing.T, pgid int) (pids []int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if s := testkit.Stat(pid); s.PGrp == pgid && pid != pgid && s.State != 'Z' {
			pids = append(pids, pid)
		}
	}
	return pids
}

func signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("signal %d to process %d: %v", sig, pid, err)
	}
}

func ordinary(t *testing.T) *syscall.Credential {
	uid, gid := testkit.Unprivileged(t)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func TestStopEndsTheDaemonAndRemovesItsPIDFile(t *testing.T) {
	r := newRig(t)
	pid := r.start()
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	r.gone(pid)
	r.clean()
	r.expect(r.do("stop"), result{err: "WARNING: foo is not running\n"})
	r.expect(r.do("stop", "now"), result{err: "ERROR: Unexpected argument \"now\"\n", code: 2})
}

func TestStopReportsWhatItDid(t *testing.T) {
	r := newRig(t)
	pid := r.start()
	began := time.Now()
	s, err := r.daemon().Stop(t.Context(), daemonocle.StopOptions{})
	if err != nil || s.PID != pid || s.Killed || len(s.Left) > 0 || s.Took <= 0 || s.Took > time.Since(began) {
		t.Errorf("got %+v, %v", s, err)
	}
	r.gone(pid)
}

func TestStopWithoutADaemonIsATypedError(t *testing.T) {
	r := newRig(t)
	_, err := r.daemon().Stop(t.Context(), daemonocle.StopOptions{})
	var e *daemonocle.Error
	if !errors.Is(err, daemonocle.ErrNotRunning) || !errors.As(err, &e) || e.Op != "stop" || e.Name != "foo" {
		t.Errorf("got %v", err)
	}
	d, err := daemonocle.New(daemonocle.Config{Name: "nofile"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Stop(t.Context(), daemonocle.StopOptions{}); !errors.Is(err, daemonocle.ErrNoPIDFile) {
		t.Errorf("got %v", err)
	}
	r.env = nil
	r.expect(r.do("stop"), result{err: "ERROR: Cannot stop daemon without PID file\n", code: 1})
}

// The parent never waits for the daemon, so that it stays a zombie for good.
func TestStopDoesNotWaitForTheReaper(t *testing.T) {
	r := newRig(t)
	parent, _ := held(t, r.command("noreap", "start"), "parent")
	pid := holder(t, r.pidFile)
	if ppid := testkit.Stat(pid).PPID; ppid != parent {
		t.Fatalf("the daemon's parent is %d, not %d", ppid, parent)
	}
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	if s := testkit.Stat(pid).State; s != 'Z' {
		t.Errorf("the daemon's state is %q", s)
	}
	r.clean()
	r.expect(r.do("status"), result{out: "foo -- not running\n", code: 1})
}

func TestStopTimeoutLeavesTheDaemonAlive(t *testing.T) {
	r := newRig(t, "D_WORKER=deaf", "D_STOP_TIMEOUT=20ms")
	pid := r.start()
	text := fmt.Sprintf("Timed out while waiting for process (PID %d) to terminate\n", pid)
	r.expect(r.do("stop"), result{out: "Stopping foo ... FAILED\n", err: "ERROR: " + text, code: 1})
	r.alive(pid)

	s, err := r.daemon().Stop(t.Context(), daemonocle.StopOptions{Timeout: 20 * time.Millisecond})
	var e *daemonocle.Error
	if !errors.Is(err, daemonocle.ErrStopTimeout) || !errors.As(err, &e) || e.PID != pid || s.PID != pid || s.Killed {
		t.Errorf("got %+v, %v", s, err)
	}
	r.alive(pid)
	if got := holder(t, r.pidFile); got != pid {
		t.Errorf("process %d holds the PID file", got)
	}
}

func TestForceKillsWhatDoesNotStop(t *testing.T) {
	r := newRig(t, "D_WORKER=deaf")
	pid := r.start()
	s, err := r.daemon().Stop(t.Context(), daemonocle.StopOptions{Timeout: 20 * time.Millisecond, Force: true})
	if err != nil || s.PID != pid || !s.Killed {
		t.Errorf("got %+v, %v", s, err)
	}
	r.gone(pid)
	r.clean()
}

func TestStopReportsWhatIsLeftOfTheGroup(t *testing.T) {
	r := newRig(t, "D_WORKER=sleeper")
	pid := r.start()
	left := members(t, pid)
	if len(left) != 1 {
		t.Fatalf("the group has %v", left)
	}
	r.expect(r.do("stop"), result{
		out: "Stopping foo ... OK\n",
		err: fmt.Sprintf("WARNING: A process of the process group of foo is still running (PID %d)\n", left[0]),
	})
	r.alive(left[0])

	pid = r.start()
	left = members(t, pid)
	s, err := r.daemon().Stop(t.Context(), daemonocle.StopOptions{})
	if err != nil || !slices.Equal(s.Left, left) {
		t.Errorf("got %+v, %v; want %v", s, err, left)
	}
	r.alive(left[0])
}

func TestForceKillsWhatIsLeftOfTheGroup(t *testing.T) {
	r := newRig(t, "D_WORKER=sleeper")
	pid := r.start()
	left := members(t, pid)
	s, err := r.daemon().Stop(t.Context(), daemonocle.StopOptions{Force: true})
	if err != nil || s.Killed || !slices.Equal(s.Left, left) || len(left) != 1 {
		t.Fatalf("got %+v, %v; want %v", s, err, left)
	}
	testkit.WaitGone(t, left[0])
}

// runHere starts the daemon without a launcher, in somebody else's process
// group.
func (r *rig) runHere(pgid int) (pid int) {
	r.t.Helper()
	cmd := r.command("here")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: pgid}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go cmd.Wait()
	testkit.WaitFor(r.t, "the daemon", func() bool {
		return !missing(r.pidFile) && holder(r.t, r.pidFile) == cmd.Process.Pid
	})
	return cmd.Process.Pid
}

func TestForceSparesAGroupThatTheDaemonDoesNotLead(t *testing.T) {
	r := newRig(t, "D_WORKER=deaf")
	leader := victim(t)
	pid := r.runHere(leader)
	s, err := r.daemon().Stop(t.Context(), daemonocle.StopOptions{Timeout: 20 * time.Millisecond, Force: true})
	if err != nil || s.PID != pid || !s.Killed || len(s.Left) > 0 {
		t.Errorf("got %+v, %v", s, err)
	}
	r.gone(pid)
	r.alive(leader)
}

func TestStopOfAStoppedProcess(t *testing.T) {
	r := newRig(t)
	pid := r.start()
	testkit.Freeze(t, pid)
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	r.gone(pid)
}

func TestDaemonCannotStopItself(t *testing.T) {
	r := oddRig(t, "inside")
	pid := r.start()
	if got, want := content(t, r.note()), "stop: inside true\nwait: inside true\nstatus: own true\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// To look at its own file must not have cost it the lock.
	if got := holder(t, r.pidFile); got != pid {
		t.Errorf("process %d holds the PID file, not %d", got, pid)
	}
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
}

func TestStopRefusesANegativeTimeout(t *testing.T) {
	r := newRig(t)
	pid := r.start()
	_, err := r.daemon().Stop(t.Context(), daemonocle.StopOptions{Timeout: -time.Second})
	if err == nil || !strings.Contains(err.Error(), "-1s") {
		t.Errorf("got %v", err)
	}
	r.alive(pid)
}

func TestEndOfContextEndsOnlyTheWaiting(t *testing.T) {
	r := oddRig(t, "stubborn")
	pid := r.start()
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("no more time")
	d := r.daemon()
	var s daemonocle.Stopped
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		s, err = d.Stop(ctx, daemonocle.StopOptions{Timeout: 2 * testkit.Patience, Force: true})
	}()
	testkit.WaitFor(t, "the daemon to be asked", func() bool { return slurp(r.note()) != "" })
	cancel(reason)
	<-done
	if !errors.Is(err, reason) || errors.Is(err, daemonocle.ErrStopTimeout) || s.Killed || s.PID != pid {
		t.Errorf("got %+v, %v", s, err)
	}
	r.alive(pid)
	if got, want := content(t, r.note()), "terminated by SIGTERM (15)\n"; got != want {
		t.Errorf("the worker was told %q", got)
	}
}

// The daemon may not change the directory, so that the number stays.
func TestStaleFileOfADroppedDaemonIsCleanedUp(t *testing.T) {
	testkit.RequireRoot(t)
	uid, _ := testkit.Unprivileged(t)
	r := newRig(t, "D_USER="+strconv.Itoa(uid))
	mkdir(t, filepath.Dir(r.pidFile))

	r.start()
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	r.clean()

	die := func() {
		t.Helper()
		pid := r.start()
		signal(t, pid, syscall.SIGTERM)
		testkit.WaitGone(t, pid)
		if got, want := content(t, r.pidFile), fmt.Sprintln(pid); got != want {
			t.Fatalf("the daemon has left %q, not %q", got, want)
		}
	}
	die()
	r.expect(r.do("stop"), result{err: "WARNING: foo is not running\n"})
	r.clean()
	die()
	r.start()
	r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	r.clean()
}

func TestStopThatIsNotAllowed(t *testing.T) {
	r := newRig(t)
	user := ordinary(t)
	pid := r.start()
	r.user = user
	r.expect(r.do("stop"), result{
		out:  "Stopping foo ... FAILED\n",
		err:  fmt.Sprintf("ERROR: Send SIGTERM to process %d: operation not permitted\n", pid),
		code: 1,
	})
	r.alive(pid)
	if got := holder(t, r.pidFile); got != pid {
		t.Errorf("process %d holds the PID file, not %d", got, pid)
	}
}

func TestWait(t *testing.T) {
	r := newRig(t)
	d := r.daemon()
	if err := d.Wait(t.Context()); !errors.Is(err, daemonocle.ErrNotRunning) {
		t.Errorf("without a daemon: got %v", err)
	}
	pid := r.start()
	over, cancel := context.WithTimeout(t.Context(), testkit.Settle)
	defer cancel()
	if err := d.Wait(over); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: got %v", err)
	}
	r.alive(pid)
}

// awaitHandle waits until this process has a pidfd of that one.
func awaitHandle(t *testing.T, pid int) {
	t.Helper()
	testkit.WaitFor(t, fmt.Sprintf("somebody to wait for process %d", pid), func() bool {
		infos, _ := filepath.Glob("/proc/self/fdinfo/*")
		return slices.ContainsFunc(infos, func(info string) bool { return strings.Contains(slurp(info), fmt.Sprintf("\nPid:\t%d\n", pid)) })
	})
}

// Wait must not return before the end, however long it takes.
func TestWaitReturnsAtTheEnd(t *testing.T) {
	r := oddRig(t, "stubborn")
	pid := r.start()
	d := r.daemon()
	ended := make(chan error, 1)
	go func() { ended <- d.Wait(t.Context()) }()
	awaitHandle(t, pid)
	signal(t, pid, syscall.SIGTERM)
	testkit.WaitFor(t, "the daemon to be asked", func() bool { return !missing(r.note()) })
	select {
	case err := <-ended:
		t.Fatalf("it returned while process %d lives: %v", pid, err)
	case <-time.After(testkit.Settle):
	}
	signal(t, pid, syscall.SIGKILL)
	if err := <-ended; err != nil {
		t.Errorf("got %v", err)
	}
}

// Who cannot tell whether another process has the place of one that has ended does not say that
// there is no daemon.
func TestWhatCannotBeLookedAtIsNotTakenForTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(ctx context.Context, d *daemonocle.Daemon) error
	}{
		{"wait", func(ctx context.Context, d *daemonocle.Daemon) error { return d.Wait(ctx) }},
		{"stop", func(ctx context.Context, d *daemonocle.Daemon) error {
			_, err := d.Stop(ctx, daemonocle.StopOptions{Timeout: testkit.Patience})
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := oddRig(t, "stubborn")
			pid := r.start()
			ended := make(chan error, 1)
			go func() { ended <- tt.act(t.Context(), r.daemon()) }()
			awaitHandle(t, pid)
			if tt.name == "stop" {
				testkit.WaitFor(t, "the daemon to be asked", func() bool { return !missing(r.note()) })
			}
			must(t, os.Remove(r.pidFile))
			must(t, os.Symlink("/dev/null", r.pidFile))
			signal(t, pid, syscall.SIGKILL)
			err := <-ended
			var e *daemonocle.Error
			if !errors.As(err, &e) || e.PID != pid {
				t.Errorf("got %v", err)
			}
			must(t, os.Remove(r.pidFile))
		})
	}
}

// Who waits for a daemon that is reloaded again and again needs no more for it.
func TestWaitKeepsNothingOfEarlierGenerations(t *testing.T) {
	testkit.Alone(t) // it counts the descriptors of this process
	r := newRig(t)
	pid := r.start()
	d := r.daemon()
	ended := make(chan error, 1)
	before := len(testkit.FDs(os.Getpid()))
	go func() { ended <- d.Wait(t.Context()) }()
	const room = 4 // for one generation, and for a look at the file
	for range 3 * room {
		awaitHandle(t, pid)
		signal(t, pid, syscall.SIGHUP)
		testkit.WaitGone(t, pid)
		testkit.WaitFor(t, "the next generation", func() bool { n := holder(t, r.pidFile); return n > 0 && n != pid })
		pid = holder(t, r.pidFile)
	}
	testkit.WaitFor(t, "the descriptors to be closed", func() bool { return len(testkit.FDs(os.Getpid())) <= before+room })
	signal(t, pid, syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("got %v", err)
	}
}
