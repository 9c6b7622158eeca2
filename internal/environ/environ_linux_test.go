package environ

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const helperEnv = "ENVIRON_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		fmt.Println(PID1(), SuperServer(), ServiceManager())
		return
	}
	os.Exit(m.Run())
}

// helper runs this binary, which says PID1, SuperServer, ServiceManager.
func helper(t *testing.T, adjust func(*exec.Cmd)) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	// The race detector would wait a second at exit.
	for _, v := range append(os.Environ(), helperEnv+"=1", "GORACE=atexit_sleep_ms=0") {
		if !strings.HasPrefix(v, "SSH_CONNECTION=") && !strings.HasPrefix(v, "SYSTEMD_EXEC_PID=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Stderr = os.Stderr
	adjust(cmd)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// A pair of sockets as standard input, made by a process that is called what
// the test says: the kernel remembers who it was.
func TestSuperServerMadeBy(t *testing.T) {
	for maker, want := range map[string]bool{
		"sshd":         false,
		"sshd-session": false,
		"dropbear":     false,
		"inetd":        true,
	} {
		t.Run(maker, func(t *testing.T) {
			leader := "/proc/self/comm"
			old, err := os.ReadFile(leader)
			if err != nil {
				t.Skip("NOT TESTED: no /proc: ", err)
			}
			if err := os.WriteFile(leader, []byte(maker), 0); err != nil {
				t.Fatal(err)
			}
			defer os.WriteFile(leader, old[:len(old)-1], 0)
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pair[0])
			stdin := os.NewFile(uintptr(pair[1]), "pair")
			defer stdin.Close()
			got := helper(t, func(cmd *exec.Cmd) { cmd.Stdin = stdin })
			if want := fmt.Sprint(false, want, false); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// PID 1 of a PID namespace of its own.
func TestPID1InNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root for a PID namespace")
	}
	got := helper(t, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	})
	if want := "true false false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTerminal(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ptmx, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("NOT TESTED: no pseudo-terminals: ", err)
	}
	defer unix.Close(ptmx)
	if !Terminal(ptmx) {
		t.Error("a terminal was not taken for one")
	}
	if Terminal(-1) {
		t.Error("descriptor -1 was taken for a terminal")
	}
}
