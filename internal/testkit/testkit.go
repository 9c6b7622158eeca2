// Package testkit is the ground that the integration tests of this module stand
// on. The things under test detach themselves from the process that tests them:
// they change session, close descriptors, drop privileges, outlive their
// parent. A test that fails half way must still not leave one of them behind,
// and a leak must not be found by the next run's strange failures.
//
// It is imported by _test.go files only. A package uses it through one line:
//
//	func TestMain(m *testing.M) { testkit.Main(m, map[string]func(){"web": web}) }
//
// # Helpers
//
// A helper is the test binary itself, started with TESTKIT_HELPER=name in its
// environment: [Main] then runs the function of that name instead of the tests.
// The choice is made by the environment alone, argv is the helper's own, so a
// daemon that executes its own image again with the same arguments and
// environment comes out in the same helper. A helper that returns exits with 0.
//
// # Nothing survives
//
// Two nets, because each has a hole. A death socket: every process that passes
// through Main is killed by the kernel at the moment when its suite's process is
// gone, for whatever reason, SIGKILL included. And a token: everything that a
// suite starts inherits TESTKIT_SUITE; Main looks for living processes that were
// started with it when the tests are over, names them, kills them and fails the
// run. The first is of no use for a /bin/sleep, the second none when the suite
// itself is killed.
//
// # Variables
//
//	TESTKIT_HELPER    name of the helper to run; set by Helper
//	TESTKIT_SUITE     tokens of the suites around this process; set by Main
//	TESTKIT_DEATH     name of the innermost suite's death socket; set by Main
//	TESTKIT_NODEATH   1: helpers do not connect to it (for tests that are exact about descriptors)
//	TESTKIT_PATIENCE  factor for Patience and Settle, for slow machines: TESTKIT_PATIENCE=3
//	TESTKIT_SYSTEMD   1: PID 1 is a systemd that is there for the tests; see .ci/systemd
//	TESTKIT_MUST      comma-separated needs (root, pidns, ...): to skip for one of these is a failure
//	TESTKIT_TRACE     a file for the steps that processes take; see Recorder
//	GORACE            set by Main under -race: no second of sleep at each helper's exit
//
// # Systems
//
// Elsewhere than on Linux there is no death socket, no count of stragglers, and
// a zombie does not count as gone; what cannot be had at all ([Pty], [FDs],
// [InPIDNamespace]) skips the test.
package testkit

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	envHelper   = "TESTKIT_HELPER"
	envSuite    = "TESTKIT_SUITE"
	envDeath    = "TESTKIT_DEATH"
	envNoDeath  = "TESTKIT_NODEATH"
	envPatience = "TESTKIT_PATIENCE"
	envMust     = "TESTKIT_MUST"
	envSystemd  = "TESTKIT_SYSTEMD"
	envRace     = "GORACE"
	envOwnProc  = "TESTKIT_OWNPROC" // between InPIDNamespace and the Main of its PID 1

	// launchPrefix is how the environment variables of the library's launch
	// protocol begin.
	launchPrefix = "DAEMONOCLE_LAUNCH_"

	// probe is a helper that every suite has; it does nothing.
	probe = "testkit.probe"
)

// What Main exits with when it runs neither the tests nor a helper. Far from
// what a test or a daemon under test would choose.
const (
	exitNoHelper = 97 // TESTKIT_HELPER names a helper that is not there
	exitNoSuite  = 98 // the suite that this helper belongs to is gone
	exitRecursed = 99 // a launched daemon was about to run the test suite
)

var (
	// Patience is how long a test waits for what must happen before it calls it
	// a failure. Passing tests never wait that long.
	Patience = scaled(2 * time.Minute)

	// Settle is how long a test watches for what must not happen. It costs this
	// time in every passing run, and a short one can only miss a failure, never
	// cause one.
	Settle = scaled(100 * time.Millisecond)

	// partings is how long a suite that is over waits for processes that its tests have
	// killed, or told to end, before it calls them left alive.
	partings = Patience / 12
)

func scaled(d time.Duration) time.Duration {
	f, err := strconv.ParseFloat(os.Getenv(envPatience), 64)
	if err != nil || !(f > 0 && f <= 1000) { // NaN is neither
		return d
	}
	return time.Duration(float64(d) * f)
}

// suite is what Main and the functions that tests call know of each other. It
// is global because there is one Main in a process, and the tests get no
// argument from it.
var suite struct {
	mu      sync.Mutex
	helpers map[string]func() // nil: Main was not called
	used    map[string]bool
	skips   map[string]int // by need
}

// Main runs the tests of a package, or the helper that the environment names,
// and exits the process. It fails a run whose tests passed when a process is
// left over, and when a helper was used by no test. The latter only in a run of
// all tests in which none was skipped: a filter, -short or a missing privilege
// are good reasons for not using a helper.
func Main(m *testing.M, helpers map[string]func()) {
	if name := os.Getenv(envHelper); name != "" {
		runHelper(name, helpers)
		os.Exit(0)
	}
	if v := launchToken(); v != "" {
		fmt.Fprintf(os.Stderr, "testkit: %s is set but %s is not: a launched daemon would run the test suite again, "+
			"which launches daemons; start the launcher through testkit.Helper or testkit.Setenv\n", v, envHelper)
		os.Exit(exitRecursed)
	}
	os.Exit(runSuite(m, helpers))
}

func runHelper(name string, helpers map[string]func()) {
	f := helpers[name]
	if name == probe {
		f = func() {}
	}
	if f == nil {
		fmt.Fprintf(os.Stderr, "testkit: no helper is called %q; there are %q\n", name, slices.Sorted(maps.Keys(helpers)))
		os.Exit(exitNoHelper)
	}
	if os.Getenv(envOwnProc) != "" {
		os.Unsetenv(envOwnProc)
		if err := mountOwnProc(); err != nil {
			fmt.Fprintln(os.Stderr, "testkit:", err)
			os.Exit(exitNoSuite)
		}
	}
	watchDeath()
	f()
}

// watchDeath ties the life of this process to that of the suite around it.
func watchDeath() {
	name := os.Getenv(envDeath)
	if name == "" || os.Getenv(envNoDeath) != "" {
		return
	}
	if err := dieWith(name); err != nil {
		fmt.Fprintln(os.Stderr, "testkit:", err)
		os.Exit(exitNoSuite)
	}
}

// launchToken returns the name of a variable of the launch protocol with which
// this process was started, or "".
func launchToken() string {
	// The library reads and unsets its variable in an init function, long
	// before Main: the current environment alone would show nothing.
	for _, env := range [][]string{initialEnviron(os.Getpid()), os.Environ()} {
		for _, kv := range env {
			if k, v, _ := strings.Cut(kv, "="); strings.HasPrefix(k, launchPrefix) && v != "" {
				return k
			}
		}
	}
	return ""
}

func runSuite(m *testing.M, helpers map[string]func()) int {
	// A suite that is started by another suite's test dies with that one.
	watchDeath()
	token, err := openSuite()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testkit:", err)
		return 1
	}
	if Race && os.Getenv(envRace) == "" {
		// The race detector lets every program, each helper and each daemon,
		// sleep for a second when it exits.
		os.Setenv(envRace, "atexit_sleep_ms=0")
	}
	listenToIgnored()
	suite.mu.Lock()
	suite.helpers = maps.Clone(helpers)
	if suite.helpers == nil {
		suite.helpers = map[string]func(){}
	}
	suite.used, suite.skips = map[string]bool{}, map[string]int{}
	suite.mu.Unlock()

	runBeside()
	code := m.Run()

	if n := clearStragglers(token); n > 0 && code == 0 {
		code = 1
	}
	skips := Skips()
	if len(skips) > 0 {
		fmt.Fprintln(os.Stderr, skipLine(skips))
	}
	if code == 0 && len(skips) == 0 && fullRun() {
		for _, name := range unusedHelpers() {
			fmt.Fprintf(os.Stderr, "testkit: no test uses the helper %q\n", name)
			code = 1
		}
	}
	return code
}

// listenToIgnored gives the helpers default signal dispositions. A suite that a
// script runs in the background, or that nohup runs, was started with SIGINT or
// SIGHUP ignored; Go leaves it so, and what it starts inherits it. A signal with
// a handler is reset by exec instead; for the suite itself the effect is the
// same.
func listenToIgnored() {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}

// clearStragglers reports and kills what the suite with this token started and
// left alive, and returns how many there were.
func clearStragglers(token string) int {
	// A process may still be on its way, on a busy machine for long; nobody's fault.
	var found []straggler
	for end := time.Now().Add(partings); ; time.Sleep(5 * time.Millisecond) {
		found = stragglers(token)
		if len(found) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, s := range found {
		fmt.Fprintf(os.Stderr, "testkit: left alive: pid %d: %s\n", s.pid, s.cmdline)
		s.kill(token)
	}
	return len(found)
}

type straggler struct {
	pid     int
	cmdline string
}

// carries reports whether the environment has the token of this suite. Suites
// can be nested; the variable lists the outer ones first.
func carries(env []string, token string) bool {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, envSuite+"="); ok {
			return slices.Contains(strings.Split(v, ","), token)
		}
	}
	return false
}

// fullRun reports whether nothing on the command line keeps tests from running.
func fullRun() bool {
	for name, none := range map[string]string{
		"test.run": "", "test.skip": "", "test.list": "", "test.fuzz": "", "test.short": "false", "test.fuzzworker": "false",
	} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != none {
			return false
		}
	}
	return true
}

func unusedHelpers() []string {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	var names []string
	for name := range suite.helpers {
		if !suite.used[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Helper returns the command that runs the named helper with these arguments,
// not started. Its Env is this process's with the helper's name added; a test
// appends to it, or replaces it with what [HelperEnv] returns and more. Its
// standard streams are, as with every Cmd, the null device until they are set.
//
// If it still runs when the test ends, it is killed.
func Helper(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	use(t, name)
	self, err := os.Executable()
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(without(os.Environ(), envHelper), append(traceEnv(t), envHelper+"="+name)...)
	t.Cleanup(func() {
		// Through the os.Process, which knows whether it was already waited
		// for: a number could be somebody else's by now.
		if cmd.Process != nil && cmd.Process.Kill() == nil {
			awaitGone(cmd.Process.Pid, Patience)
		}
	})
	return cmd
}

// HelperEnv returns the environment variables that a process needs to become
// the named helper of this suite, and nothing else: for tests that build an
// environment from nothing.
func HelperEnv(t testing.TB, name string) []string {
	t.Helper()
	use(t, name)
	env := append(traceEnv(t), envHelper+"="+name)
	for _, k := range []string{envSuite, envDeath, envNoDeath, envPatience, envTrace, envRace} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// Setenv makes every program image that this test process starts with its own
// environment come out in the named helper, until the test ends: for tests that
// call the launcher right here instead of in a helper. Such a test is [Alone].
func Setenv(t *testing.T, name string) {
	t.Helper()
	Alone(t)
	use(t, name)
	t.Setenv(envHelper, name)
}

// alone has the tests that run now and have said how they do: true is alone. It is
// global because a rig that a subtest asks for must know what the test around it wants.
var alone = struct {
	mu    sync.Mutex
	tests map[string]bool // by Name
}{tests: map[string]bool{}}

// Parallel lets the test run beside others from here on, as t.Parallel does, unless it or
// a test around it is [Alone]. Whatever gives a test a place of its own calls it, so that
// it may be called again in the same test.
func Parallel(t *testing.T) {
	t.Helper()
	if said, _, _ := ways(t); !said && os.Getenv(envSystemd) != "1" { // there is one systemd for all
		setWay(t, false)
		t.Parallel()
	}
}

// Alone keeps the test and its subtests from running beside others, whatever rig they
// use: for those that measure, that change what a process has only once, or that look at
// what others have as well. It comes before all rigs.
func Alone(t *testing.T) {
	t.Helper()
	_, isAlone, beside := ways(t)
	switch {
	case beside:
		t.Fatal("testkit: the test runs beside others already")
	case !isAlone:
		setWay(t, true)
	}
}

// ways reports whether it is said already how the test runs: by itself, or because one
// around it is to be alone. beside: it or one around it runs beside others.
func ways(t *testing.T) (said, isAlone, beside bool) {
	alone.mu.Lock()
	defer alone.mu.Unlock()
	for name := t.Name(); ; {
		is, ok := alone.tests[name]
		switch {
		case ok && is:
			return true, true, false
		case ok:
			said, beside = said || name == t.Name(), true
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return said, false, beside
		}
		name = name[:i]
	}
}

func setWay(t *testing.T, isAlone bool) {
	alone.mu.Lock()
	defer alone.mu.Unlock()
	alone.tests[t.Name()] = isAlone
	t.Cleanup(func() {
		alone.mu.Lock()
		defer alone.mu.Unlock()
		delete(alone.tests, t.Name())
	})
}

// waiters is how many tests run at a time for each processor: they wait for processes
// more than they work.
const waiters = 4

// runBeside lets more tests run beside each other than there are processors, unless the
// command line says how many.
func runBeside() {
	flag.Parse()
	given := false
	// To a fuzzer it is the number of its workers, which do nothing but work.
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" || f.Name == "test.fuzz" })
	if !given {
		flag.Set("test.parallel", strconv.Itoa(waiters*runtime.GOMAXPROCS(0)))
	}
}

func use(t testing.TB, name string) {
	t.Helper()
	suite.mu.Lock()
	defer suite.mu.Unlock()
	if suite.helpers == nil {
		t.Fatal("testkit: TestMain of this package does not call testkit.Main")
	}
	if suite.helpers[name] == nil && name != probe {
		t.Fatalf("testkit: no helper is called %q", name)
	}
	suite.used[name] = true
}

// WriteProgram writes a file that is to be executed. A test beside this one that starts a
// process in the same moment would let the process have the file open for writing, which
// makes it one that cannot be executed (ETXTBSY).
func WriteProgram(t testing.TB, path string, image []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, image, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
}

func without(env []string, keys ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return slices.Contains(keys, k)
	})
}

// WaitFor calls cond again and again until it is true, and fails the test when
// that takes longer than Patience. what completes "waited for".
func WaitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(Patience)
	for pause := time.Millisecond; !cond(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", Patience, what)
		}
		time.Sleep(pause)
	}
}

// WaitGone returns when the process has ended; a zombie has. It fails the test
// when that takes longer than Patience. A number that nobody has is gone: a
// test that is to notice that its process never was must look before.
func WaitGone(t testing.TB, pid int) {
	t.Helper()
	if !awaitGone(pid, Patience) {
		t.Fatalf("waited %v for process %d to end", Patience, pid)
	}
}

// Gone reports whether the process has ended; a zombie has.
func Gone(pid int) bool { return awaitGone(pid, 0) }

// FreePort gives a TCP port of 127.0.0.1 that nobody has. It is none of those that the
// kernel gives to connections, ip(7), or one of them could have it before the test does.
func FreePort(t testing.TB) string {
	t.Helper()
	const low = 10000
	high := low
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		fmt.Sscan(string(b), &high)
	}
	for range 100 {
		port := 0
		if high > low {
			port = low + rand.IntN(high-low)
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		_, free, _ := net.SplitHostPort(l.Addr().String())
		l.Close()
		return free
	}
	t.Fatal("no TCP port is free")
	return ""
}

// RequireRoot skips the test if it does not run as root.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "root", "only root can do this")
	}
}

// RequireOrdinary skips the test if it runs as root, which may do what the test
// expects to be refused.
func RequireOrdinary(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		Skip(t, "ordinary", "root may do this")
	}
}

// RequireSystemd skips the test unless PID 1 is a systemd that is there for nothing
// but the tests.
func RequireSystemd(t testing.TB) {
	t.Helper()
	if os.Getenv(envSystemd) != "1" {
		Skip(t, "systemd", "it would write units and start them: run it under .ci/systemd")
	}
	comm, err := os.ReadFile("/proc/1/comm")
	if err != nil || string(comm) != "systemd\n" {
		t.Fatalf("%s is set, but PID 1 is %q, %v", envSystemd, comm, err)
	}
}

// Skip skips the test and counts it under what it needs: one word, such as
// "root" or "systemd". Main prints the counts at the end of the run. A need that
// TESTKIT_MUST lists is there in the eyes of whoever runs the tests, so that to
// skip for it is a failure.
func Skip(t testing.TB, need, reason string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv(envMust), ","), need) {
		t.Fatalf("would skip although %s has %q: %s", envMust, need, reason)
	}
	suite.mu.Lock()
	if suite.skips != nil {
		suite.skips[need]++
	}
	suite.mu.Unlock()
	t.Skipf("needs %s: %s", need, reason)
}

// BuiltApart skips a test of programs that the go command builds for it, or of what it says of
// them, when the race detector is on: it would look at nothing but the test.
func BuiltApart(t testing.TB) {
	t.Helper()
	if Race {
		Skip(t, "norace", "what it tests is not built with the race detector")
	}
}

// Skips returns how many tests were skipped so far, by what they need.
func Skips() map[string]int {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	return maps.Clone(suite.skips)
}

func skipLine(skips map[string]int) string {
	total, list := 0, []string{}
	for _, need := range slices.Sorted(maps.Keys(skips)) {
		total += skips[need]
		list = append(list, fmt.Sprintf("%s %d", need, skips[need]))
	}
	noun := "tests"
	if total == 1 {
		noun = "test"
	}
	return fmt.Sprintf("testkit: skipped %d %s: %s", total, noun, strings.Join(list, ", "))
}

// nobody is the user and group that own nothing, by convention everywhere.
const nobody = 65534

// Unprivileged returns a user and a group that a test that runs as root can
// become. It skips the test if this process is not root or cannot become them.
func Unprivileged(t testing.TB) (uid, gid int) {
	t.Helper()
	RequireRoot(t)
	if err := idsMapped(nobody); err != nil {
		Skip(t, "nobody", err.Error())
	}
	return nobody, nobody
}

// ProcStat is what the tests ask of /proc/PID/stat.
type ProcStat struct {
	PPID, PGrp, Session int
	TTY                 int  // device number of the controlling terminal; 0: none
	State               byte // 'R', 'S', 'Z', ...; 0: there is no such process
}
