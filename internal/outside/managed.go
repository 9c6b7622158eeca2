package outside

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/systemd"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// Managers finds out whether a service manager runs a daemon: then it is the manager that
// has to be told what shall become of it. One is for one action, of any number of
// daemons, and asks one question at a time. A manager that has not answered one is not
// asked another.
type Managers struct {
	custody
	turn   chan struct{}           // who asks puts something into it
	mains  map[systemd.Service]int // what was answered
	silent map[systemd.Scope]error // who has not answered, and why
}

// custody is where the facts come from.
type custody struct {
	service func(pid int) (systemd.Service, bool)               // in whose control group the process lies
	inside  func(systemd.Service) bool                          // this process lies there as well
	main    func(context.Context, systemd.Service) (int, error) // the service's main process, as its manager says
	keeper  func(pid int) int                                   // of a daemon; 0: it has none
}

// NewManagers is for one action.
func NewManagers() *Managers {
	return (&Managers{custody: custody{
		service: systemd.ServiceOf,
		inside:  func(s systemd.Service) bool { return s.Has(os.Getpid()) },
		main:    mainOf,
		keeper:  keeperOf,
	}}).ready()
}

func (m *Managers) ready() *Managers {
	m.turn = make(chan struct{}, 1)
	m.mains, m.silent = map[systemd.Service]int{}, map[systemd.Scope]error{}
	return m
}

// run reports whether a service manager runs the daemon that is this process, and as which
// service. What cron, sshd or any other service has started lies in that service's control
// group; the service has the daemon only if its main process is the daemon or the keeper.
// An action from within the service, such as its ExecStop=, is the manager's own. The
// error says that the manager could not be asked.
func (m *Managers) run(ctx context.Context, pid int) (s systemd.Service, is bool, err error) {
	s, ok := m.service(pid)
	if !ok || m.inside(s) {
		return s, false, nil
	}
	main, err := m.ask(ctx, s)
	return s, err == nil && main > 0 && (main == pid || main == m.keeper(pid)), err
}

func (m *Managers) ask(ctx context.Context, s systemd.Service) (main int, err error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if main, ok := m.mains[s]; ok {
		return main, nil
	}
	if err := m.silent[s.Scope]; err != nil {
		return 0, err
	}
	limit, stop := context.WithTimeoutCause(ctx, timing.ManagerAnswers, fault.Say("no answer within "+timing.ManagerAnswers.String(), context.DeadlineExceeded))
	defer stop()
	if main, err = m.main(limit, s); err == nil {
		m.mains[s] = main
	} else if ctx.Err() == nil {
		m.silent[s.Scope] = err
	}
	return main, err
}

func mainOf(ctx context.Context, s systemd.Service) (int, error) {
	const property = "MainPID"
	answer, err := systemd.Show(ctx, s.Scope, s.Unit, property)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(answer[property])
	if err != nil {
		return 0, fmt.Errorf("ask systemd about %s: it has no %s", s.Unit, property)
	}
	return pid, nil
}

// keeperOf: a keeper is the daemon's parent, in the same session, and executes the
// daemon's program or that of this process. A supervisor executes another one; a launcher
// that has stayed, since its program does other things as well, is in another session.
func keeperOf(pid int) int {
	h, err := proc.Open(pid)
	if err != nil {
		return 0
	}
	defer h.Close()
	parent, err := h.Parent()
	if err != nil || parent <= 0 {
		return 0
	}
	_, session, err := proc.GroupID(pid)
	_, its, failed := proc.GroupID(parent)
	if err != nil || failed != nil || session != its {
		return 0
	}
	program := proc.Program(parent)
	if program == "" || program != proc.Program(pid) && program != proc.Program(os.Getpid()) {
		return 0
	}
	return parent
}

// yield leaves a stop to the service manager that runs the daemon. unasked says that it is
// not known whether one does; then the stop goes on.
func yield(ctx context.Context, p *plan.Plan, op string, pid int, w *StopWatcher) (unasked, err error) {
	m := w.Managers
	if m == nil {
		m = NewManagers()
	}
	s, is, err := m.run(ctx, pid)
	switch {
	case is:
		e := about(p, op, pid, fault.Say("cannot "+op+" "+p.Name+": systemd runs it as "+s.Unit, fault.ErrManaged))
		e.Unit = s.Unit
		e.Hint = "Type " + s.Command(op) + ", or use --direct to act on the process itself."
		return nil, e
	case err != nil && ctx.Err() != nil: // the caller has given up
		return nil, about(p, op, pid, err)
	case err != nil && w.Unasked != nil:
		w.Unasked(err)
	}
	return err, nil
}
