//go:build linux

package daemonocle_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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

func init() { helpers["pool"] = pool }

// pool is prog with a group of D_WORKERS: D_WORKER_3 is the worker of number 3
// instead of D_WORKER.
func pool() {
	n, err := strconv.Atoi(os.Getenv("D_WORKERS"))
	if err != nil {
		panic(err)
	}
	c := progConfig()
	if usual := c.Worker; usual != nil {
		c.Worker = func(ctx context.Context) error {
			n, _ := daemonocle.From(ctx).Worker()
			if spec := os.Getenv("D_WORKER_" + strconv.Itoa(n)); spec != "" {
				return progWorker(spec)(ctx)
			}
			return usual(ctx)
		}
	}
	c.Hooks.Start = func(_ context.Context, info daemonocle.StartInfo) error {
		n, _ := info.Daemon.Worker()
		if os.Getenv("D_REFUSE") == strconv.Itoa(n) {
			return errors.New("not this one")
		}
		return nil
	}
	c.Actions = append(c.Actions, daemonocle.NewAction("number", "", func(_ context.Context, c *daemonocle.Call, _ struct{}) error {
		n, of := c.Daemon.Worker()
		_, err := fmt.Fprintf(c.Out, "%d of %d\n", n, of)
		return err
	}))
	g, err := daemonocle.NewGroup(c, n)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(g.Do(context.Background(), os.Args[1:]...)))
}

// newPool is a subject with a group, of which the PID files are run/foo0.pid and
// so on, and the same group as values.
func newPool(t *testing.T, workers int, env ...string) (*subject, *daemonocle.Group) {
	t.Helper()
	s := newSubject(t, "pool", env...)
	pidFile := s.path("run/foo{n}.pid")
	s.set("D_NAME=foo{n}", "D_PIDFILE="+pidFile, "D_WORKERS="+strconv.Itoa(workers))
	g, err := daemonocle.NewGroup(daemonocle.Config{Name: "foo{n}", PIDFile: pidFile, Worker: progWorker("")}, workers)
	if err != nil {
		t.Fatal(err)
	}
	return s, g
}

// lineFor is what is printed when an action was fine for these workers.
func lineFor(doing string, workers ...int) string {
	var b strings.Builder
	for _, n := range workers {
		fmt.Fprintf(&b, "%s foo%d ... OK\n", doing, n)
	}
	return b.String()
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// pids are the workers' processes, by number; 0 where there is none.
func pids(t *testing.T, g *daemonocle.Group) (all []int) {
	t.Helper()
	statuses, err := g.Status(context.Background(), daemonocle.StatusOptions{Fields: []string{"pid"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statuses {
		all = append(all, s.PID)
	}
	return all
}

func TestGroupIsOneSessionOfManyProcessGroups(t *testing.T) {
	s, g := newPool(t, 3)
	s.begin("start").want(printed{out: lineFor("Starting", 0, 1, 2)})
	all := pids(t, g)
	if left := s.processes(); !slices.Equal(slices.Sorted(slices.Values(all)), left) {
		t.Errorf("the processes are %v, want the workers %v alone", left, all)
	}
	session := 0
	for _, pid := range all {
		st := testkit.Stat(pid)
		if st.PGrp != pid {
			t.Errorf("process %d is in group %d, want to lead its own", pid, st.PGrp)
		}
		if st.Session == pid || session != 0 && st.Session != session {
			t.Errorf("process %d is in session %d, want one that all are in and nobody leads", pid, st.Session)
		}
		session = st.Session
	}
	if !testkit.Gone(session) {
		t.Errorf("the session's leader %d lives", session)
	}
	// Another start is another session.
	if err := syscall.Kill(all[1], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.WaitGone(t, all[1])
	s.begin("start").wait()
	if st := testkit.Stat(pids(t, g)[1]); st.Session == session {
		t.Errorf("the one that was started later is in the session of the others")
	}
	s.begin("stop").want(printed{out: lineFor("Stopping", 0, 1, 2)})
	s.noProcess()
}

func TestGroupAfterKills(t *testing.T) {
	s, g := newPool(t, 4)
	s.begin("start").wait()
	before := pids(t, g)
	for _, n := range []int{1, 3} {
		syscall.Kill(before[n], syscall.SIGKILL)
		testkit.WaitGone(t, before[n])
	}
	if got, want := pids(t, g), []int{before[0], 0, before[2], 0}; !slices.Equal(got, want) {
		t.Errorf("got processes %v, want %v", got, want)
	}
	warned := ""
	for _, n := range []int{0, 2} {
		warned += fmt.Sprintf("WARNING: foo%d already running with PID %d\n", n, before[n])
	}
	s.begin("start").want(printed{out: lineFor("Starting", 1, 3), err: warned})
	after := pids(t, g)
	if after[0] != before[0] || after[2] != before[2] || slices.Contains(after, 0) {
		t.Errorf("got processes %v after %v", after, before)
	}
	syscall.Kill(after[2], syscall.SIGKILL)
	testkit.WaitGone(t, after[2])
	s.begin("stop").want(printed{out: lineFor("Stopping", 0, 1, 3), err: "WARNING: foo2 is not running\n"})
	s.noProcess()
}

// One that cannot be stopped is not started either.
func TestGroupRestartsWhatCouldBeStopped(t *testing.T) {
	growing(t, func(limit time.Duration) bool {
		s, g := newPool(t, 3, "D_WORKER_1=deaf", "D_STOP_TIMEOUT="+limit.String())
		s.begin("start").want(printed{out: lineFor("Starting", 0, 1, 2)})
		before := pids(t, g)
		got := s.begin("restart").wait()
		if strings.Contains(got.out, "foo0 ... FAILED") || strings.Contains(got.out, "foo2 ... FAILED") {
			return false
		}
		want := printed{
			out:  lineFor("Stopping", 0) + "Stopping foo1 ... FAILED\n" + lineFor("Stopping", 2) + lineFor("Starting", 0, 2),
			err:  fmt.Sprintf("ERROR: Timed out while waiting for process (PID %d) to terminate\n", before[1]),
			code: 1,
		}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if after := pids(t, g); after[1] != before[1] || after[0] == before[0] || after[2] == before[2] {
			t.Errorf("got processes %v after %v", after, before)
		}
		return true
	})
}

func TestTwoGroupStartsAtOnce(t *testing.T) {
	const workers = 5
	s, g := newPool(t, workers)
	var all []*launched
	for range 4 {
		all = append(all, s.begin("start"))
	}
	var out, errs string
	for _, l := range all {
		p := l.wait()
		if p.code != 0 {
			t.Errorf("got %+v", p)
		}
		out, errs = out+p.out, errs+p.err
	}
	for n, pid := range pids(t, g) {
		if got := strings.Count(out, lineFor("Starting", n)); got != 1 {
			t.Errorf("worker %d was started %d times", n, got)
		}
		if got := strings.Count(errs, fmt.Sprintf("WARNING: foo%d already running with PID %d\n", n, pid)); got != len(all)-1 {
			t.Errorf("worker %d, PID %d, was found running %d times, want %d, in\n%s", n, pid, got, len(all)-1, errs)
		}
	}
	s.begin("stop").wait()
	s.noProcess()
}

func TestGroupsStartHookSeesEachWorker(t *testing.T) {
	s, _ := newPool(t, 3, "D_REFUSE=1")
	s.begin("start").want(printed{
		out:  "Starting foo1 ... FAILED\n",
		err:  "ERROR: not this one\n",
		code: 1,
	}.around("Starting foo0 ... OK\n", "Starting foo2 ... OK\n"))
	s.begin("stop").wait()
	s.noProcess()
}

// around puts lines before and after what is printed on stdout.
func (p printed) around(before, after string) printed {
	p.out = before + p.out + after
	return p
}

func TestCancelledGroupStartLeavesNothing(t *testing.T) {
	s, _ := newPool(t, 3, "D_WORKER=mute", "D_REQUIRE_READY=1", "D_ABANDON_AFTER=1ms")
	l := s.begin("start")
	testkit.WaitFor(t, "all workers to be there", func() bool {
		for n := range 3 {
			if b, err := os.ReadFile(s.path(fmt.Sprintf("run/foo%d.pid", n))); err != nil || len(b) == 0 {
				return false
			}
		}
		return true
	})
	l.signal(syscall.SIGINT)
	got := l.wait()
	if got.code != 130 || strings.Count(got.out, "FAILED") != 3 || strings.Count(got.err, "ERROR: Start was cancelled\n") != 3 {
		t.Errorf("got %+v, want all three cancelled", got)
	}
	s.nothingLeft()
}

func TestGroupAsValues(t *testing.T) {
	s, g := newPool(t, 3)
	s.begin("start").wait()
	ctx := context.Background()
	if g.Name() != "foo" || g.Size() != 3 {
		t.Errorf("got %q, %d", g.Name(), g.Size())
	}
	_, err := g.Start(ctx, daemonocle.StartOptions{})
	if !errors.Is(err, daemonocle.ErrAlreadyRunning) || strings.Count(err.Error(), "already running") != 3 {
		t.Errorf("got %v, want three that are already running", err)
	}
	if _, err := g.Start(ctx, daemonocle.StartOptions{Debug: true}); !errors.Is(err, daemonocle.ErrUsage) {
		t.Errorf("got %v, want %v", err, daemonocle.ErrUsage)
	}
	one, err := g.Daemon(1)
	if err != nil {
		t.Fatal(err)
	}
	if n, of := one.Worker(); n != 1 || of != 3 {
		t.Errorf("got worker %d of %d", n, of)
	}
	for _, n := range []int{-1, 3} {
		if _, err := g.Daemon(n); err == nil || !strings.Contains(err.Error(), "0 to 2") {
			t.Errorf("got %v for worker %d, want the range", err, n)
		}
	}
	if _, err := one.Stop(ctx, daemonocle.StopOptions{}); err != nil {
		t.Error(err)
	}
	stopped, err := g.Stop(ctx, daemonocle.StopOptions{})
	var e *daemonocle.Error
	if !errors.As(err, &e) || e.Name != "foo1" || !errors.Is(err, daemonocle.ErrNotRunning) {
		t.Errorf("got %v, want that foo1 is not running", err)
	}
	if len(stopped) != 3 || stopped[0].PID == 0 || stopped[1].PID != 0 || stopped[2].PID == 0 {
		t.Errorf("got %+v", stopped)
	}
	s.noProcess()
}

// A lock of somebody else's keeps one worker from starting, and no other.
func TestGroupWithABlockedWorker(t *testing.T) {
	s, g := newPool(t, 3)
	if err := os.Mkdir(s.path("run"), 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(s.path("run/foo1.pid"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	got := s.begin("start").wait()
	if got.code != 1 || got.out != "Starting foo0 ... OK\nStarting foo1 ... FAILED\nStarting foo2 ... OK\n" ||
		!strings.Contains(got.err, "is locked by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("got %+v, want the second blocked by this process", got)
	}
	if all := pids(t, g); all[0] == 0 || all[1] != 0 || all[2] == 0 {
		t.Errorf("got processes %v", all)
	}
	s.begin("stop").wait()
}

// A thousand workers, each a process: with the race detector each of them would
// need more memory than the machine has.
func TestAThousandWorkers(t *testing.T) {
	workers := 1000
	if testing.Short() || testkit.Race {
		workers = 50
	}
	s, g := newPool(t, workers, "D_START_TIMEOUT=5m")
	patience := 10 * testkit.Patience
	if got, want := s.begin("start").waitFor(patience), (printed{out: lineFor("Starting", upTo(workers)...)}); got != want {
		t.Errorf("got %+v, want all started", got)
	}
	all := pids(t, g)
	if len(slices.Compact(slices.Sorted(slices.Values(all)))) != workers || slices.Contains(all, 0) {
		t.Errorf("got processes %v, want %d", all, workers)
	}
	if got, want := s.begin("stop").waitFor(patience), (printed{out: lineFor("Stopping", upTo(workers)...)}); got != want {
		t.Errorf("got %+v, want all stopped", got)
	}
	if left, err := os.ReadDir(s.path("run")); len(left) > 0 {
		t.Errorf("%v are left (%v)", left, err)
	}
	s.noProcess()
}

// Where not all can be started at once, none is, and the limit is named.
func TestGroupBeyondTheLimitOfOpenFiles(t *testing.T) {
	s, g := newPool(t, 30)
	cmd := s.command("start")
	got := s.launch(shell(cmd, "ulimit -n 40; ")).wait()
	if got.code != 1 || strings.Count(got.out, "FAILED") != 30 || strings.Count(got.err, "ulimit -n") != 30 {
		t.Errorf("got %+v, want all refused with the limit's name", got)
	}
	for n, pid := range pids(t, g) {
		if pid != 0 {
			t.Errorf("worker %d was started", n)
		}
	}
	s.noProcess()
}

// In the daemon's own process only its own description is made, but all can be.
func TestWorkerKnowsItsGroup(t *testing.T) {
	s := newSubject(t, "siblings")
	s.set("D_PIDFILE="+s.path("foo{n}.pid"), "D_SEEN="+s.path("seen"))
	s.begin("start").wait()
	testkit.WaitFor(t, "the workers to have looked", func() bool {
		b, _ := os.ReadFile(s.path("seen"))
		return strings.Count(string(b), "\n") == 2
	})
	got := lines(t, s.path("seen"))
	slices.Sort(got)
	want := []string{"0 of 2 sees s0 and s1", "1 of 2 sees s0 and s1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	s.begin("stop").wait()
}

func init() { helpers["siblings"] = siblings }

func siblings() {
	var g *daemonocle.Group
	g, err := daemonocle.NewGroup(daemonocle.Config{
		Name:    "s{n}",
		PIDFile: os.Getenv("D_PIDFILE"),
		Worker: func(ctx context.Context) error {
			n, of := daemonocle.From(ctx).Worker()
			all, err := g.Status(ctx, daemonocle.StatusOptions{})
			if err != nil {
				return err
			}
			appendLine(os.Getenv("D_SEEN"), fmt.Sprintf("%d of %d sees %s and %s", n, of, all[0].Name, all[1].Name))
			daemonocle.Ready(ctx)
			<-ctx.Done()
			return nil
		},
	}, 2)
	if err != nil {
		panic(err)
	}
	os.Exit(daemonocle.ExitCode(g.Do(context.Background(), os.Args[1:]...)))
}

// The stage is killed when it has started some of the workers: the launcher says
// of each what is so.
func TestGroupOfWhichTheStageIsKilled(t *testing.T) {
	const workers = 30
	for range 5 {
		s, g := newPool(t, workers)
		l := s.begin("start")
		testkit.WaitFor(t, "a worker to be there", func() bool {
			left, _ := os.ReadDir(s.path("run"))
			return len(left) > 0
		})
		killStage(t, l.pid())
		got := l.wait()
		all := pids(t, g)
		for n, pid := range all {
			ok := strings.Contains(got.out, lineFor("Starting", n))
			if ok != (pid != 0) {
				t.Errorf("worker %d has PID %d, and the start printed %+v", n, pid, got)
			}
		}
		if fine := !slices.Contains(all, 0); fine != (got.code == 0) {
			t.Errorf("got exit code %d, processes %v", got.code, all)
		}
		s.begin("stop").wait()
		s.noProcess()
	}
}

// A layout's paths have the number, also where its prefix has it.
func TestGroupWithALayout(t *testing.T) {
	s := newSubject(t, "laid")
	s.set("D_PREFIX=" + s.path("opt/{n:02}"))
	s.begin("start").want(printed{out: lineFor("Starting", 0, 1)})
	for _, name := range []string{"00/run/foo0.pid", "00/log/web-out.log", "00/log/web-err.log", "01/run/foo1.pid"} {
		if _, err := os.Stat(s.path("opt/" + name)); err != nil {
			t.Error(err)
		}
	}
	b, err := os.ReadFile(s.path("opt/01/run/foo1.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if dir, err := os.Readlink("/proc/" + strings.TrimSpace(string(b)) + "/cwd"); err != nil || dir != s.path("opt/01") {
		t.Errorf("the second works in %s (%v), want its prefix", dir, err)
	}
	s.begin("stop").want(printed{out: lineFor("Stopping", 0, 1)})
	s.noProcess()
}

func init() { helpers["laid"] = laid }

func laid() {
	prefix := os.Getenv("D_PREFIX")
	g, err := daemonocle.NewGroup(daemonocle.Config{
		Name:    "foo{n}",
		Layout:  daemonocle.FHS(prefix, "web-"),
		WorkDir: prefix,
		Worker:  progWorker(""),
	}, 2)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(g.Do(context.Background(), os.Args[1:]...)))
}

func init() { helpers["sharing"] = sharing }

// sharing is a group of which the start hook listens on D_ADDRESS. Each worker
// says which socket it has there.
func sharing() {
	address := os.Getenv("D_ADDRESS")
	g, err := daemonocle.NewGroup(daemonocle.Config{
		Name:    "foo{n}",
		PIDFile: os.Getenv("D_PIDFILE"),
		Hooks: daemonocle.Hooks{Start: func(ctx context.Context, _ daemonocle.StartInfo) error {
			_, err := daemonocle.Listen(ctx, "tcp", address)
			return err
		}},
		Worker: func(ctx context.Context) error {
			ln, err := daemonocle.Listen(ctx, "tcp", address)
			if err != nil {
				return err
			}
			n, _ := daemonocle.From(ctx).Worker()
			appendLine(os.Getenv("D_SEEN"), fmt.Sprintf("%d %d", n, socketInode(ln)))
			context.AfterFunc(ctx, func() { ln.Close() })
			daemonocle.Ready(ctx)
			for {
				c, err := ln.Accept()
				if err != nil {
					return nil
				}
				fmt.Fprintln(c, n)
				c.Close()
			}
		},
	}, 3)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(g.Do(context.Background(), os.Args[1:]...)))
}

func socketInode(ln net.Listener) (inode uint64) {
	c, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		panic(err)
	}
	c.Control(func(fd uintptr) {
		var st syscall.Stat_t
		if err := syscall.Fstat(int(fd), &st); err != nil {
			panic(err)
		}
		inode = st.Ino
	})
	return inode
}

// The workers of one start have one socket; one that is started later has its own,
// on the same port.
func TestGroupSharesAListener(t *testing.T) {
	s := newSubject(t, "sharing")
	// Bound, but not listening: the port is this test's, and others may share it.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	if err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	pidFile := s.path("run/foo{n}.pid")
	s.set("D_ADDRESS="+address, "D_PIDFILE="+pidFile, "D_SEEN="+s.path("seen"))
	s.begin("start").want(printed{out: lineFor("Starting", 0, 1, 2)})

	sockets := func() map[string]string {
		all := map[string]string{}
		for _, line := range lines(t, s.path("seen")) {
			n, inode, _ := strings.Cut(line, " ")
			all[n] = inode
		}
		return all
	}
	first := sockets()
	if len(first) != 3 || first["0"] != first["1"] || first["0"] != first["2"] {
		t.Errorf("got sockets %v, want one that three have", first)
	}
	answers := func() {
		t.Helper()
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if b, err := io.ReadAll(c); err != nil || len(b) != 2 {
			t.Errorf("got %q, %v", b, err)
		}
	}
	answers()

	b, err := os.ReadFile(s.path("run/foo1.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	testkit.WaitGone(t, pid)
	if got := s.begin("start").wait(); got.code != 0 || got.out != lineFor("Starting", 1) {
		t.Errorf("got %+v, want worker 1 started", got)
	}
	if now := sockets(); now["1"] == first["1"] {
		t.Errorf("got sockets %v after %v, want another one for worker 1", now, first)
	}
	for range 20 {
		answers()
	}
	s.begin("stop").wait()
	s.noProcess()
}

// What takes the place of the first process of a container can be only one.
func TestGroupAsPID1(t *testing.T) {
	s, g := newPool(t, 2)
	cmd := testkit.InPIDNamespace(t, "pool", "start")
	cmd.Env = append(cmd.Env, s.env...)
	s.launch(cmd).want(printed{
		err: "ERROR: PID 1 can start only one worker\n" +
			"hint: Name one of them, as with --worker-id, and give each its own container.\n",
		code: 1,
	})
	if all := pids(t, g); all[0] != 0 || all[1] != 0 {
		t.Errorf("got processes %v", all)
	}
}
