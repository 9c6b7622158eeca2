package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	// orphan starts a child that says its number, ends, and leaves it alone.
	// The child ends with the helper's standard input.
	helpers["orphan"] = func([]string) {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), helperVar+"=child")
		cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
		}
	}
	helpers["child"] = func([]string) {
		fmt.Println(os.Getpid())
		io.Copy(io.Discard, os.Stdin)
	}
	// keeper runs a test of ReapStrays: adopting orphans is for a process's
	// whole life, and the tests' own process has other children.
	helpers["keeper"] = func(args []string) {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			fmt.Println("become a subreaper:", err)
			return
		}
		if err := keepers[args[0]](); err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", "; "))
			return
		}
		fmt.Println("ok")
	}
}

// adopt makes an orphan that has become a zombie child of this process.
func adopt() (int, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"=orphan")
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return 0, err
	}
	var pid int
	if _, err := fmt.Fscan(r, &pid); err != nil {
		return 0, fmt.Errorf("orphan: %w", err)
	}
	// An exit gives the children away before it can be waited for.
	if _, err := cmd.Process.Wait(); err != nil {
		return 0, err
	}
	h, err := Open(pid)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	in.Close()
	return pid, h.Wait(context.Background())
}

// reap gives the numbers of those that ReapStrays has reaped.
func reap(keep ...int) (pids []int) {
	for _, s := range ReapStrays(keep...) {
		pids = append(pids, s.PID)
	}
	return pids
}

// endedChild starts a child that has exited with code 7 and was not waited for.
func endedChild(attr *syscall.SysProcAttr) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"=wait")
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil { // its input is /dev/null
		return nil, err
	}
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
	return cmd, err
}

func wantCode7(cmd *exec.Cmd) error {
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		return fmt.Errorf("Wait of a child = %v, want exit code 7", err)
	}
	return nil
}

var keepers = map[string]func() error{
	// One after the other, so that nothing is left to chance.
	"order": func() error {
		cmd, err := endedChild(nil)
		if err != nil {
			return err
		}
		stray, err := adopt()
		if err != nil {
			return err
		}
		kept, err := adopt()
		if err != nil {
			return err
		}
		if got := reap(kept); !slices.Equal(got, []int{stray}) {
			return fmt.Errorf("ReapStrays = %v, want %d (not %d, nor %d)", got, stray, kept, cmd.Process.Pid)
		}
		if got := reap(kept); len(got) != 0 {
			return fmt.Errorf("ReapStrays again = %v, want none", got)
		}
		if err := wantCode7(cmd); err != nil {
			return err
		}
		if got := reap(); !slices.Equal(got, []int{kept}) {
			return fmt.Errorf("ReapStrays = %v, want %d", got, kept)
		}
		return nil
	},
	// A handle is an owner, too.
	"handle": func() error {
		attr := &syscall.SysProcAttr{PidFD: new(int)}
		pid, err := syscall.ForkExec("/proc/self/exe", []string{"x"}, &syscall.ProcAttr{
			Env: append(os.Environ(), helperVar+"=wait"), Files: []uintptr{}, Sys: attr,
		})
		if err != nil {
			return err
		}
		h := OpenFD(pid, *attr.PidFD)
		if err := h.Wait(context.Background()); err != nil {
			return err
		}
		if got := reap(); len(got) != 0 {
			return fmt.Errorf("ReapStrays = %v, want none", got)
		}
		h.Close()
		if got := reap(); !slices.Equal(got, []int{pid}) {
			return fmt.Errorf("ReapStrays = %v, want %d", got, pid)
		}
		return nil
	},
	"exec": func() error {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		reaped := make(map[int]bool)
		wg.Go(func() {
			for {
				for _, pid := range reap() {
					reaped[pid] = true
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		var errs [2]error
		var loops sync.WaitGroup
		for i := range errs {
			loops.Go(func() {
				for range 8 {
					cmd, err := endedChild(&syscall.SysProcAttr{Setpgid: i == 1})
					if err == nil {
						err = wantCode7(cmd)
					}
					// A program that is not there: fork without a start.
					if err == nil && exec.Command("/proc/self/nothing").Run() == nil {
						err = errors.New("nothing was started")
					}
					errs[i] = errors.Join(errs[i], err)
				}
			})
		}
		var strays []int
		var err error
		for range 4 {
			var pid int
			if pid, err = adopt(); err != nil {
				break
			}
			strays = append(strays, pid)
		}
		loops.Wait()
		close(stop)
		wg.Wait()
		for _, pid := range reap() {
			reaped[pid] = true
		}
		for _, pid := range strays {
			if !reaped[pid] {
				err = errors.Join(err, fmt.Errorf("orphan %d was not reaped", pid))
			}
		}
		return errors.Join(err, errs[0], errs[1])
	},
	// Without a list of pidfds only other groups' children are fair game.
	"blind": func() error {
		goHasPidfds = func() bool { return false }
		cmd, err := endedChild(nil)
		if err != nil {
			return err
		}
		ours, err := endedChild(&syscall.SysProcAttr{Setpgid: true})
		if err != nil {
			return err
		}
		if got := reap(ours.Process.Pid); len(got) != 0 {
			return fmt.Errorf("ReapStrays = %v, want none", got)
		}
		if err := wantCode7(cmd); err != nil {
			return err
		}
		if err := wantCode7(ours); err != nil {
			return err
		}
		pid, err := syscall.ForkExec("/proc/self/exe", []string{"x"}, &syscall.ProcAttr{
			Env: append(os.Environ(), helperVar+"=wait"), Files: []uintptr{}, Sys: &syscall.SysProcAttr{Setpgid: true},
		})
		if err != nil {
			return err
		}
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			return err
		}
		if got := firstZombie(); got != pid {
			return fmt.Errorf("firstZombie = %d, want %d", got, pid)
		}
		if got := reap(); !slices.Equal(got, []int{pid}) {
			return fmt.Errorf("ReapStrays = %v, want %d", got, pid)
		}
		if got := firstZombie(); got != 0 {
			return fmt.Errorf("firstZombie = %d, want 0", got)
		}
		return nil
	},
}

// No /proc at all.
func init() {
	keepers["chroot"] = func() error {
		pid, err := syscall.ForkExec("/proc/self/exe", []string{"x"}, &syscall.ProcAttr{
			Env: append(os.Environ(), helperVar+"=wait"), Files: []uintptr{}, Sys: &syscall.SysProcAttr{Setpgid: true},
		})
		if err != nil {
			return err
		}
		h, err := Open(pid)
		if err == nil {
			err = h.Wait(context.Background())
			h.Close()
		}
		if err != nil && !errors.Is(err, ErrGone) {
			return err
		}
		cmd, err := endedChild(nil)
		if err != nil {
			return err
		}
		if err := errors.Join(unix.Chroot(os.Getenv("PROC_TEST_ROOT")), os.Chdir("/")); err != nil {
			return err
		}
		if !Alive(os.Getpid()) || Alive(pid) {
			return errors.New("Alive: this process is, the zombie is not")
		}
		if _, err := Group(unix.Getpgrp()); err == nil || errors.Is(err, ErrGone) {
			return fmt.Errorf("Group = %v, want an error that is not ErrGone", err)
		}
		if _, err := StartTime(os.Getpid()); err == nil || errors.Is(err, ErrGone) {
			return fmt.Errorf("StartTime = %v, want an error that is not ErrGone", err)
		}
		if m, err := Snapshot(os.Getpid(), []string{"pid", "exe"}); err != nil || m["exe"] != nil {
			return fmt.Errorf("Snapshot = %v, %v", m, err)
		}
		got := reap() // nothing, when cmd is the first that the kernel shows
		if err := wantCode7(cmd); err != nil {
			return err
		}
		if got = append(got, reap()...); !slices.Equal(got, []int{pid}) {
			return fmt.Errorf("ReapStrays = %v, want %d", got, pid)
		}
		return nil
	}
}

func TestReapStrays(t *testing.T) {
	for name := range keepers {
		t.Run(name, func(t *testing.T) {
			if name == "chroot" && os.Getuid() != 0 {
				t.Skip("a chroot without /proc needs root")
			}
			p := command(t, "keeper", name)
			p.Env = append(p.Env, "PROC_TEST_ROOT="+t.TempDir())
			if got := p.start(); got != "ok" {
				t.Error(got)
			}
		})
	}
}
