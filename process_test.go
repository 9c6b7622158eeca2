//go:build linux

package daemonocle_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	ossignal "os/signal"
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
	helpers["facts"] = facts
	helpers["plain"] = plain
	helpers["hostile"] = hostile
}

// seen is what a program finds: in its main, in each process in which that runs,
// and in its worker.
type seen struct {
	Launched bool
	Dir      string
	Args     []string
	Env      []string
	Loud     bool // a flag of the program
	TTY      string
	Child    int // a sleep that the worker has started
}

func look() seen {
	dir, _ := os.Getwd()
	return seen{Launched: daemonocle.Launched(), Dir: dir, Args: os.Args, Env: os.Environ()}
}

func (s seen) write(path string) {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	appendLine(path, string(b))
}

// facts is a program whose main does all that a main may do before it gets to
// its daemon. It writes what it sees to the files main and worker.
func facts() {
	dir := os.Getenv("D_DIR")
	look().write(filepath.Join(dir, "main"))
	if !daemonocle.Launched() {
		pass(os.Getenv("D_GATE_LAUNCHER"))
	}
	fmt.Println("hello")
	fmt.Fprintln(os.Stderr, "to whom it may concern")
	loud := flag.Bool("loud", false, "")
	flag.Parse()
	os.Chdir("/")
	os.Setenv("D_ADDED", "by main")

	c := progConfig()
	c.Worker = func(ctx context.Context) error {
		s := look()
		s.Args, s.Loud = daemonocle.Args(ctx), *loud
		if path := os.Getenv("D_TERMINAL"); path != "" {
			s.TTY = tryTerminal(path)
		}
		sleep := exec.Command("sleep", "1000")
		if err := sleep.Start(); err != nil {
			return err
		}
		s.Child = sleep.Process.Pid
		s.write(filepath.Join(dir, "worker"))
		daemonocle.Ready(ctx)
		<-ctx.Done()
		sleep.Process.Kill()
		sleep.Wait()
		return nil
	}
	d, err := daemonocle.New(c)
	if err != nil {
		panic(err)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), flag.Args()...)))
}

// tryTerminal opens a terminal as a program does that does not care, and says
// whether that has become its controlling terminal.
func tryTerminal(path string) string {
	fd, err := syscall.Open(path, syscall.O_RDWR, 0)
	if err != nil {
		return err.Error()
	}
	defer syscall.Close(fd)
	tty, err := syscall.Open("/dev/tty", syscall.O_RDWR|syscall.O_NOCTTY, 0)
	if err == nil {
		syscall.Close(tty)
		return "got it"
	}
	if testkit.Stat(os.Getpid()).TTY != 0 || !errors.Is(err, syscall.ENXIO) {
		return "got half of it: " + err.Error()
	}
	return "not got"
}

// hostile is a caller with habits: it ignores and blocks signals, and becomes
// the program in its arguments; or it tries to get a terminal.
func hostile() {
	if path := os.Getenv("D_TERMINAL"); path != "" {
		fmt.Print(tryTerminal(path))
		return
	}
	runtime.LockOSThread()
	ossignal.Ignore(ignoredByHostile...)
	var set unix.Sigset_t
	for _, sig := range blockedByHostile {
		set.Val[0] |= 1 << (sig - 1)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
		panic(err)
	}
	os.Setenv("TESTKIT_HELPER", os.Getenv("D_BECOME"))
	panic(syscall.Exec(os.Args[1], os.Args[1:], os.Environ()))
}

var (
	ignoredByHostile = []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGTTIN,
		syscall.SIGTTOU, syscall.SIGCONT, syscall.SIGPIPE, syscall.SIGCHLD, syscall.SIGUSR2, syscall.SIGALRM}
	blockedByHostile = []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGCHLD}
)

// plain is a Go program without this library that does what the worker "ready"
// does.
func plain() {
	ctx, stop := ossignal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	defer stop()
	fmt.Println("ready")
	<-ctx.Done()
}

func readSeen(t *testing.T, path string) (all []seen) {
	t.Helper()
	for _, line := range lines(t, path) {
		var s seen
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, s)
	}
	return all
}

var factsStarted = printed{out: "hello\nStarting foo ... OK\n", err: "to whom it may concern\n"}

// startFacts starts the daemon of facts and gives what its worker has seen.
func (s *subject) startFacts(cmd *exec.Cmd) (pid int, worker seen) {
	s.t.Helper()
	s.launch(cmd).want(factsStarted)
	return s.daemon(), readSeen(s.t, s.path("worker"))[0]
}

// status is a field of /proc/PID/status.
func status(t *testing.T, pid int, field string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("no field %q", field)
	return ""
}

// limit is a line of /proc/PID/limits: the soft and the hard limit.
func limit(t *testing.T, pid int, name string) (soft, hard string) {
	t.Helper()
	for _, line := range lines(t, fmt.Sprintf("/proc/%d/limits", pid)) {
		if v, ok := strings.CutPrefix(line, name); ok {
			f := strings.Fields(v)
			return f[0], f[1]
		}
	}
	t.Fatalf("no limit %q", name)
	return "", ""
}

func link(t *testing.T, pid int, name string) string {
	t.Helper()
	to, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// strs splits what /proc has with a zero byte behind each piece.
func strs(t *testing.T, pid int, name string) []string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// shell runs the command in a shell that does something before.
func shell(cmd *exec.Cmd, before string) *exec.Cmd {
	cmd.Args = append([]string{"sh", "-c", before + `exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	return cmd
}

// ownBinary gives the command a copy of the program under that name.
func (s *subject) ownBinary(cmd *exec.Cmd, name string) string {
	s.t.Helper()
	path := s.path(name)
	image, err := os.ReadFile(cmd.Path)
	must(s.t, err)
	testkit.WriteProgram(s.t, path, image)
	cmd.Path, cmd.Args[0] = path, path
	return path
}

func TestSessionGroupAndTerminal(t *testing.T) {
	pty := testkit.Pty(t)
	s := newSubject(t, "facts", "D_TERMINAL="+pty.Name)
	pid, worker := s.startFacts(s.command("start"))
	st, mine := testkit.Stat(pid), testkit.Stat(os.Getpid())
	if st.Session == mine.Session || st.Session == pid {
		t.Errorf("it is in session %d; ours is %d, and it must not lead one", st.Session, mine.Session)
	}
	if st.PGrp != pid || st.TTY != 0 {
		t.Errorf("got process group %d and terminal %d, want %d and none", st.PGrp, st.TTY, pid)
	}
	if child := testkit.Stat(worker.Child); child.PGrp != pid || child.Session != st.Session {
		t.Errorf("its child is in group %d and session %d, want %d and %d", child.PGrp, child.Session, pid, st.Session)
	}
	if worker.TTY != "not got" {
		t.Errorf("it opened a terminal: %s", worker.TTY)
	}
	want := []int{pid, worker.Child}
	slices.Sort(want)
	if got := s.processes(); !slices.Equal(got, want) {
		t.Errorf("got processes %v, want the daemon and its child, %v", got, want)
	}

	// Whoever leads a session does get it.
	leader := testkit.Helper(t, "hostile")
	leader.Env = append(leader.Env, "D_TERMINAL="+pty.Name)
	leader.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if out, err := leader.Output(); string(out) != "got it" {
		t.Fatalf("the leader of a session got %q, %v: this test cannot fail", out, err)
	}
}

// The same with and without settings, for a caller with a umask of its own.
func TestDirectoryUmaskStreamsAndCore(t *testing.T) {
	testkit.Parallel(t)
	for _, set := range []bool{false, true} {
		t.Run(fmt.Sprintf("set=%v", set), func(t *testing.T) {
			s := newSubject(t, "facts")
			want := struct{ dir, umask, out, err string }{"/", "0022", os.DevNull, os.DevNull}
			if set {
				want.dir, want.umask = s.dir, "0027"
				want.out, want.err = s.path("log/out.log"), s.path("log/err.log")
				s.set("D_WORKDIR="+want.dir, "D_UMASK="+want.umask, "D_STDOUT="+want.out, "D_STDERR="+want.err)
			}
			pid, worker := s.startFacts(shell(s.command("start"), "umask 077; "))
			for _, p := range []int{pid, worker.Child} {
				if got := link(t, p, "cwd"); got != want.dir {
					t.Errorf("got working directory %s, want %s", got, want.dir)
				}
				if got := status(t, p, "Umask"); got != want.umask {
					t.Errorf("got umask %s, want %s", got, want.umask)
				}
				if soft, hard := limit(t, p, "Max core file size"); soft != "0" || hard != "0" {
					t.Errorf("got core limits %s and %s, want 0", soft, hard)
				}
			}
			fds := testkit.FDs(pid)
			if got, want := []string{fds[0], fds[1], fds[2]}, []string{os.DevNull, want.out, want.err}; !slices.Equal(got, want) {
				t.Errorf("got streams %q, want %q", got, want)
			}
		})
	}
}

func TestNameAndArgumentsArePreserved(t *testing.T) {
	testkit.Parallel(t)
	const name = "exampled"
	for _, argv0 := range []string{"", "bogus", "-sh"} {
		t.Run("argv0="+argv0, func(t *testing.T) {
			s := newSubject(t, "facts")
			cmd := s.command("-loud", "start", "one", "", "t w o")
			s.ownBinary(cmd, name)
			if argv0 != "" {
				cmd.Args[0] = argv0
			}
			pid, worker := s.startFacts(cmd)
			if got := status(t, pid, "Name"); got != name {
				t.Errorf("the process is called %q, want %q", got, name)
			}
			if got := strs(t, pid, "cmdline"); !slices.Equal(got, cmd.Args) {
				t.Errorf("got arguments %q, want %q", got, cmd.Args)
			}
			if want := cmd.Args[3:]; !slices.Equal(worker.Args, want) || !worker.Loud {
				t.Errorf("the worker got %q and loud=%v, want %q and true", worker.Args, worker.Loud, want)
			}
		})
	}
}

func TestMainRunsAgainAsItDid(t *testing.T) {
	s := newSubject(t, "facts")
	cmd := s.command("start")
	cmd.Dir = s.dir
	_, worker := s.startFacts(cmd)
	mains := readSeen(t, s.path("main"))
	if len(mains) != 2 {
		t.Fatalf("main ran %d times, want 2", len(mains))
	}
	first, again := mains[0], mains[1]
	if first.Launched || !again.Launched || worker.Launched {
		t.Errorf("got Launched %v, %v, and %v in the worker", first.Launched, again.Launched, worker.Launched)
	}
	if first.Dir != s.dir || again.Dir != first.Dir {
		t.Errorf("main found itself in %q, and again in %q, want %q", first.Dir, again.Dir, s.dir)
	}
	if !slices.Equal(again.Args, first.Args) {
		t.Errorf("main got %q, and again %q", first.Args, again.Args)
	}
	if !slices.Equal(again.Env, first.Env) {
		t.Errorf("main got the environment %q, and again %q", first.Env, again.Env)
	}
	want := append(slices.Clone(first.Env), "D_ADDED=by main")
	for who, env := range map[string][]string{"worker": worker.Env, "worker's child": strs(t, worker.Child, "environ")} {
		if !slices.Equal(slices.Sorted(slices.Values(env)), slices.Sorted(slices.Values(want))) {
			t.Errorf("the %s has the environment %q, want %q", who, env, want)
		}
	}
}

// What the daemon holds is what docs/ARCHITECTURE.md says, and its children
// have nothing of it.
func TestDescriptors(t *testing.T) {
	testkit.Parallel(t)
	t.Run("daemon", func(t *testing.T) {
		s := newSubject(t, "prog")
		pid := s.start()
		// Those of any Go program that this test starts, and ours; the last two
		// are the runtime's for any connection.
		want := fromThree(startPlain(t))
		want = append(want, s.pidFile(), filepath.Dir(s.pidFile()), "anon_inode:[eventpoll]", "anon_inode:[eventfd]", "socket:")
		slices.Sort(want)
		var got []string
		testkit.WaitFor(t, "the daemon to let go of its launcher", func() bool {
			got = fromThree(pid)
			for i, name := range got {
				if strings.HasPrefix(name, "socket:") { // where it hears who asks it to reload
					got[i] = "socket:"
				}
			}
			return len(got) <= len(want)
		})
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		s.stop()
	})
	t.Run("children", func(t *testing.T) {
		s := newSubject(t, "facts")
		_, worker := s.startFacts(s.command("start"))
		want := map[int]string{0: os.DevNull, 1: os.DevNull, 2: os.DevNull}
		if got := loaded(t, worker.Child); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// loaded are the descriptors of a program that is to have three, once it has closed its libraries
// and locales.
func loaded(t *testing.T, pid int) (fds map[int]string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("process %d has %v", pid, fds)
		}
	}()
	testkit.WaitFor(t, "a program to have three descriptors", func() bool {
		fds = testkit.FDs(pid)
		return len(fds) == 3
	})
	return fds
}

// fromThree are the descriptors of a process from 3 up.
func fromThree(pid int) (links []string) {
	for n, link := range testkit.FDs(pid) {
		if n > 2 {
			links = append(links, link)
		}
	}
	slices.Sort(links)
	return links
}

// startPlain starts a Go program that has nothing of ours.
func startPlain(t *testing.T) (pid int) {
	t.Helper()
	cmd := testkit.Helper(t, "plain")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestCallersDescriptors(t *testing.T) {
	testkit.Parallel(t)
	numbers := []int{3, 4, 10, 251}
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("CloseOpenFiles=%v", closed), func(t *testing.T) {
			s := newSubject(t, "facts")
			if closed {
				s.set("D_CLOSE=1")
			}
			cmd := s.command("start")
			paths := map[int]string{}
			cmd.ExtraFiles = make([]*os.File, numbers[len(numbers)-1]-2)
			for _, n := range numbers {
				paths[n] = s.path("caller" + strconv.Itoa(n))
				f, err := os.Create(paths[n])
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				cmd.ExtraFiles[n-3] = f
			}
			pid, worker := s.startFacts(cmd)
			fds, child := testkit.FDs(pid), testkit.FDs(worker.Child)
			for _, n := range numbers {
				if got := fds[n]; (got == paths[n]) == closed {
					t.Errorf("descriptor %d of the daemon is %q", n, got)
				}
			}
			for n, path := range child {
				if strings.HasPrefix(path, s.path("caller")) {
					t.Errorf("descriptor %d of its child is %q", n, path)
				}
			}
			for n, path := range fds {
				if closed && strings.HasPrefix(path, s.path("caller")) {
					t.Errorf("descriptor %d of the daemon is %q", n, path)
				}
			}
		})
	}
}

func TestCallersSignalsDoNotReachTheDaemon(t *testing.T) {
	control := testkit.Helper(t, "hostile", "/bin/sleep", "1000")
	control.Env = append(control.Env, "D_BECOME=")
	if err := control.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { control.Process.Kill(); control.Wait() }()
	testkit.WaitFor(t, "the exec", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", control.Process.Pid))
		return string(b) == "sleep\n"
	})
	var ignored, blocked uint64
	for _, sig := range ignoredByHostile {
		ignored |= 1 << (sig.(syscall.Signal) - 1)
	}
	for _, sig := range blockedByHostile {
		blocked |= 1 << (sig - 1)
	}
	mask := func(pid int, field string) uint64 { return hex(t, status(t, pid, field)) }
	if got := mask(control.Process.Pid, "SigIgn"); got&ignored != ignored {
		t.Fatalf("the caller ignores %x, want %x at least: this test cannot fail", got, ignored)
	}
	if got := mask(control.Process.Pid, "SigBlk"); got&blocked != blocked {
		t.Fatalf("the caller blocks %x, want %x at least: this test cannot fail", got, blocked)
	}

	s := newSubject(t, "hostile", "D_BECOME=facts")
	testkit.Helper(t, "facts") // what hostile becomes
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pid, worker := s.startFacts(s.command(self, "start"))
	for who, got := range map[string]uint64{
		"daemon ignores":    mask(pid, "SigIgn"),
		"its child ignores": mask(worker.Child, "SigIgn"),
		"its child blocks":  mask(worker.Child, "SigBlk"),
		"daemon blocks":     blockedEverywhere(t, pid),
	} {
		if got != 0 {
			t.Errorf("the %s %x", who, got)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	testkit.WaitGone(t, pid)
}

func hex(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// blockedEverywhere are the signals that no thread takes. One thread of a Go
// program that handles signals blocks those that it does not handle.
func blockedEverywhere(t *testing.T, pid int) uint64 {
	t.Helper()
	blocked := ^uint64(0)
	for _, tid := range tasks(t, pid) {
		for _, line := range lines(t, fmt.Sprintf("/proc/%d/task/%s/status", pid, tid)) {
			if v, ok := strings.CutPrefix(line, "SigBlk:\t"); ok {
				blocked &= hex(t, v)
			}
		}
	}
	return blocked
}

func tasks(t *testing.T, pid int) (tids []string) {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		tids = append(tids, e.Name())
	}
	return tids
}

// Go raises the soft limit for itself; a program that uses select(2) must not
// get that.
func TestChildrenHaveTheCallersLimitOfOpenFiles(t *testing.T) {
	const soft = "1000"
	s := newSubject(t, "facts")
	_, wantHard := limit(t, os.Getpid(), "Max open files")
	_, worker := s.startFacts(shell(s.command("start"), "ulimit -S -n "+soft+"; "))
	if got, hard := limit(t, worker.Child, "Max open files"); got != soft || hard != wantHard {
		t.Errorf("got %s and %s, want %s and %s", got, hard, soft, wantHard)
	}
}

func TestClosedStandardStreams(t *testing.T) {
	testkit.Parallel(t)
	for _, tt := range []struct{ redirect, out, err string }{
		{"<&-", factsStarted.out, factsStarted.err},
		{">&-", "", factsStarted.err},
		{"2>&-", factsStarted.out, ""},
		{"<&- >&- 2>&-", "", ""},
	} {
		t.Run(tt.redirect, func(t *testing.T) {
			s := newSubject(t, "facts")
			s.launch(shell(s.command("start"), "exec "+tt.redirect+"; ")).want(printed{out: tt.out, err: tt.err})
			pid := s.daemon()
			s.running0(pid)
			fds := testkit.FDs(pid)
			for n := range 3 {
				if fds[n] != os.DevNull {
					t.Errorf("descriptor %d is %q", n, fds[n])
				}
			}
			loaded(t, readSeen(t, s.path("worker"))[0].Child)
		})
	}
}

// running0 asks for the status through prog, whose main prints nothing.
func (s *subject) running0(pid int) {
	s.t.Helper()
	was := s.helper
	s.helper = "prog"
	defer func() { s.helper = was }()
	s.running(pid)
}

// The program's file goes, or is another one, between the moment at which the
// program was executed and the start.
func TestProgramFileGoneOrReplaced(t *testing.T) {
	testkit.Parallel(t)
	for _, replaced := range []bool{false, true} {
		t.Run(fmt.Sprintf("replaced=%v", replaced), func(t *testing.T) {
			s := newSubject(t, "facts")
			main := s.gate("D_GATE_LAUNCHER")
			cmd := s.command("start")
			path := s.ownBinary(cmd, "exampled")
			l := s.launch(cmd)
			main.reached()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if replaced {
				testkit.WriteProgram(t, path, []byte("#!/bin/sh\necho wrong >&2\nexit 9\n"))
			}
			main.open()
			l.want(factsStarted)
			pid := s.daemon()
			if got := status(t, pid, "Name"); got != "exampled" {
				t.Errorf("the process is called %q", got)
			}
			s.running0(pid)
		})
	}
}

// An upgrade puts a new file in the place of a running daemon's.
func TestProgramFileReplacedWhileRunning(t *testing.T) {
	s := newSubject(t, "facts")
	cmd := s.command("start")
	path := s.ownBinary(cmd, "exampled")
	pid, _ := s.startFacts(cmd)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	again := s.command("stop")
	s.ownBinary(again, "exampled")
	s.running0(pid)
	s.launch(again).want(printed{out: "hello\nStopping foo ... OK\n", err: factsStarted.err})
	s.noProcess()
}

func TestWorkingDirectoryGone(t *testing.T) {
	s := newSubject(t, "gated")
	main := s.gate("D_GATE_LAUNCHER")
	cmd := s.command("start")
	cmd.Dir = s.path("gone")
	if err := os.Mkdir(cmd.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	l := s.launch(cmd)
	main.reached()
	if err := os.Remove(cmd.Dir); err != nil {
		t.Fatal(err)
	}
	main.open()
	l.want(startedFine)
	s.ungated()
	s.running(s.daemon())
}

// The directory was gone before the program was executed.
func TestWorkingDirectoryGoneBefore(t *testing.T) {
	s := newSubject(t, "facts")
	cmd := s.command("start")
	dir := s.path("gone")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	pid, _ := s.startFacts(shell(cmd, "cd '"+dir+"'; rmdir '"+dir+"'; "))
	s.running0(pid)
}

func TestRelativePathOfTheProgram(t *testing.T) {
	s := newSubject(t, "facts")
	cmd := s.command("start")
	s.ownBinary(cmd, "exampled")
	cmd.Path, cmd.Args[0], cmd.Dir = "./exampled", "./exampled", s.dir
	pid, _ := s.startFacts(cmd)
	s.running0(pid)
}

func TestOutlivesTerminalAndSession(t *testing.T) {
	pty := testkit.Pty(t)
	s := newSubject(t, "prog")
	// The shell becomes a program that never reads: at a hang-up a reader may see
	// the end of its input, and exit by itself, before the signal comes.
	cmd := s.command("start")
	cmd.Args = append([]string{"sh", "-c", `"$0" "$@"; echo done; exec sleep 600`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	pty.Attach(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pty.Slave.Close()
	pty.Expect(t, "done\r\n")
	pid := s.daemon()
	pty.Master.Close() // hangs up
	cmd.Wait()
	if got := cmd.ProcessState.Sys().(syscall.WaitStatus); got.Signal() != syscall.SIGHUP {
		t.Errorf("the shell ended with %v: this test cannot fail", cmd.ProcessState)
	}
	time.Sleep(testkit.Settle)
	s.running(pid)
	s.stop()
}

// An idle daemon sleeps as an idle Go program does. While that one is quiet, so
// must the daemon be; a machine that disturbs both is asked again.
func TestIdleDaemonDoesNotWakeUp(t *testing.T) {
	period := 10 * testkit.Settle
	s := newSubject(t, "prog")
	pid := s.start()
	plain := startPlain(t)
	var strikes []int
	for end := time.Now().Add(testkit.Patience); time.Now().Before(end) && len(strikes) < 5; {
		plainBefore, before := switches(t, plain), switches(t, pid)
		time.Sleep(period) // what must not happen
		if grown := switches(t, pid) - before; grown == 0 {
			return
		} else if switches(t, plain) == plainBefore {
			strikes = append(strikes, grown)
		}
	}
	t.Errorf("the daemon was woken up %v times in periods of %v in which a plain Go program was not", strikes, period)
}

// switches counts how often a process's threads have gone to sleep by themselves.
func switches(t *testing.T, pid int) (sum int) {
	t.Helper()
	for _, tid := range tasks(t, pid) {
		for _, line := range lines(t, fmt.Sprintf("/proc/%d/task/%s/status", pid, tid)) {
			if v, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				n, err := strconv.Atoi(strings.TrimSpace(v))
				if err != nil {
					t.Fatal(err)
				}
				sum += n
			}
		}
	}
	return sum
}
