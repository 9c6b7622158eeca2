//go:build linux

package daemonocle_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func init() { helpers["breaks"] = breaks }

// wireBreaks are ways in which a worker can break the wire, while its launcher waits.
var wireBreaks = map[string]func(fd int) error{
	"malformed": func(fd int) error {
		_, err := unix.Write(fd, []byte{0, 0, 0, 2, byte(launch.Note), 0xff})
		return err
	},
	"too long": func(fd int) error {
		_, err := unix.Write(fd, []byte{0xff, 0xff, 0xff, 0xff, byte(launch.Note)})
		return err
	},
	"cut off": func(fd int) error {
		_, err := unix.Write(fd, []byte{0, 0, 0, 9, byte(launch.Note)})
		return errors.Join(err, unix.Shutdown(fd, unix.SHUT_WR))
	},
	"ended": func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) },
	"reset": resetWire,
}

// resetWire closes this process's end over words of the launcher's that nobody has read.
// They are the launcher's answer to SIGINT.
func resetWire(fd int) error {
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return err
	}
	for _, link := range links { // nothing wakes the reader from here on
		var poller int
		if to, _ := os.Readlink(link); to == "anon_inode:[eventpoll]" {
			fmt.Sscan(filepath.Base(link), &poller)
			unix.EpollCtl(poller, unix.EPOLL_CTL_DEL, fd, nil)
		}
	}
	if err := syscall.Kill(os.Getppid(), syscall.SIGINT); err != nil {
		return err
	}
	words := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		switch n, err := unix.Poll(words, -1); {
		case err != nil && err != unix.EINTR:
			return err
		case n == 1:
			word := make([]byte, 5) // its length, and its kind
			if n, _, err := unix.Recvfrom(fd, word, unix.MSG_PEEK); err == nil && n == len(word) && launch.Kind(word[4]) == launch.Listening {
				// The answer comes after it.
				if _, err := unix.Read(fd, make([]byte, 4+binary.BigEndian.Uint32(word))); err != nil {
					return err
				}
				continue
			}
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			return unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC)
		}
	}
}

// breaks is prog with a worker that breaks the wire, as D_BREAK says, and then does what
// D_WORKER says.
func breaks() {
	c := progConfig()
	then := c.Worker
	c.Worker = func(ctx context.Context) error {
		if how := wireBreaks[os.Getenv("D_BREAK")]; daemonocle.Generation(ctx) == 1 {
			fd, err := wire()
			if err == nil {
				err = how(fd)
			}
			if err != nil {
				return err
			}
			appendLine(os.Getenv("D_NOTE"), "broken")
		}
		return then(ctx)
	}
	d, err := daemonocle.New(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

// However the wire breaks during a start, there is one outcome, and it is true: what is
// said to have failed does not run on.
func TestBrokenWireHasOneTrueOutcome(t *testing.T) {
	testkit.Parallel(t)
	for how := range wireBreaks {
		for _, then := range []string{"ready", "alive", "os.Exit:7", "RequireReady"} {
			t.Run(how+"/"+then, func(t *testing.T) {
				testkit.Parallel(t)
				growing(t, func(limit time.Duration) bool { return brokenWire(t, how, then, limit) })
			})
		}
	}
}

// brokenWire reports whether the wire was broken at the right time: before the limit of a start
// that is to be longer than that, and when the launcher had heard of SIGINT if it was to.
func brokenWire(t *testing.T, how, then string, limit time.Duration) bool {
	r := newRig(t, "D_BREAK="+how, "D_STOP_TIMEOUT=300ms")
	switch {
	case how == "reset": // nothing must come before what SIGINT does
		r.env = append(r.env, "D_WORKER="+then, "D_START_WINDOW=1h", "D_START_TIMEOUT=1h")
		if then == "RequireReady" {
			r.env = append(r.env, "D_WORKER=alive", "D_REQUIRE_READY=1")
		}
	case then == "RequireReady":
		r.env = append(r.env, "D_WORKER=alive", "D_REQUIRE_READY=1", "D_START_TIMEOUT="+limit.String())
	case then == "os.Exit:7":
		r.env = append(r.env, "D_WORKER="+then, "D_START_WINDOW=1h", "D_START_TIMEOUT=1h")
	default:
		r.env = append(r.env, "D_WORKER="+then, "D_START_WINDOW=300ms")
	}
	r.env = append(r.env, "D_NOTE="+r.note())
	r.helper = "breaks"
	got := r.do("start")
	if then == "RequireReady" && how != "reset" && missing(r.note()) {
		late := 0
		fmt.Sscanf(got.err, "ERROR: Timed out while waiting for process (PID %d)", &late)
		testkit.WaitFor(t, "the wire to be broken, or nobody to be there for that", func() bool {
			return !missing(r.note()) || late == 0 || testkit.Gone(late)
		})
		r.do("stop")
		return false
	}
	if how == "reset" && got.code == -1 {
		// SIGINT came before the launcher had a handler, and was its end. The daemon would know,
		// if its end of the wire were still there.
		r.env = append(r.env, "D_STOP_TIMEOUT="+testkit.Patience.String())
		r.do("stop")
		return false
	}
	pid := 0
	if _, err := os.Stat(r.pidFile); err == nil {
		pid = holder(t, r.pidFile)
	}
	exited := result{"Starting foo ... FAILED\n", "ERROR: Child exited immediately with exit code 7\n", 7}
	switch {
	case how == "reset" && then == "os.Exit:7" && got == exited:
		// It did so before the launcher had anything to cancel.
		if pid != 0 {
			t.Errorf("process %d runs", pid)
		}
	case how == "reset": // after SIGINT
		if pid != 0 || got != (result{"Starting foo ... FAILED\n", "ERROR: Start was cancelled\n", 130}) {
			t.Errorf("process %d runs: %v", pid, got)
		}
	case then == "os.Exit:7":
		if pid != 0 || got.code != 7 || !strings.HasSuffix(got.out, " FAILED\n") {
			t.Errorf("process %d runs: %v", pid, got)
		}
	case then == "RequireReady":
		if pid == 0 || !strings.Contains(got.err, fmt.Sprintf("ERROR: Timed out while waiting for process (PID %d)", pid)) {
			t.Errorf("process %d runs: %v", pid, got)
		}
	case pid == 0 || got != (result{out: "Starting foo ... OK\n"}):
		t.Errorf("process %d runs: %v", pid, got)
	}
	if pid == 0 {
		return true
	}
	r.env = append(r.env, "D_STOP_TIMEOUT="+testkit.Patience.String()) // the stop's own
	if got := r.do("stop"); got.code != 0 {
		t.Errorf("stop: %v", got)
	}
	return true
}

// In the foreground the keeper says how the daemon ended, and with its code, whatever
// was said before.
func TestKeeperOutlivesABrokenWire(t *testing.T) {
	testkit.Parallel(t)
	for how := range wireBreaks {
		if how == "reset" {
			continue // there is no such word in the foreground
		}
		t.Run(how, func(t *testing.T) {
			testkit.Parallel(t)
			r := newRig(t, "D_BREAK="+how, "D_WORKER=alive", "D_FOREGROUND=1")
			r.env = append(r.env, "D_NOTE="+r.note())
			cmd := r.command("breaks", "start")
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			testkit.WaitFor(t, "the wire to be broken", func() bool { return slurp(r.note()) == "broken\n" })
			pid := holder(t, r.pidFile)
			r.alive(cmd.Process.Pid)
			if got := r.do("stop"); got.code != 0 {
				t.Errorf("stop: %v", got)
			}
			said, err := io.ReadAll(out)
			must(t, err)
			if err := cmd.Wait(); err != nil || !strings.HasPrefix(string(said), "Starting foo ... OK\n") {
				t.Errorf("got %v, %q", err, said)
			}
			r.gone(pid)
		})
	}
}
