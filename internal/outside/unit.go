package outside

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/systemd"
	"github.com/daemonocle/daemonocle/internal/timing"
)

// placeOf says where a start is, also what only systemd can tell: what the unit waits for
// that has started this process. The environment is the same for all that have no
// NOTIFY_SOCKET.
func placeOf(ctx context.Context, p *plan.Plan, foreground bool) (environ.Place, error) {
	place := Where()
	if place != environ.Systemd {
		return place, nil
	}
	u := unit{pidFile: os.Getenv("PIDFILE")}
	number, told := os.LookupEnv("SYSTEMD_EXEC_PID")
	u.certain = told && number == strconv.Itoa(os.Getpid())
	if u.certain && u.pidFile == "" && os.Getenv("NOTIFY_SOCKET") != "" {
		return place, nil // it waits to be told
	}
	u.ask(ctx)
	place, refused := u.place(os.Getpid(), p.PIDPath(), foreground)
	if refused == nil {
		return place, nil
	}
	e := p.Fail("start", refused)
	kind := "notify"
	if p.Worker == plan.Program {
		kind = "exec" // the program speaks for itself, or not at all
	}
	e.Hint = "Write Type=" + kind + ", and no PIDFile=, into the unit's section [Service]."
	if errors.Is(refused, errOtherPIDFile) && p.PID != nil {
		e.Hint = "Write Type=" + kind + ", and no PIDFile=, into the unit's section [Service]; or PIDFile=" + p.PIDPath() + "."
	}
	return place, e
}

// unit is what is known of the one that has started this process.
type unit struct {
	name    string // empty: not known
	kind    string // Type=; empty: systemd has not said
	main    int    // PID of its main process, 0 if there is none
	control int    // and of what a unit of Type=forking has started
	pidFile string // PIDFile=, as systemd has said to this process
	certain bool   // systemd has said to it that it is the unit's; else it only looks like that
}

// ask takes timing.ManagerAnswers at most. Without an answer nothing is known.
func (u *unit) ask(ctx context.Context) {
	s, ok := systemd.ServiceOf(os.Getpid())
	if !ok {
		return
	}
	u.name = s.Unit
	ctx, stop := context.WithTimeout(ctx, timing.ManagerAnswers)
	defer stop()
	answer, err := systemd.Show(ctx, s.Scope, s.Unit, "Type", "MainPID", "ControlPID")
	if err != nil {
		return
	}
	u.kind = answer["Type"]
	u.main, _ = strconv.Atoi(answer["MainPID"])
	u.control, _ = strconv.Atoi(answer["ControlPID"])
}

var errOtherPIDFile = errors.New("not the unit's PID file")

// place is what a start in the process self does there; the error says why it does
// nothing. file is the daemon's PID file.
func (u *unit) place(self int, file string, foreground bool) (environ.Place, error) {
	name := u.name
	if name == "" {
		name = "the unit"
	}
	switch {
	case u.kind != "" && !u.certain && self != u.main && self != u.control:
		return environ.Shell, nil // an orphan of the unit's, before systemd 248
	case u.kind == "oneshot":
		return environ.Systemd, errors.New(name + " waits for the end of what it starts (Type=oneshot)")
	case u.kind != "forking" && (u.kind != "" || u.pidFile == ""):
		return environ.Systemd, nil
	}
	const waits = " waits for a daemon in the background (Type=forking)"
	switch {
	case foreground:
		return environ.Systemd, errors.New(name + waits + ", and this start stays in the foreground")
	case u.pidFile == "":
		return environ.Systemd, fault.Say(name+waits+", but has no PIDFile= by which to find it", errOtherPIDFile)
	case file == "":
		return environ.Systemd, fault.Say(name+waits+" by its PID file "+u.pidFile+", but the daemon has none", errOtherPIDFile)
	case plan.Resolved(file) != plan.Resolved(filepath.Clean(u.pidFile)):
		return environ.Systemd, fault.Say(name+waits+" by the PID file "+u.pidFile+", but the daemon's is "+file, errOtherPIDFile)
	}
	return environ.Forking, nil
}
