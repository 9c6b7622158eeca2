package testkit

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	maps.Copy(helpers, map[string]func(){
		"fds":    fds,
		"detach": detach,
		"drop":   drop,
		"where":  where,
		"tty":    tty,
	})
	maps.Copy(scenes, map[string]func(t *testing.T){
		// A daemon of ours and somebody else's program, both on their own.
		"left": func(t *testing.T) {
			partings = 0 // none is on its way
			if out, err := Helper(t, "detach").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			} else {
				fmt.Printf("started %s", out)
			}
			cmd := exec.Command("sleep", "1000")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			fmt.Println("started", cmd.Process.Pid)
			if err := cmd.Process.Release(); err != nil {
				t.Fatal(err)
			}
		},
		"interrupt": func(t *testing.T) {
			for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP} {
				if err := syscall.Kill(os.Getpid(), sig); err != nil {
					t.Error(err)
				}
				cmd, pid := start(t, Helper(t, "hang"))
				if err := cmd.Process.Signal(sig); err != nil {
					t.Error(err)
				}
				WaitGone(t, pid)
				cmd.Wait()
			}
		},
		"die":       func(t *testing.T) { dieAround(t, Helper(t, "detach")) },
		"die, drop": func(t *testing.T) { dieAround(t, Helper(t, "drop", TempDir(t))) },
		"die, pidns": func(t *testing.T) {
			cmd, _ := start(t, InPIDNamespace(t, "hang"))
			fmt.Println("started", cmd.Process.Pid)
			hang()
		},
	})
}

// detach leaves a helper that hangs, in its own session.
func detach() {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(without(os.Environ(), envHelper), envHelper+"=hang")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	pid, _ := bufio.NewReader(out).ReadString('\n')
	fmt.Print(pid)
}

// drop is a daemon in a chroot that is nobody.
func drop() {
	for _, err := range []error{
		syscall.Chroot(os.Args[1]), syscall.Chdir("/"), syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody),
	} {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	hang()
}

// dieAround starts what hangs, says so, and waits to be killed.
func dieAround(t *testing.T, cmd *exec.Cmd) {
	_, pid := start(t, cmd)
	fmt.Println("started", pid)
	hang()
}

func started(t *testing.T, lines string) (pids []int) {
	for line := range strings.Lines(lines) {
		if s, ok := strings.CutPrefix(line, "started "); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(s))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestStragglers(t *testing.T) {
	outer(t)
	out, err := inner(t, "left", "-test.run=TestScene").CombinedOutput()
	if code := exitCode(t, err); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	pids := started(t, string(out))
	if len(pids) != 2 {
		t.Errorf("started %v", pids)
	}
	for i, pid := range pids {
		cmdline := [...]string{"/proc/self/exe", "sleep 1000"}[i]
		if want := fmt.Sprintf("testkit: left alive: pid %d: %s\n", pid, cmdline); !strings.Contains(string(out), want) {
			t.Errorf("does not say %q", want)
		}
		if !Gone(pid) {
			t.Errorf("process %d still lives", pid)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// A straggler that nobody is left to count.
func TestDeathWithSuite(t *testing.T) {
	outer(t)
	for _, scene := range []string{"die", "die, stopped", "die, drop", "die, pidns"} {
		t.Run(scene, func(t *testing.T) {
			switch scene {
			case "die, drop":
				Unprivileged(t)
			case "die, pidns":
				InPIDNamespace(t, "hang") // skips
			}
			name, stop := strings.CutSuffix(scene, ", stopped")
			cmd := inner(t, name, "-test.run=TestScene")
			cmd.Env = append(cmd.Env, "TMPDIR="+TempDir(t)) // it will not clean up
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			pids := started(t, line)
			if err != nil || len(pids) != 1 || Gone(pids[0]) {
				t.Fatalf("%q, %v", line, err)
			}
			if stop {
				if err := syscall.Kill(pids[0], syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			WaitGone(t, pids[0])
			if err := cmd.Wait(); err == nil {
				t.Error("the suite ended well")
			}
		})
	}
}

// The suite may be gone before its helper is there.
func TestTooLate(t *testing.T) {
	outer(t)
	cmd := Helper(t, "hang")
	cmd.Env = append(cmd.Env, envDeath+"="+deathPrefix+"nobody")
	out, err := cmd.CombinedOutput()
	if code := exitCode(t, err); code != exitNoSuite || !strings.Contains(string(out), "connection refused") {
		t.Errorf("got %q, exit code %d", out, code)
	}
}

// The variable of a launch is found although an init function has unset it.
func TestUnsetLaunchToken(t *testing.T) {
	outer(t)
	cmd := inner(t, "fine")
	cmd.Env = append(cmd.Env, launchPrefix+"EARLY=3")
	out, err := cmd.CombinedOutput()
	if code := exitCode(t, err); code != exitRecursed {
		t.Errorf("got %q, exit code %d", out, code)
	}
}

// fds says what a helper has open by itself, what the next one will be, and
// what a program that it starts inherits.
func fds() {
	next, err := os.Open("/dev/null")
	if err != nil {
		panic(err)
	}
	n := int(next.Fd())
	next.Close()
	fmt.Println("open", slices.Sorted(maps.Keys(FDs(os.Getpid()))), "next", n, "goroutines", runtime.NumGoroutine())
	if len(os.Args) > 1 {
		fmt.Println("death", DeathFD())
	}
	ls := exec.Command("ls", "/proc/self/fd")
	ls.Stdout = os.Stdout
	if err := ls.Run(); err != nil {
		panic(err)
	}
}

// With and without the death socket, a helper looks the same to itself, and so
// do the programs that it starts.
func TestDescriptors(t *testing.T) {
	outer(t)
	var outs []string
	for _, env := range []string{envNoDeath + "=1", ""} {
		cmd := Helper(t, "fds")
		cmd.Env = append(cmd.Env, env)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		outs = append(outs, string(out))
	}
	if outs[0] != outs[1] {
		t.Errorf("without %q\nwith    %q", outs[0], outs[1])
	}

	cmd := Helper(t, "fds", "say")
	cmd.Env = append(cmd.Env, envNoDeath+"=1")
	if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), "\ndeath -1\n") {
		t.Errorf("got %q", out)
	}
	out, err := Helper(t, "fds", "say").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\ndeath 900\n") {
		t.Errorf("got %q, %v", out, err)
	}

	// A low limit is no obstacle.
	cmd = Helper(t, "cat")
	cmd = exec.Command("sh", "-c", `ulimit -n 64; exec "$0" say`, cmd.Path)
	cmd.Env = append(os.Environ(), HelperEnv(t, "fds")...)
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "death -1") {
		t.Errorf("with 64 descriptors: %q, %v", out, err)
	}
}

// And to others, who can see it all the same.
func TestFDs(t *testing.T) {
	outer(t)
	path := filepath.Join(TempDir(t), "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := FDs(os.Getpid())
	cmd := Helper(t, "hang")
	cmd.ExtraFiles = []*os.File{f}
	_, pid := start(t, cmd)
	got := FDs(pid)
	if got[0] != "/dev/null" || !strings.HasPrefix(got[1], "pipe:") || got[2] != "/dev/null" || got[3] != path {
		t.Errorf("got %v", got)
	}
	raw, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Error(err)
	}
	var left []string
	for _, e := range raw {
		link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
		if n, _ := strconv.Atoi(e.Name()); got[n] == "" && !strings.HasPrefix(link, "anon_inode:[event") { // the poller may have come since
			left = append(left, link)
		}
	}
	if len(left) != 1 {
		t.Errorf("left out are %q of %d", left, len(raw))
	}
	// In the suite its helpers make no difference.
	after := FDs(os.Getpid())
	maps.DeleteFunc(after, func(_ int, link string) bool { return link == got[1] }) // our end of the pipe
	maps.DeleteFunc(after, func(_ int, link string) bool { return link == "anon_inode:[pidfd]" })
	for n, link := range after {
		if before[n] == "" && !strings.HasPrefix(link, "anon_inode:[event") { // the poller, made at first use
			t.Errorf("descriptor %d is new: %s", n, link)
		}
	}
	if FDs(1<<22) != nil {
		t.Error("descriptors of nobody")
	}
}

// A suite in the background of a script ignores SIGINT; its helpers do not.
func TestIgnoredSignals(t *testing.T) {
	outer(t)
	cmd := inner(t, "interrupt", "-test.run=TestScene")
	cmd.Args = append([]string{"sh", "-c", `trap "" INT HUP; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = sh
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestStat(t *testing.T) {
	outer(t)
	cmd := Helper(t, "hang")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	_, pid := start(t, cmd)
	got := Stat(pid)
	if got.State != 'S' && got.State != 'R' {
		t.Errorf("state %q", got.State)
	}
	got.State = 0
	if want := (ProcStat{PPID: os.Getpid(), PGrp: pid, Session: pid}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	cmd.Process.Kill()
	WaitGone(t, pid)
	if got := Stat(pid); got.State != 'Z' { // not waited for
		t.Errorf("state %q, want a zombie", got.State)
	}
	cmd.Wait()
	if got := Stat(pid); got != (ProcStat{}) {
		t.Errorf("of nobody: %+v", got)
	}

	// A name that tries to be fields.
	dir := TempDir(t)
	evil := filepath.Join(dir, ") R 1 2 (")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(sleep, evil); err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(evil, "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if got := Stat(cmd.Process.Pid); got.PPID != os.Getpid() {
		t.Errorf("got %+v", got)
	}
}

// where tells of its place among the processes.
func where() {
	self, _ := os.Readlink("/proc/self")
	pids, _ := filepath.Glob("/proc/[0-9]*")
	fmt.Println(os.Getpid(), os.Getppid(), self, len(pids), os.Args[1:])
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(without(os.Environ(), envHelper), envHelper+"=echo") // the daemon, so to say
	out, err := cmd.CombinedOutput()
	fmt.Printf("%s%v\n", out, err)
	os.Exit(5)
}

func TestInPIDNamespace(t *testing.T) {
	outer(t)
	out, err := InPIDNamespace(t, "where", "a", "b").CombinedOutput()
	const want = "1 0 1 1 [a b]\n[]\nexit status 7\n"
	if code := exitCode(t, err); code != 5 || string(out) != want {
		t.Errorf("got %q, exit code %d; want %q, 5", out, code, want)
	}
	// The mounts were made in there.
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		t.Errorf("/proc/self is %q here, %v", self, err)
	}
	cmd, pid := start(t, InPIDNamespace(t, "hang"))
	if pid != 1 || Stat(cmd.Process.Pid).PPID != os.Getpid() {
		t.Errorf("it says it is %d; %+v", pid, Stat(cmd.Process.Pid))
	}
	cmd.Process.Kill()
	cmd.Wait()
}

// tty reports what it is to its terminal.
func tty() {
	s := Stat(os.Getpid())
	fg, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	fmt.Println("leader", s.Session == os.Getpid(), "tty", s.TTY != 0, "foreground", fg == os.Getpid(), err)
	hang()
}

func TestPtyAttach(t *testing.T) {
	outer(t)
	p := Pty(t)
	cmd := Helper(t, "tty")
	p.Attach(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Expect(t, "leader true tty true foreground true <nil>\r\n")
	p.Expect(t, fmt.Sprintf("%d\r\n", cmd.Process.Pid))
	p.Type(t, "\x03")
	if err := cmd.Wait(); err == nil || err.Error() != "exit status 2" && err.Error() != "signal: interrupt" {
		t.Errorf("after Ctrl-C: %v", err)
	}

	p.Resize(t, 10, 40)
	if ws, err := unix.IoctlGetWinsize(int(p.Slave.Fd()), unix.TIOCGWINSZ); err != nil || ws.Row != 10 || ws.Col != 40 {
		t.Errorf("size: %+v, %v", ws, err)
	}
}

func TestUnprivileged(t *testing.T) {
	outer(t)
	uid, gid := Unprivileged(t)
	dir := TempDir(t)
	if err := os.WriteFile(filepath.Join(dir, "x"), []byte("reached"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cat", "x")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "reached" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestFreeze(t *testing.T) {
	outer(t)
	cmd, pid := start(t, Helper(t, "hang"))
	// Its first thread, which is to act upon the signal, comes last.
	if err := unix.Setpriority(unix.PRIO_PROCESS, pid, 19); err != nil {
		t.Fatal(err)
	}
	Freeze(t, pid)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		if tid, _ := strconv.Atoi(task.Name()); Stat(tid).State != 'T' {
			t.Errorf("thread %d of process %d is in state %q", tid, pid, Stat(tid).State)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	WaitGone(t, pid)
	msg := failure(t, func(t testing.TB) { Freeze(t, pid) })
	if !strings.Contains(msg, "has ended before it stopped") {
		t.Errorf("of a process that has ended it says %q", msg)
	}
	cmd.Wait()
}

func TestPinnedIsNobodyElse(t *testing.T) {
	outer(t)
	cmd, pid := start(t, Helper(t, "hang"))
	p := Pin(t, pid)
	if p.Gone() || p.Signal(0) != nil {
		t.Errorf("of a process that lives: gone %v, signal %v", p.Gone(), p.Signal(0))
	}
	p.Kill(t)
	cmd.Wait()
	if err := p.Signal(syscall.SIGKILL); !p.Gone() || err != syscall.ESRCH {
		t.Errorf("of one that was reaped: gone %v, signal %v", p.Gone(), err)
	}
	p.Kill(t)
}

func TestSweep(t *testing.T) {
	outer(t)
	begin := func(mark string) int {
		cmd := Helper(t, "hang")
		cmd.Env = append(cmd.Env, mark)
		cmd, pid := start(t, cmd)
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return pid
	}
	mark := "TESTKIT_SWEPT=" + TempDir(t)
	one, two, longer := begin(mark), begin(mark), begin(mark+"x")
	Sweep(t, mark)
	if !Gone(one) || !Gone(two) || Gone(longer) {
		t.Errorf("gone: %v, %v; and one with a longer value: %v", Gone(one), Gone(two), Gone(longer))
	}
}
