package outside

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/daemonocle/daemonocle/internal/systemd"
)

// TestWhoRunsTheDaemon: a service has the daemon only if its main process is the daemon or
// its keeper, and only who is asked from outside leaves it to the manager.
func TestWhoRunsTheDaemon(t *testing.T) {
	const daemon, keeper, other = 7, 6, 5
	broken := errors.New("banana")
	for _, c := range []struct {
		name             string
		service, inside  bool
		main             int
		err              error
		kept             bool
		want, wantFailed bool
		asked            int
	}{
		{name: "no service", main: daemon},
		{name: "from inside", service: true, inside: true, main: daemon},
		{name: "main process", service: true, main: daemon, want: true, asked: 1},
		{name: "its keeper", service: true, main: keeper, kept: true, want: true, asked: 1},
		{name: "a parent that is no keeper", service: true, main: keeper, asked: 1},
		{name: "started by cron", service: true, main: other, kept: true, asked: 1},
		{name: "no main process", service: true, main: 0, asked: 1},
		{name: "no answer", service: true, main: daemon, err: broken, wantFailed: true, asked: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			m := (&Managers{custody: custody{
				service: func(int) (systemd.Service, bool) { return systemd.Service{Unit: "web.service"}, c.service },
				inside:  func(systemd.Service) bool { return c.inside },
				main: func(context.Context, systemd.Service) (int, error) {
					asked++
					return c.main, c.err
				},
				keeper: func(int) int {
					if c.kept {
						return keeper
					}
					return 0
				},
			}}).ready()
			for range 2 { // the answer, or the silence, is remembered
				s, is, err := m.run(t.Context(), daemon)
				if is != c.want || (err != nil) != c.wantFailed {
					t.Errorf("got %v, %v, %v", s, is, err)
				}
			}
			if asked != c.asked {
				t.Errorf("asked %d times, want %d", asked, c.asked)
			}
		})
	}
}

// TestManagerIsNotWaitedForAfterTheCaller: the caller's end is no silence of the manager's.
func TestManagerIsNotWaitedForAfterTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it waits for as long as a manager may take
		m := (&Managers{custody: custody{
			service: func(int) (systemd.Service, bool) { return systemd.Service{Unit: "web.service"}, true },
			inside:  func(systemd.Service) bool { return false },
			main: func(ctx context.Context, _ systemd.Service) (int, error) {
				<-ctx.Done()
				return 0, context.Cause(ctx)
			},
			keeper: func(int) int { return 0 },
		}}).ready()
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if _, is, err := m.run(ctx, 7); is || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, %v", is, err)
		}
		if len(m.silent) > 0 {
			t.Errorf("silent: %v", m.silent)
		}
		if _, is, err := m.run(t.Context(), 7); is || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v", is, err)
		}
		if len(m.silent) != 1 {
			t.Errorf("silent: %v", m.silent)
		}
	})
}
