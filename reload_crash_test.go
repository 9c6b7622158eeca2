//go:build linux

package daemonocle_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func init() { helpers["regen"] = regen }

// regen is a program whose next generation a test can make to fail or to wait: a file
// in R_DIR that is named after a phase says what happens there, in whoever comes to it;
// see at. Its worker is that of lifeProgram. The files hook and privileged get a line
// for each call of those hooks. N_PRIV and N_WORKER are those of listener; the file listen
// takes the place of the latter. With "replace" for an action it asks for another process.
//
//	R_SAY     what main says on stdout at its beginning, if launched
//	R_RELOAD  Hooks.Reload: ok, or the text of its error
//	R_START_TIMEOUT
//	          StartTimeout of the daemon, which is for its reloads; its launcher has its own
func regen() {
	if daemonocle.Launched() {
		if text := os.Getenv("R_SAY"); text != "" {
			fmt.Println(text)
		}
		if err := at("main"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if sockets := slurp(filepath.Join(os.Getenv("R_DIR"), "listen")); sockets != "" {
			os.Setenv("N_WORKER", sockets)
		}
	}
	commands, err := os.OpenFile(os.Getenv("L_FIFO"), os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	c := progConfig()
	if daemonocle.Launched() && at("config") != nil {
		c.StopTimeout = -1
	}
	if limit := progDuration("R_START_TIMEOUT"); daemonocle.Launched() && limit != 0 {
		c.StartTimeout = limit // of a reload; the start has its own
	}
	c.Worker = func(ctx context.Context) error {
		if err := at("worker"); err != nil {
			return err
		}
		if err := listenAll(ctx, "N_WORKER", true); err != nil {
			return err
		}
		if err := at("listening"); err != nil {
			return err
		}
		if err := at("doomed"); err != nil {
			daemonocle.Ready(ctx)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		err := obey(ctx, commands)
		if bye := at("goodbye"); bye != nil {
			return bye
		}
		return err
	}
	log := func(name string, values ...any) {
		appendLine(filepath.Join(os.Getenv("R_DIR"), name+".log"), fmt.Sprint(values...))
	}
	c.Hooks.Privileged = func(ctx context.Context) error {
		log("privileged", os.Getuid())
		if err := listenAll(ctx, "N_PRIV", false); err != nil {
			return err
		}
		return at("privileged")
	}
	c.Hooks.Shutdown = func(s daemonocle.Shutdown) {
		log("shutdown", os.Getpid(), " ", s.Message)
		at("shutdown")
	}
	if what := os.Getenv("R_RELOAD"); what != "" {
		c.Hooks.Reload = func(context.Context) error {
			log("reload", os.Getpid())
			return at("reload")
		}
	}
	d, err := daemonocle.New(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Args[1] == "replace" {
		r, err := d.RequestReload(context.Background(), daemonocle.ReloadOptions{Replace: true})
		fmt.Printf("replaced %d by %d, generation %d\n", r.Old, r.PID, r.Generation)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

// at does what the file of the phase says.
func at(phase string) error {
	dir := os.Getenv("R_DIR")
	what, arg, _ := strings.Cut(slurp(filepath.Join(dir, phase)), " ")
	switch what {
	case "exit":
		fmt.Fprintln(os.Stderr, "about to exit")
		n, _ := strconv.Atoi(arg)
		os.Exit(n)
	case "panic":
		panic(arg)
	case "error":
		return errors.New(arg)
	case "gate":
		pass(filepath.Join(dir, arg))
	case "hang":
		select {}
	}
	return nil
}

// reloader is a daemon of regen under test.
type reloader struct {
	*described
	mode   string
	keeper *running // nil if detached
	holds  int      // barriers so far
}

// modes of a daemon's life.
var modes = []string{"detached", "foreground", "PID 1"}

func newReloader(t *testing.T, mode string, settings ...string) *reloader {
	t.Helper()
	if mode == "PID 1" {
		testkit.RequireRoot(t)
	}
	s := describe(t, "regen", settings...)
	dir := filepath.Join(s.side, "plan")
	must(t, os.Mkdir(dir, 0o777), os.Chmod(dir, 0o777))
	s.with("R_DIR=" + dir)
	return &reloader{described: s, mode: mode}
}

func eachMode(t *testing.T, f func(t *testing.T, mode, order string)) {
	testkit.Parallel(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			testkit.Parallel(t) // they wait more than they work
			eachOrder(t, func(t *testing.T, order string) { f(t, mode, order) })
		})
	}
}

// up starts the daemon and gives its PID, as it is here.
func (s *reloader) up() int {
	s.t.Helper()
	switch s.mode {
	case "detached":
		s.start()
		waitText(s.t, s.out, "worker ")
	case "foreground":
		s.keeper, _ = s.keep()
	case "PID 1":
		s.keeper, _ = s.beginPID1("start")
	}
	pid := s.holder()
	if pid <= 0 {
		s.t.Fatalf("process %d holds the PID file", pid)
	}
	return pid
}

// holder is the process that the kernel names, 0 if nobody holds the lock of byte 0.
func (s *reloader) holder() int {
	who, _ := locks(s.t, s.pid)
	return who
}

// locks says who holds byte 0, and whether byte 1 is held.
func locks(t *testing.T, path string) (who int, running bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 0, Len: 1}
	must(t, unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock))
	if lock.Type == unix.F_WRLCK {
		who = int(lock.Pid)
	}
	lock = unix.Flock_t{Type: unix.F_WRLCK, Start: 1, Len: 1}
	must(t, unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock))
	return who, lock.Type == unix.F_WRLCK
}

// own are the daemon's processes, without those that stay.
func (s *reloader) own() []int {
	return slices.DeleteFunc(s.processes(), func(pid int) bool { return s.keeper != nil && pid == s.keeper.cmd.Process.Pid })
}

// insider is the PID that the process has in its own namespace.
func insider(t *testing.T, pid int) int {
	t.Helper()
	f := strings.Fields(status(t, pid, "NSpid"))
	n, _ := strconv.Atoi(f[len(f)-1])
	return n
}

// only checks that the process is the one daemon: nothing else of it is left, it has the
// locks and the PID file, and status and start know it.
func (s *reloader) only(pid int) {
	s.t.Helper()
	var own []int
	testkit.WaitFor(s.t, "one process to be left", func() bool { own = s.own(); return len(own) <= 1 })
	if !slices.Equal(own, []int{pid}) {
		s.t.Fatalf("processes %v are left, want %d", own, pid)
	}
	if who, running := locks(s.t, s.pid); who != pid || !running {
		s.t.Errorf("process %d holds the PID file (running: %v), want %d", who, running, pid)
	}
	if got, want := s.daemon(), insider(s.t, pid); got != want {
		s.t.Errorf("the PID file has %d, want %d", got, want)
	}
	r := s.do("status")
	if want := fmt.Sprintf("foo -- pid: %d, ", pid); r.code != 0 || r.err != "" || !strings.HasPrefix(r.out, want) {
		s.t.Errorf("status: %+v, want process %d", r, pid)
	}
	if r := s.again(); r.err != fmt.Sprintf("WARNING: foo already running with PID %d\n", pid) {
		s.t.Errorf("start: %+v", r)
	}
}

// again is a second start.
func (s *reloader) again() ending {
	s.t.Helper()
	cmd := s.command("start")
	cmd.Env = append(cmd.Env, "TESTKIT_EARLY=")
	return s.begin(cmd).wait()
}

// await waits until another process than that has the PID file, and gives its PID.
func (s *reloader) await(before int) (pid int) {
	s.t.Helper()
	testkit.WaitFor(s.t, "another generation", func() bool {
		pid = s.holder()
		return pid > 0 && pid != before
	})
	return pid
}

func (s *reloader) path(name string) string { return filepath.Join(s.setting("R_DIR"), name) }

// plan says what happens at a phase from now on.
func (s *reloader) plan(phase, what string) {
	s.t.Helper()
	next := s.path(phase + ".new")
	must(s.t, os.WriteFile(next, []byte(what), 0o666), os.Rename(next, s.path(phase)))
}

func (s *reloader) unplan(phase string) {
	s.t.Helper()
	if err := os.Remove(s.path(phase)); err != nil && !os.IsNotExist(err) { // it may be none of ours
		s.t.Fatal(err)
	}
}

// hold makes the next process that comes to the phase wait there, at a barrier of its own:
// another may wait at an earlier one still.
func (s *reloader) hold(phase string) *barrier {
	s.t.Helper()
	s.holds++
	name := fmt.Sprintf("%s.gate%d", phase, s.holds)
	b := s.barrier(s.path(name))
	s.plan(phase, "gate "+name)
	return b
}

func (s *reloader) barrier(path string) *barrier {
	s.t.Helper()
	must(s.t, unix.Mkfifo(path, 0o666), os.Chmod(path, 0o666))
	b := &barrier{t: s.t, path: path}
	s.t.Cleanup(func() { // until then it is in use, which the garbage collector must know
		if b.w != nil {
			b.w.Close()
		}
	})
	return b
}

// barrier is a FIFO at which a process waits until all who have it open for writing
// have closed it.
type barrier struct {
	t    *testing.T
	path string
	w    *os.File
}

// reached waits until a process is there, and keeps it there.
func (b *barrier) reached() {
	b.t.Helper()
	testkit.WaitFor(b.t, filepath.Base(b.path)+" to be reached", func() (ok bool) {
		var err error
		b.w, err = os.OpenFile(b.path, os.O_WRONLY|unix.O_NONBLOCK, 0)
		return err == nil
	})
}

func (b *barrier) open() { b.w.Close() }

// log is what a hook has written down.
func (s *reloader) log(name string) string { return slurp(s.path(name + ".log")) }

// streams are where the daemon's own output goes.
func (s *reloader) streams() (out, err string) {
	if s.keeper != nil {
		return s.keeper.out, s.keeper.err
	}
	return s.out, s.err
}

// down stops the daemon and checks that nothing is left, and how a keeper ends.
func (s *reloader) down() {
	s.t.Helper()
	s.stop()
	if s.keeper != nil {
		got := s.keeper.wait()
		if got.code != 0 || strings.Count(got.out, childlessLine) != 1 {
			s.t.Errorf("the keeper: %+v", got)
		}
	}
	testkit.WaitFor(s.t, "nothing to be left", func() bool { return len(s.processes()) == 0 })
	if onDisk(s.pid) {
		s.t.Error("the PID file is there still")
	}
	if r := s.do("status"); r != (ending{"foo -- not running\n", "", 1}) {
		s.t.Errorf("status: %+v", r)
	}
}

// failure is a way in which the next generation fails.
type failure struct {
	name       string
	phase      string // at which
	what       string
	before     func(s *reloader)
	after      func(s *reloader)
	text       string   // of the ERROR line, with %d for a PID
	more       []string // reason and stderr
	readyFirst bool     // only in that order
	detached   bool     // only then
	noAction   bool     // it would fail the same way
	notInside  bool     // what Reload returns would not be seen
}

var failures = []failure{
	{name: "main exits", phase: "main", what: "exit 42", text: "child exited immediately with exit code 42", more: []string{"stderr: about to exit"}},
	{name: "main exits well", phase: "main", what: "exit 0", text: "child exited immediately with exit code 0"},
	{name: "main panics", phase: "main", what: "panic coconut", text: "child exited immediately with exit code 2", more: []string{"panic: coconut"}},
	{name: "main says why", phase: "main", what: "error no such coconut", text: "child exited immediately with exit code 1", more: []string{"stderr: no such coconut"}},
	{name: "bad settings", phase: "config", what: "error x", text: "child exited immediately with exit code 1", more: []string{"StopTimeout"}},
	{name: "privileged hook fails", phase: "privileged", what: "error no coconut here", text: "no coconut here"},
	{name: "privileged hook panics", phase: "privileged", what: "panic coconut", text: "privileged hook panicked: coconut"},
	{name: "work dir is gone", text: "child exited immediately with exit code 1", noAction: true,
		before: func(s *reloader) { must(s.t, os.Remove(filepath.Join(s.dir, "work"))) },
		after:  func(s *reloader) { must(s.t, os.Mkdir(filepath.Join(s.dir, "work"), 0o777)) }},
	{name: "log is a directory", text: "out.log", detached: true, notInside: true,
		before: func(s *reloader) {
			must(s.t, os.Rename(s.out, s.out+".kept"), os.Mkdir(s.out, 0o777))
		},
		after: func(s *reloader) {
			must(s.t, os.Remove(s.out), os.Rename(s.out+".kept", s.out))
		}},
	{name: "worker fails", phase: "worker", what: "error rotten coconut", text: "child exited immediately with exit code 1", more: []string{"reason: rotten coconut"}, readyFirst: true},
	{name: "worker panics", phase: "worker", what: "panic coconut", text: "child exited immediately with exit code 2", more: []string{"reason: panic: coconut"}, readyFirst: true},
	{name: "worker exits", phase: "worker", what: "exit 7", text: "child exited immediately with exit code 7", more: []string{"stderr: about to exit"}, readyFirst: true},
}

// delays are failures that only the end of time shows.
var delays = []failure{
	{name: "main hangs", phase: "main", what: "hang", text: "timed out while waiting for the new process (PID "},
	{name: "privileged hook hangs", phase: "privileged", what: "hang", text: "timed out while waiting for the new process (PID "},
	{name: "never ready", phase: "worker", what: "hang", text: "timed out while waiting for the new process (PID ", readyFirst: true},
}

// All that can be wrong with the new process leaves the old one as it was, and is said.
func TestReloadThatFailsLeavesTheDaemonAlone(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order)
		must(t, os.Mkdir(filepath.Join(s.dir, "work"), 0o777))
		s.with("D_WORKDIR=" + filepath.Join(s.dir, "work"))
		if mode != "PID 1" {
			s.asOrdinary()
		}
		pid := s.up()
		for _, f := range failures {
			if f.readyFirst && s.setting("D_REQUIRE_READY") == "" || f.detached && mode != "detached" {
				continue
			}
			t.Run(f.name, func(t *testing.T) { s.failing(t, pid, f) })
		}
		if got := s.log("shutdown"); strings.Contains(got, fmt.Sprintln(insider(t, pid))) {
			t.Errorf("the daemon's shutdown hook was called: %q", got)
		}
		// And when all is well again:
		r := s.do("reload")
		if r != (ending{reloadedLine, "", 0}) {
			t.Fatalf("reload: %+v", r)
		}
		next := s.await(pid)
		s.only(next)
		s.down()
	})
}

func TestReloadThatTakesTooLongLeavesTheDaemonAlone(t *testing.T) {
	eachMode(t, func(t *testing.T, mode, order string) {
		s := newReloader(t, mode, order, "D_STOP_TIMEOUT=100ms", "R_START_TIMEOUT="+(10*testkit.Settle).String())
		pid := s.up()
		for _, f := range delays {
			if f.readyFirst && s.setting("D_REQUIRE_READY") == "" {
				continue
			}
			t.Run(f.name, func(t *testing.T) {
				s.plan(f.phase, f.what)
				defer s.unplan(f.phase)
				s.failingAction(t, pid, f)
				s.untouched(t, pid, "")
			})
		}
		s.only(pid)
		s.with("D_STOP_TIMEOUT=" + testkit.Patience.String()) // a stop's own, from here on
		s.down()
	})
}

func (s *reloader) failing(t *testing.T, pid int, f failure) {
	if f.phase != "" {
		s.plan(f.phase, f.what)
		defer s.unplan(f.phase)
	}
	if f.before != nil {
		f.before(s)
	}
	if f.after != nil {
		defer f.after(s)
	}
	before := s.log("shutdown")
	out, errors := s.streams()

	if !f.noAction {
		s.failingAction(t, pid, f)
		s.untouched(t, pid, before)
	}

	at := len(slurp(errors))
	must(t, syscall.Kill(pid, syscall.SIGHUP))
	testkit.WaitFor(t, "the daemon to say that it has not worked", func() bool {
		return strings.Contains(strings.ToLower(slurp(errors)[at:]), "error: reload: "+strings.ToLower(f.prefix()))
	})
	s.untouched(t, pid, before)

	if f.notInside {
		return
	}
	at = len(slurp(out))
	s.tell("reload")
	testkit.WaitFor(t, "Reload to return", func() bool {
		_, text, found := strings.Cut(slurp(out)[at:], "reload: ")
		return found && strings.Contains(strings.ToLower(text), strings.ToLower(f.text))
	})
	s.untouched(t, pid, before)
}

// failingAction asks from outside.
func (s *reloader) failingAction(t *testing.T, pid int, f failure) {
	r := s.do("reload")
	if r.out != "Reloading foo ... FAILED\n" || r.code != 1 || !strings.HasPrefix(r.err, "ERROR: ") || strings.Count(r.err, "ERROR") != 1 {
		t.Errorf("action: %+v", r)
	}
	first, rest, _ := strings.Cut(r.err, "\n")
	if !strings.Contains(strings.ToLower(first), strings.ToLower(f.text)) {
		t.Errorf("action says %q, want %q", first, f.text)
	}
	for _, more := range f.more {
		if s.mode != "detached" && (strings.HasPrefix(more, "stderr:") || !strings.HasPrefix(more, "reason:")) {
			continue // it was said on the terminal
		}
		if !strings.Contains(rest, more) {
			t.Errorf("action says %q, want %q in it", rest, more)
		}
	}
	if !strings.Contains(rest, fmt.Sprintf("hint: The daemon (PID %d) goes on as before.\n", insider(t, pid))) {
		t.Errorf("action says %q: no hint", rest)
	}
}

// prefix is how the text begins, where that is known.
func (f failure) prefix() string {
	if strings.HasPrefix(f.text, "child") || strings.HasPrefix(f.text, "timed") {
		return f.text
	}
	return ""
}

// untouched checks that the daemon is as it was before a reload that has failed.
func (s *reloader) untouched(t *testing.T, pid int, shutdowns string) {
	t.Helper()
	if own := s.own(); !slices.Equal(own, []int{pid}) {
		t.Fatalf("processes %v are left, want %d", own, pid)
	}
	if who, running := locks(t, s.pid); who != pid || !running {
		t.Errorf("process %d holds the PID file (running: %v), want %d", who, running, pid)
	}
	if got, want := s.daemon(), insider(t, pid); got != want {
		t.Errorf("the PID file has %d, want %d", got, want)
	}
	// That of a new worker that has failed is its own affair.
	for line := range strings.Lines(strings.TrimPrefix(s.log("shutdown"), shutdowns)) {
		if strings.HasPrefix(line, fmt.Sprintf("%d ", insider(t, pid))) {
			t.Errorf("the shutdown hook was called: %q", line)
		}
	}
}

// ownImage makes the program a file of the daemon's own, called by that path.
func (s *reloader) ownImage(name string) string {
	s.t.Helper()
	path := filepath.Join(s.side, name)
	self, err := os.Executable()
	must(s.t, err)
	copyImage(s.t, self, path)
	return path
}

func copyImage(t *testing.T, from, to string) {
	t.Helper()
	image, err := os.ReadFile(from)
	must(t, err)
	testkit.WriteProgram(t, to+".new", image)
	must(t, os.Rename(to+".new", to))
}

// upAs starts the daemon detached as the program with that name.
func (s *reloader) upAs(argv0, path string) int {
	s.t.Helper()
	cmd := s.command("start")
	cmd.Path, cmd.Args[0] = path, argv0
	if r := s.begin(cmd).wait(); r.code != 0 {
		s.t.Fatalf("start: %+v", r)
	}
	waitText(s.t, s.out, "worker ")
	return s.holder()
}

// What is the program's file by the time of the reload may be anything.
func TestReloadOfAProgramThatIsNotThere(t *testing.T) {
	eachOrder(t, func(t *testing.T, order string) {
		t.Run("ends", func(t *testing.T) { reloadOfNoProgram(t, order, "1h") })
		t.Run("stays", func(t *testing.T) { reloadOfNoProgram(t, order, "1s") })
	})
}

func reloadOfNoProgram(t *testing.T, order, limit string) {
	s := newReloader(t, "detached", order, "R_START_TIMEOUT="+limit)
	image := s.ownImage("prog")
	pid := s.upAs(image, image)
	kept := image + ".kept"
	must(t, os.Rename(image, kept))
	put := func(text string, mode os.FileMode) func() {
		return func() { must(t, os.WriteFile(image, []byte(text), mode), os.Chmod(image, mode)) }
	}
	for _, tt := range []struct {
		name string
		put  func()
		text string
	}{
		{"missing", func() {}, "execute " + image + ": no such file or directory"},
		{"not executable", put("#!/bin/sh\n", 0o644), "execute " + image + ": permission denied"},
		{"garbage", put("\x7fELF coconut", 0o755), "execute " + image + ": exec format error"},
		{"a directory", func() { must(t, os.Mkdir(image, 0o755)) }, "execute " + image + ": permission denied"},
		{"ends well", put("#!/bin/sh\nexit 0\n", 0o755), "child exited immediately with exit code 0"},
		{"says why", put("#!/bin/sh\necho wrong coconut >&2\nexit 3\n", 0o755), "child exited immediately with exit code 3"},
		{"never claims", put("#!/bin/sh\nexec sleep 1000\n", 0o755), "timed out while waiting for the new process"},
		{"closes all and stays", put("#!/bin/sh\nfor n in 3 4 5 6 7 8 9; do eval \"exec $n>&-\"; done\nexec sleep 1000\n", 0o755), "timed out while waiting for the new process"},
	} {
		if stays := strings.HasPrefix(tt.text, "timed out"); stays != (limit == "1s") {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			tt.put()
			defer os.Remove(image)
			r := s.do("reload")
			first, rest, _ := strings.Cut(r.err, "\n")
			if r.out != "Reloading foo ... FAILED\n" || r.code != 1 || !strings.Contains(strings.ToLower(first), strings.ToLower(tt.text)) {
				t.Errorf("got %+v, want %q", r, tt.text)
			}
			if tt.name == "says why" && !strings.Contains(rest, "stderr: wrong coconut\n") {
				t.Errorf("got %+v", r)
			}
			s.untouched(t, pid, "")
		})
	}
	must(t, os.Rename(kept, image))
	if limit == "1s" { // which is no time for one that is to work
		s.only(pid)
		s.down()
		return
	}
	if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
		t.Errorf("reload: %+v", r)
	}
	s.only(s.await(pid))
	s.down()
}

// The file that is there by the time of the reload is what runs afterwards.
func TestReloadRunsTheImageOnDisk(t *testing.T) {
	testkit.Parallel(t)
	for _, by := range []string{"path", "symbolic link", "PATH", "relative path"} {
		t.Run(by, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, order string) {
				s := newReloader(t, "detached", order)
				bin := filepath.Join(s.side, "v1")
				must(t, os.Mkdir(bin, 0o755), os.Mkdir(filepath.Join(s.side, "v2"), 0o755))
				image := s.ownImage("v1/prog")
				cmd := s.command("start")
				cmd.Path, cmd.Args[0] = image, image
				replace := image
				switch by {
				case "symbolic link":
					link := filepath.Join(s.side, "current")
					must(t, os.Symlink("v1", link))
					cmd.Path = filepath.Join(link, "prog")
					cmd.Args[0] = cmd.Path
				case "PATH":
					cmd.Args[0] = "prog"
					cmd.Env = append(cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"))
				case "relative path":
					cmd.Dir, cmd.Args[0] = s.side, "./v1/prog"
				}
				if r := s.begin(cmd).wait(); r.code != 0 {
					t.Fatalf("start: %+v", r)
				}
				pid := s.holder()
				if by == "symbolic link" {
					replace = filepath.Join(s.side, "v2/prog")
				}
				copyImage(t, image, replace)
				if by == "symbolic link" {
					must(t, os.Symlink("v2", filepath.Join(s.side, "next")), os.Rename(filepath.Join(s.side, "next"), filepath.Join(s.side, "current")))
				}
				var want unix.Stat_t
				must(t, unix.Stat(replace, &want))
				for range 2 {
					if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
						t.Fatalf("reload: %+v", r)
					}
					next := s.await(pid)
					var got unix.Stat_t
					must(t, unix.Stat(fmt.Sprintf("/proc/%d/exe", next), &got))
					if got.Ino != want.Ino || got.Dev != want.Dev {
						t.Errorf("it runs %s, want %s", link(t, next, "exe"), replace)
					}
					if got := strs(t, next, "cmdline"); !slices.Equal(got, cmd.Args) {
						t.Errorf("got arguments %q, want %q", got, cmd.Args)
					}
					if got := status(t, next, "Name"); got != "prog" {
						t.Errorf("the process is called %q", got)
					}
					pid = next
				}
				s.only(pid)
				// A wrapper is a program like any other, if it becomes the real one.
				kept := replace + ".real"
				must(t, os.Rename(replace, kept))
				script := fmt.Sprintf("#!/bin/sh\nR_SAY='wrapped coconut' exec %s \"$@\"\n", kept)
				testkit.WriteProgram(t, replace+".new", []byte(script))
				must(t, os.Rename(replace+".new", replace))
				if r := s.do("reload"); r != (ending{reloadedLine, "", 0}) {
					t.Fatalf("reload: %+v", r)
				}
				next := s.await(pid)
				if env := strs(t, next, "environ"); !slices.Contains(env, "R_SAY=wrapped coconut") {
					t.Error("the wrapper has not run")
				}
				s.only(next)
				s.down()
			})
		})
	}
}

// A daemon that does not go in time, in the order in which the new one waits for it.
func TestOldDaemonThatDoesNotGo(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := newReloader(t, mode, "D_REQUIRE_READY=", "D_STOP_TIMEOUT=300ms")
			pid := s.up()
			out, errs := s.streams()
			goodbye := s.hold("goodbye")
			r := s.begin(s.command("reload"))
			goodbye.reached()
			text := fmt.Sprintf("ERROR: Previous process (PID %d) did NOT exit during reload\n", insider(t, pid))
			got := r.wait()
			if got.out != "Reloading foo ... FAILED\n" || got.code != 1 || !strings.HasPrefix(got.err, text) {
				t.Errorf("got %+v, want %q", got, text)
			}
			waitText(t, out, "Reloading foo ... FAILED\n")
			if s.mode != "detached" {
				waitText(t, errs, text)
			}
			s.only(pid)
			s.unplan("goodbye")
			s.plan("main", "exit 3") // nor can there be another
			goodbye.open()
			testkit.WaitGone(t, pid)
			if s.keeper != nil {
				s.keeper.wait()
			}
			testkit.WaitFor(t, "nothing to be left", func() bool { return len(s.processes()) == 0 })
			if r := s.do("status"); r != (ending{"foo -- not running\n", "", 1}) {
				t.Errorf("status: %+v", r)
			}
		})
	}
}

// The new one loses its patience at the moment at which the old one is abandoned: there is a
// daemon nevertheless, whatever the caller hears.
func TestOldDaemonThatGoesAtTheLastMoment(t *testing.T) {
	testkit.Parallel(t)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			testkit.Parallel(t)
			s := newReloader(t, mode, orders["set up"], "D_STOP_TIMEOUT=300ms", "D_ABANDON_AFTER=300ms")
			pid := s.up()
			s.plan("goodbye", "hang")
			for range 5 {
				got := s.do("reload")
				t.Logf("%+v", got)
				testkit.WaitGone(t, pid)
				pid = s.await(pid)
				testkit.WaitFor(t, "one process to be left", func() bool { return slices.Equal(s.own(), []int{pid}) })
			}
			s.unplan("goodbye")
			s.only(pid)
			s.with("D_STOP_TIMEOUT=" + testkit.Patience.String()) // a stop's own, from here on
			s.down()
		})
	}
}
