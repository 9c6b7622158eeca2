package outside

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/control"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/plan"
	"golang.org/x/sys/unix"
)

// squat has a daemon's name, with room for that many, and accepts nobody; fewer than 0: it does not listen.
func squat(t *testing.T, id string, room int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { unix.Close(fd) })
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@daemonocle/" + id})
	}
	if err == nil && room >= 0 {
		err = unix.Listen(fd, room)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAskAtATakenName: whoever has the name, and however he does not answer, it is said after the time in
// which the daemon may begin to listen, and when there is no time left.
func TestAskAtATakenName(t *testing.T) {
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for _, c := range []struct {
		what string
		room int
		pid  int // whom it is said to be
		met  []error
	}{
		{"does not listen", -1, os.Getpid(), []error{control.ErrNobody, control.ErrNobody}},
		{"is another process", 9, os.Getppid(), []error{control.ErrStranger, control.ErrStranger}},
		{"is another process, until its queue is full", 1, os.Getppid(), []error{control.ErrStranger, control.ErrStranger, control.ErrStranger, control.ErrStranger}},
	} {
		t.Run(c.what, func(t *testing.T) {
			id := fmt.Sprintf("test-%d-%s", os.Getpid(), t.Name())
			squat(t, id, c.room)
			a := &request{p: &plan.Plan{Name: "foo"}, ctx: t.Context(), limit: t.Context(), deaf: time.Now().Add(time.Hour),
				named: &pidfile.Report{PID: c.pid, Inode: id}}
			for range c.met {
				if event, err := a.ask(); event != phase.NotListening || err != nil {
					t.Errorf("while it need not listen: event %d, %v", event, err)
				}
			}
			for what, set := range map[string]func(){"later": func() { a.deaf, a.limit = time.Time{}, t.Context() }, "no time": func() { a.deaf, a.limit = time.Now().Add(time.Hour), over }} {
				set()
				event, err := a.ask()
				if event != phase.StillNotListening || !errors.Is(err, fault.ErrUnsupported) || !errors.Is(err, c.met[len(c.met)-1]) {
					t.Errorf("%s: event %d, %v", what, event, err)
				}
			}
		})
	}
	t.Run("has a full queue", func(t *testing.T) {
		id := fmt.Sprintf("test-%d-%s", os.Getpid(), t.Name())
		squat(t, id, 0)
		filler, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err == nil {
			defer unix.Close(filler)
			err = unix.Connect(filler, &unix.SockaddrUnix{Name: "@daemonocle/" + id})
		}
		if err != nil {
			t.Fatal(err)
		}
		a := &request{p: &plan.Plan{Name: "foo"}, ctx: t.Context(), limit: t.Context(), named: &pidfile.Report{PID: os.Getpid(), Inode: id}}
		event, err := a.ask()
		if event != phase.StillNotListening || !errors.Is(err, control.ErrCrowded) {
			t.Errorf("event %d, %v", event, err)
		}
	})
}

// TestWhoGivesUpDoesNotKnow: what was asked may be done, or not, when nobody waits for the answer.
func TestWhoGivesUpDoesNotKnow(t *testing.T) {
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	id := fmt.Sprintf("test-%d-%s", os.Getpid(), t.Name())
	squat(t, id, 9)
	for _, c := range []struct {
		what  string
		ctx   context.Context
		event phase.RequestEvent
		is    error
		code  int
	}{
		{"no time is left", t.Context(), phase.RequestTimesOut, fault.ErrStillStarting, fault.ExitStillStarting},
		{"the caller does not want it any more", over, phase.RequestCancelled, context.DeadlineExceeded, 1},
	} {
		a := &request{p: &plan.Plan{Name: "foo"}, ctx: c.ctx, limit: over, named: &pidfile.Report{PID: os.Getpid(), Inode: id}}
		event, err := a.ask()
		f, is := errors.AsType[*fault.Fault](err)
		if event != c.event || !is || !errors.Is(err, c.is) || f.Code != c.code || f.PID != os.Getpid() || !strings.Contains(f.Hint, "may yet be done") {
			t.Errorf("%s: event %d, %+v", c.what, event, err)
		}
	}
}
