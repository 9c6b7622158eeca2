package proc

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	// A process whose users differ, as that of a set-user-ID program.
	helpers["several users"] = func([]string) {
		if err := syscall.Setresgid(4, 5, 6); err != nil {
			panic(err)
		}
		if err := syscall.Setresuid(1, 2, 3); err != nil {
			panic(err)
		}
		helpers["wait"](nil)
	}
}

// eachSource asks the pidfd, then /proc as on a kernel before 6.13.
func eachSource(t *testing.T, f func(t *testing.T)) {
	each(t, f)
	t.Run("6.12", func(t *testing.T) {
		pidfdInfo = func(int, *unix.PidfdInfo) error { return unix.ENOTTY }
		t.Cleanup(func() { pidfdInfo = unix.IoctlPidfdInfo })
		f(t)
	})
}

func TestIDs(t *testing.T) {
	eachSource(t, func(t *testing.T) {
		h := mustOpen(t, run(t, "wait").pid())
		ids, err := h.IDs()
		if uid := os.Getuid(); err != nil || !ids.Only(uid) || ids.Only(uid+1) {
			t.Errorf("IDs = %v, %v, want only user %d", ids, err, uid)
		}
		if gid := os.Getgid(); ids.GID != [3]int{gid, gid, gid} {
			t.Errorf("groups are %v, want only %d", ids.GID, gid)
		}
	})
}

func TestIDsOfSeveralUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: to change users")
	}
	eachSource(t, func(t *testing.T) {
		ids, err := mustOpen(t, run(t, "several users").pid()).IDs()
		if want := (IDs{[3]int{1, 2, 3}, [3]int{4, 5, 6}}); err != nil || ids != want {
			t.Errorf("IDs = %v, %v, want %v", ids, err, want)
		}
		for uid := range 4 {
			if ids.Only(uid) {
				t.Errorf("Only(%d) = true of %v", uid, ids.UID)
			}
		}
	})
}

func TestIDsOfTheGone(t *testing.T) {
	eachSource(t, func(t *testing.T) {
		p := run(t, "wait")
		h := mustOpen(t, p.pid())
		p.zombie()
		if ids, err := h.IDs(); !errors.Is(err, ErrGone) {
			t.Errorf("IDs of a zombie = %v, %v, want ErrGone", ids, err)
		}
	})
}
