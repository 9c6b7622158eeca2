//go:build linux

package daemonocle_test

import (
	"fmt"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

// A chain are processes that share the daemon's descriptor, and of which each takes its lock
// when the one before has ended, as a program can make them that forks.

func init() { helpers["link"] = chainLink }

// chainLink is one of a chain: it waits for the lock of its descriptor 3, and then for SIGTERM. It
// is deaf with D_LINK=deaf; else it ends when the next one that it has started waits as well.
func chainLink() {
	terms := make(chan os.Signal, 1)
	ossignal.Notify(terms, syscall.SIGTERM)
	f := os.NewFile(3, "PID file")
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	err := error(unix.EINTR)
	for err == unix.EINTR {
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &lock)
	}
	if err == nil {
		_, err = f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	}
	if err != nil {
		panic(err)
	}
	for range terms {
		if os.Getenv("D_LINK") == "deaf" {
			continue
		}
		next := exec.Command("/proc/self/exe", os.Args[1:]...)
		next.ExtraFiles = []*os.File{f}
		if err := next.Start(); err != nil {
			panic(err)
		}
		for !waitsForLock(next.Process.Pid) {
			time.Sleep(time.Millisecond)
		}
		os.Exit(0)
	}
}

// waitsForLock reports whether the process is in F_SETLKW.
func waitsForLock(pid int) bool {
	locks, _ := os.ReadFile("/proc/locks")
	return regexp.MustCompile(`-> POSIX .* ` + strconv.Itoa(pid) + ` `).Match(locks)
}

// chain starts links, and returns when one has the lock and all others wait for it.
func (r *rig) chain(links int, env ...string) {
	r.t.Helper()
	mkdir(r.t, filepath.Dir(r.pidFile))
	put(r.t, r.pidFile, "")
	if r.user != nil {
		must(r.t, os.Chmod(r.dir, 0o755))
		for _, path := range []string{filepath.Dir(r.pidFile), r.pidFile} {
			must(r.t, os.Chown(path, int(r.user.Uid), int(r.user.Gid)))
		}
	}
	f, err := os.OpenFile(r.pidFile, os.O_RDWR, 0)
	must(r.t, err)
	defer f.Close()
	// That somebody is to come as well, so that nobody takes the moment between two for the end.
	must(r.t, unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: 1, Len: 2}))
	for i := range links {
		cmd := r.command("link")
		cmd.ExtraFiles = []*os.File{f}
		cmd.Env = append(cmd.Env, env...)
		must(r.t, cmd.Start())
		pid := cmd.Process.Pid
		go cmd.Wait()
		testkit.WaitFor(r.t, "the link", func() bool {
			if i == 0 {
				return strings.TrimSpace(content(r.t, r.pidFile)) == strconv.Itoa(pid)
			}
			return waitsForLock(pid)
		})
	}
}

// A stop that meets one process after the other has an end, and says what it has met.
func TestStopOfAChain(t *testing.T) {
	testkit.Parallel(t)
	rigs := func(t *testing.T, test func(r *rig)) {
		t.Run("with the caller's rights", func(t *testing.T) { test(newRig(t)) })
		t.Run("as an ordinary user", func(t *testing.T) {
			r := newRig(t)
			r.user = ordinary(t)
			test(r)
		})
	}
	for _, action := range []string{"stop", "restart"} {
		t.Run(action, func(t *testing.T) {
			rigs(t, func(r *rig) {
				r.env = append(r.env, "D_STOP_TIMEOUT=1s")
				r.chain(2)
				got := r.do(action)
				if got.out != "Stopping foo ... FAILED\n" || !strings.HasPrefix(got.err, "ERROR: Timed out while waiting for process (PID ") || got.code != 1 {
					r.t.Errorf("got %v", got)
				}
			})
		})
	}
	t.Run("force", func(t *testing.T) {
		rigs(t, func(r *rig) {
			const links, killed = 8, 5
			r.helper = "force"
			r.chain(links, "D_LINK=deaf")
			first := holder(r.t, r.pidFile)
			got, last := r.do("20ms"), holder(r.t, r.pidFile)
			r.expect(got, result{
				out: "Stopping foo ... FAILED\nKilling foo ... FAILED\n",
				err: fmt.Sprintf("ERROR: Timed out while waiting for process (PID %d) to terminate\n"+
					"ERROR: Timed out while waiting for process (PID %d) to terminate, which has taken the daemon's place after %d others\n"+
					"hint: Processes take the daemon's place again and again: look what starts them, as with ps -o ppid,args -p %d, and end that first.\n", first, last, killed, last),
				code: 1,
			})
			if left := len(r.marked()); left != links-killed {
				r.t.Errorf("%d processes of the chain are left, want %d", left, links-killed)
			}
		})
	})
}
