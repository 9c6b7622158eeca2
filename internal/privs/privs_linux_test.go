package privs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A switch cannot be undone, so each happens in a process of its own: this test
// binary with helperEnv set. What a helper returns is on its standard output.
const helperEnv = "PRIVS_TEST_HELPER"

const nobody = 65534

var helpers = map[string]func(arg string) error{
	"drop":          helpDrop,
	"threads":       helpThreads,
	"half":          helpHalf,
	"try":           helpTry,
	"chroot":        helpChroot,
	"chroot-before": helpChrootBefore,
	"group-only":    helpGroupOnly,
	"ordinary":      helpOrdinary,
	"rooted":        helpRooted,
	"fabricated":    helpFabricated,
	"few-caps":      helpFewCaps,
	"no-setgid":     helpNoSetgid,
}

func TestMain(m *testing.M) {
	name, ok := os.LookupEnv(helperEnv)
	if !ok {
		os.Exit(m.Run())
	}
	name, arg, _ := strings.Cut(name, " ")
	if err := helpers[name](arg); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// help runs a helper with root's ids and the groups that root has on many
// systems, and returns its error's text.
func help(t *testing.T, name string, env ...string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	// The race detector would wait a second at each exit.
	cmd.Env = append(append(os.Environ(), helperEnv+"="+name, "GORACE=atexit_sleep_ms=0"), env...)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{0, 4, 27, 42}}}
	}
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	if text := strings.TrimSpace(string(out)); text != "" || err == nil {
		return text
	}
	return err.Error()
}

func helpOK(t *testing.T, name string, env ...string) {
	t.Helper()
	if got := help(t, name, env...); got != "" {
		t.Errorf("%s: %s", name, got)
	}
}

func requireRoot(t *testing.T) {
	t.Helper()
	st, err := thisThread()
	if err != nil {
		t.Fatal(err)
	}
	const need = 1<<capSetuid | 1<<capSetgid | 1<<unix.CAP_SYS_CHROOT
	if os.Geteuid() != 0 || st.effective&need != need {
		t.Skip("NOT TESTED: needs root with CAP_SETUID, CAP_SETGID and CAP_SYS_CHROOT")
	}
}

func someone(groups ...int) Identity {
	return Identity{SwitchUser: true, UID: nobody, SwitchGroup: true, GID: nobody, Groups: groups}
}

func drop(id Identity) error {
	c, err := Prepare(id)
	if err != nil {
		return err
	}
	return c.Drop()
}

// lines returns the lines of /proc/self/status that tell who we are, read
// without the code under test.
func lines(keys ...string) (string, error) {
	data, err := os.ReadFile("/proc/self/status")
	var got []string
	for line := range strings.Lines(string(data)) {
		if key, rest, _ := strings.Cut(line, ":"); slices.Contains(keys, key) {
			got = append(got, key+" "+strings.Join(strings.Fields(rest), " "))
		}
	}
	return strings.Join(got, "; "), err
}

func expectLines(want string) error {
	got, err := lines("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapAmb")
	if err != nil || got != want {
		return fmt.Errorf("got %s, %v, want %s", got, err, want)
	}
	return nil
}

const noCaps = "; CapPrm 0000000000000000; CapEff 0000000000000000; CapAmb 0000000000000000"

func TestDrop(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := errors.Join(os.WriteFile(secret, nil, 0o640), os.Chown(secret, 0, 42), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	helpOK(t, "drop "+dir)
}

func helpDrop(dir string) error {
	// Nobody may be unable to walk to the directory.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	if f, err := root.Open("secret"); err != nil {
		return err
	} else {
		f.Close()
	}
	c, err := Prepare(someone(100))
	if err != nil {
		return err
	}
	if c.proc == noProcfs {
		return errors.New("/proc is not held")
	}
	if flags, err := unix.FcntlInt(uintptr(c.proc), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		return fmt.Errorf("descriptor of /proc is not close-on-exec: %v", err)
	}
	fd := int(c.proc)
	if err := c.Drop(); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		return fmt.Errorf("descriptor of /proc is still open: %v", err)
	}
	if err := expectLines("Uid 65534 65534 65534 65534; Gid 65534 65534 65534 65534; Groups 100 65534" + noCaps); err != nil {
		return err
	}
	if _, err := root.Open("secret"); !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("opening a file of root's group 42: got %v", err)
	}
	if err := c.Drop(); !errors.Is(err, ErrUnproved) {
		return fmt.Errorf("second Drop: %v", err)
	}
	c.Close()
	return nil
}

func TestDropOnAllThreads(t *testing.T) {
	requireRoot(t)
	helpOK(t, "threads")
}

// locked starts n goroutines that each keep a thread to themselves, and returns
// what runs a function on all of them.
func locked(n int) func(func() error) error {
	work, results := make([]chan func() error, n), make(chan error)
	var ready sync.WaitGroup
	for i := range n {
		work[i] = make(chan func() error)
		ready.Go(func() {
			started := make(chan struct{})
			go func() {
				runtime.LockOSThread()
				close(started)
				for f := range work[i] {
					results <- f()
				}
			}()
			<-started
		})
	}
	ready.Wait()
	return func(f func() error) error {
		var errs []error
		for i := range n {
			work[i] <- f
			errs = append(errs, <-results)
		}
		return errors.Join(errs...)
	}
}

func helpThreads(string) error {
	const n = 24
	onAll := locked(n)
	c, err := Prepare(someone())
	if err != nil {
		return err
	}
	count := 0
	if err := c.Drop(); err != nil {
		return err
	}
	if err := onAll(func() error {
		st, err := thisThread()
		if err != nil {
			return err
		}
		count++
		return st.check(credentials{uid: all(nobody), gid: all(nobody), groups: []int{nobody}}, true)
	}); err != nil {
		return err
	}
	p := openProcfs()
	defer p.close()
	proved, err := p.threads(func(string, status) error { return nil })
	if err != nil || proved <= n || count != n {
		return fmt.Errorf("proved %d threads of more than %d, asked %d, %v", proved, n, count, err)
	}
	return nil
}

// halves are switches that somebody forgot to finish. All their calls succeed.
var halves = map[string]struct {
	change  func(*calls)
	want    string // in the error
	threads bool   // seen only by looking at all threads
}{
	"groups kept": {change: func(c *calls) { c.setgroups = func([]int) error { return nil } }, want: `groups are "0, 4, 27 and 42"`},
	"one group kept": {change: func(c *calls) {
		c.setgroups = func(g []int) error { return syscall.Setgroups(append([]int{0}, g...)) }
	}, want: `groups are "0 and 65534"`},
	"gid kept": {change: func(c *calls) { c.setgid = func(int) error { return nil } }, want: "gids are 0, 0, 0 and 0"},
	"saved gid kept": {change: func(c *calls) {
		c.setgid = func(g int) error { return syscall.Setresgid(g, g, -1) }
	}, want: "gids are 65534, 65534, 0 and 65534"},
	"uid kept":     {change: func(c *calls) { c.setuid = func(int) error { return nil } }, want: "uids are 0, 0, 0 and 0"},
	"only seteuid": {change: func(c *calls) { c.setuid = syscall.Seteuid }, want: "uids are 0, 65534, 0 and 65534"},
	"saved uid":    {change: func(c *calls) { c.setuid = func(u int) error { return syscall.Setresuid(u, u, -1) } }, want: "uids are 65534, 65534, 0 and 65534"},
	"file system uid": {change: func(c *calls) {
		c.setuid = func(u int) error {
			// Possible only for who keeps CAP_SETUID: uid and capabilities are
			// both wrong then, and the uid comes first.
			return errors.Join(keepCaps(), syscall.Setresuid(u, u, u), raiseCaps(), unix.Setfsuid(0))
		}
	}, want: "uids are 65534, 65534, 65534 and 0"},
	"capabilities": {change: func(c *calls) {
		c.setuid = func(u int) error { return errors.Join(keepCaps(), syscall.Setresuid(u, u, u)) }
	}, want: "are left"},
	"one thread": {change: func(c *calls) {
		c.setuid = func(u int) error {
			if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(u), uintptr(u), uintptr(u)); e != 0 {
				return e
			}
			return nil
		}
	}, want: "uids are 0, 0, 0 and 0", threads: true},
}

func keepCaps() error { return unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0) }

func raiseCaps() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Permitted: 1 << capSetuid, Effective: 1 << capSetuid}}
	return unix.Capset(&header, &data[0])
}

func TestProofCatchesHalfDoneDrop(t *testing.T) {
	requireRoot(t)
	for name, h := range halves {
		for _, how := range []string{"proc", "chroot", "bare"} {
			if how == "bare" && h.threads {
				continue // the weaker proof of the package comment
			}
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				helpOK(t, "half "+how+" "+t.TempDir()+" "+name)
			})
		}
	}
}

func helpHalf(arg string) error {
	how, arg, _ := strings.Cut(arg, " ")
	dir, name, _ := strings.Cut(arg, " ")
	h := halves[name]
	onAll := locked(3)
	c, err := Prepare(someone())
	if err != nil {
		return err
	}
	h.change(&c.calls)
	switch how {
	case "chroot":
		if err := errors.Join(syscall.Chroot(dir), syscall.Chdir("/")); err != nil {
			return err
		}
	case "bare":
		c.proc.close()
		c.proc = noProcfs
	}
	err = c.Drop()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Step != "proof" || !errors.Is(err, ErrUnproved) || !strings.Contains(err.Error(), h.want) ||
		!strings.HasPrefix(err.Error(), "unable to setuid or setgid (not proved: ") || strings.Contains(err.Error(), "thread") != (how != "bare") {
		return fmt.Errorf("got %v, want %s", err, h.want)
	}
	return onAll(func() error { return nil })
}

// The attempt itself must notice what the kernel allows.
func TestTryRoot(t *testing.T) {
	requireRoot(t)
	for _, name := range []string{"setuid(0)", "setgid(0)"} {
		if got, want := help(t, "try "+name), name+" succeeded"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	helpOK(t, "try nothing")
}

func helpTry(what string) error {
	g, u := nobody, nobody
	switch what {
	case "setuid(0)":
		u = 0
	case "setgid(0)":
		g = 0
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(nobody, nobody, g), syscall.Setresuid(nobody, nobody, u)); err != nil {
		return err
	}
	runtime.LockOSThread()
	return tryRoot(credentials{uid: all(nobody), gid: all(nobody)})
}

func TestDropInChroot(t *testing.T) {
	requireRoot(t)
	helpOK(t, "chroot "+t.TempDir())
	helpOK(t, "chroot-before "+t.TempDir())
}

func helpChroot(dir string) error {
	c, err := Prepare(someone())
	if err != nil {
		return err
	}
	if err := errors.Join(syscall.Chroot(dir), syscall.Chdir("/")); err != nil {
		return err
	}
	if _, err := os.Stat("/proc"); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the root directory has not changed: %v", err)
	}
	if c.proc == noProcfs {
		return errors.New("/proc is not held")
	}
	return c.Drop()
}

func helpChrootBefore(dir string) error {
	// A directory that is called proc is not /proc, whatever it says.
	thread := filepath.Join(dir, "proc/self/task/1")
	if err := errors.Join(
		os.MkdirAll(thread, 0o755),
		os.WriteFile(filepath.Join(thread, "status"), []byte(someStatus), 0o644),
		syscall.Chroot(dir), syscall.Chdir("/")); err != nil {
		return err
	}
	c, err := Prepare(someone())
	if err != nil {
		return err
	}
	if c.proc != noProcfs {
		return errors.New("an ordinary directory was taken for /proc")
	}
	return c.Drop()
}

func TestDropGroupOnly(t *testing.T) {
	requireRoot(t)
	helpOK(t, "group-only")
}

func helpGroupOnly(string) error {
	if err := drop(Identity{SwitchGroup: true, GID: 100}); err != nil {
		return err
	}
	got, err := lines("Uid", "Gid", "Groups")
	if want := "Uid 0 0 0 0; Gid 100 100 100 100; Groups 100"; err != nil || got != want {
		return fmt.Errorf("got %s, %v, want %s", got, err, want)
	}
	return nil
}

// Root without CAP_SETGID, as in a container that was given few capabilities,
// must not pass for an ordinary user whose groups are his own.
func TestRootThatMayNotSetGroups(t *testing.T) {
	requireRoot(t)
	helpOK(t, "few-caps")
}

func helpFewCaps(string) error {
	// What is left of the bounding set is what root has after the exec.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, capSetgid, 0, 0, 0); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	os.Setenv(helperEnv, "no-setgid")
	return syscall.Exec(exe, os.Args, os.Environ())
}

func helpNoSetgid(string) error {
	root := func(groups ...int) Identity { return Identity{SwitchUser: true, SwitchGroup: true, Groups: groups} }
	if err := drop(root(4, 27, 42)); err != nil {
		return fmt.Errorf("who is that already: %w", err)
	}
	for _, id := range []Identity{root(4, 27, 42, 100), root(), {SwitchGroup: true}} {
		err := drop(id)
		if e, ok := errors.AsType[*Error](err); !ok || e.Step != "setgroups" || !errors.Is(err, syscall.EPERM) {
			return fmt.Errorf("%+v: got %v, want EPERM", id, err)
		}
	}
	return nil
}

// Identities in which root, or root's group, is the target's own.
func TestDropToRoot(t *testing.T) {
	requireRoot(t)
	helpOK(t, "rooted user")
	helpOK(t, "rooted group")
	helpOK(t, "rooted member")
}

func helpRooted(what string) error {
	id, want := Identity{SwitchUser: true, SwitchGroup: true}, "Uid 0 0 0 0; Gid 0 0 0 0; Groups 0"
	switch what {
	case "group":
		id.UID, want = nobody, "Uid 65534 65534 65534 65534; Gid 0 0 0 0; Groups 0"
	case "member":
		id, want = someone(0), "Uid 65534 65534 65534 65534; Gid 65534 65534 65534 65534; Groups 0 65534"
	}
	if err := drop(id); err != nil {
		return err
	}
	if got, err := lines("Uid", "Gid", "Groups"); err != nil || got != want {
		return fmt.Errorf("got %s, %v, want %s", got, err, want)
	}
	return nil
}

// ordinaries are switches by somebody who is not root: he may name himself.
func ordinaries(me Identity, mine []int) map[string]struct {
	id      Identity
	allowed bool
	step    string
} {
	type row = struct {
		id      Identity
		allowed bool
		step    string
	}
	user := func(uid, gid int, groups ...int) Identity {
		return Identity{SwitchUser: true, UID: uid, SwitchGroup: true, GID: gid, Groups: groups}
	}
	first := "setgroups"
	if !slices.ContainsFunc(mine, func(g int) bool { return g != me.GID && g != me.GID+1 }) {
		first = "setgid" // he has no groups that would have to go
	}
	rows := map[string]row{
		"nothing":            {Identity{}, true, ""},
		"himself":            {user(me.UID, me.GID, mine...), true, ""},
		"himself, new group": {user(me.UID, me.GID, append([]int{3}, mine...)...), true, ""},
		"his group":          {Identity{SwitchGroup: true, GID: me.GID}, true, ""},
		"root":               {user(0, me.GID, mine...), false, "setuid"},
		"root's group":       {user(me.UID, 0, mine...), me.GID == 0, "setgid"},
		"another":            {user(me.UID+1, me.GID+1), false, first},
		"another group":      {Identity{SwitchGroup: true, GID: me.GID + 1}, false, first},
	}
	if slices.ContainsFunc(mine, func(g int) bool { return g != me.GID }) {
		rows["himself, fewer groups"] = row{user(me.UID, me.GID), false, "setgroups"}
	}
	return rows
}

func TestOrdinaryUser(t *testing.T) {
	for name := range ordinaries(someone(), []int{1, 2}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			helpOK(t, "ordinary "+name)
		})
	}
}

func helpOrdinary(name string) error {
	if os.Geteuid() == 0 {
		if err := errors.Join(syscall.Setgroups([]int{nobody, 100}), syscall.Setresgid(nobody, nobody, nobody), syscall.Setresuid(nobody, nobody, nobody)); err != nil {
			return err
		}
	}
	mine, err := syscall.Getgroups()
	if err != nil {
		return err
	}
	row, ok := ordinaries(Identity{UID: os.Getuid(), GID: os.Getgid()}, mine)[name]
	if !ok {
		return nil // needs a group that whoever runs the tests does not have
	}
	before, err := lines("Uid", "Gid", "Groups")
	if err != nil {
		return err
	}
	err = drop(row.id)
	if after, _ := lines("Uid", "Gid", "Groups"); after != before {
		return fmt.Errorf("was %s, is %s", before, after)
	}
	if row.allowed {
		return err
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return fmt.Errorf("got %v, want an *Error", err)
	}
	if want := "unable to setuid or setgid (operation not permitted)"; err.Error() != want || e.Hint("User and Group") == "" || !errors.Is(err, syscall.EPERM) || !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("got %q, hint %q, want %q", err, e.Hint("User and Group"), want)
	}
	if e.Step != row.step {
		return fmt.Errorf("got step %q, want %q", e.Step, row.step)
	}
	return nil
}

// Without cgo os/user answers from $USER for a uid without an entry.
func TestLookupDistrustsEnvironment(t *testing.T) {
	requireRoot(t)
	helpOK(t, "fabricated", "USER=evil", "HOME=/")
}

func helpFabricated(string) error {
	const uid = 54321
	if err := errors.Join(syscall.Setresgid(uid, uid, uid), syscall.Setresuid(uid, uid, uid)); err != nil {
		return err
	}
	for _, spec := range []string{"evil", "54321"} {
		if id, err := Lookup(spec, ""); !errors.Is(err, ErrUnknown) {
			return fmt.Errorf("%s: got %s, %v", spec, id, err)
		}
	}
	return nil
}

func TestZeroChange(t *testing.T) {
	c, err := Prepare(Identity{})
	if err != nil {
		t.Fatal(err)
	}
	if c.proc != noProcfs {
		t.Error("a descriptor is held for nothing")
	}
	for range 2 {
		if err := c.Drop(); err != nil {
			t.Error(err)
		}
	}
	c.Close()
	c.Close()
}

func TestDropAfterClose(t *testing.T) {
	c, err := Prepare(someone())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	c.Close()
	if err := c.Drop(); !errors.Is(err, ErrUnproved) {
		t.Errorf("got %v, want %v", err, ErrUnproved)
	}
}

// Both ways to ask must agree wherever both are possible.
func TestThisThreadAgreesWithProc(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	st, err := thisThread()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Skip("NOT TESTED: no /proc: ", err)
	}
	want, err := parseStatus(data)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(st.groups)
	slices.Sort(want.groups)
	if fmt.Sprint(st) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", st, want)
	}
}
