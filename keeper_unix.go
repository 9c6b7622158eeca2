//go:build unix

package daemonocle

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/proc"
)

// keep starts the daemon as a child in a process group of its own, passes
// signals on to it, and returns when nothing of that group is left. The keeper
// has the terminal; its death is the daemon's SIGTERM.
func (d *Daemon) keep(ctx context.Context, w watcher) (Started, error) {
	k := &keeper{d: d, w: w}
	// From before the start, so that none is lost. SIGPIPE is among them so
	// that a reader who goes away ends the reading, not the daemon.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGPIPE)
	defer signal.Stop(signals)

	k.absent = d.absent()
	files, names, err := inheritance(ctx)
	var l *launch.Launch
	if err == nil {
		l, err = launch.Foreground(launch.Hello{Key: d.key, Files: names}, files)
	}
	closeAll(files)
	if err != nil {
		w.begin()
		w.settle(false)
		return Started{}, d.fail("start", err)
	}
	defer l.Close()
	k.l = l
	if environ.PID1() {
		defer reapAsPID1(l.PID())()
	}
	done := make(chan struct{})
	defer close(done)
	go k.forward(signals, done)
	go k.followStops(done)
	stop := context.AfterFunc(ctx, func() { k.pass(syscall.SIGTERM) })
	defer stop()

	if err := k.setUp(); err != nil {
		return Started{}, err
	}
	socketsOf(ctx).End() // they are the daemon's by now
	s := Started{PID: l.PID()}
	for { // only ready, and the end
		m, err := l.Receive(context.Background())
		if err != nil {
			break
		}
		s.Ready = s.Ready || m.Kind == launch.Ready
	}
	status, _ := l.Wait(context.Background())
	waitForGroup(l.PID())
	if d.foreign != nil && d.pid != nil {
		d.pid.Remove() // the program does not know of it
	}
	if w.childless != nil {
		w.childless()
	}
	if status.Code == 0 || status.Code < 0 && k.hasForwarded(syscall.Signal(-status.Code)) {
		return s, nil
	}
	e := d.fail("start", because(exitText(status), ErrDied))
	e.PID, e.Code, e.shown = l.PID(), leave(status.Code), true
	return s, e
}

func exitText(s launch.Status) string {
	if s.Code < 0 {
		return "the daemon was ended by " + signalName(syscall.Signal(-s.Code))
	}
	return "the daemon ended with exit code " + strconv.Itoa(s.Code)
}

type keeper struct {
	d *Daemon
	l *launch.Launch
	w watcher

	absent []string // see attempt

	mu        sync.Mutex
	forwarded []syscall.Signal
}

func (k *keeper) hasForwarded(sig syscall.Signal) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Contains(k.forwarded, sig)
}

// setUp waits until the daemon is set up.
func (k *keeper) setUp() error {
	a := &attempt{d: k.d, l: k.l, w: k.w, logFrom: -1, absent: k.absent}
	for {
		m, err := k.l.Receive(context.Background())
		if errors.Is(err, io.EOF) {
			status, _ := k.l.Wait(context.Background())
			err := a.died(status)
			k.w.settle(false)
			return err
		}
		if err != nil {
			return k.d.fail("start", err)
		}
		done, _, err := a.heard(m)
		switch {
		case done:
			if !errors.Is(err, ErrAlreadyRunning) {
				a.begin()
				k.w.settle(false)
			}
			return err
		case a.running:
			k.w.settle(true)
			k.l.Send(launch.Release) // the worker may speak
			return nil
		}
	}
}

func (k *keeper) forward(signals <-chan os.Signal, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case s := <-signals:
			sig := s.(syscall.Signal)
			switch sig {
			case syscall.SIGPIPE:
			case syscall.SIGTSTP: // followStops does the rest
				k.passToGroup(syscall.SIGSTOP)
			case syscall.SIGCONT:
				k.passToGroup(syscall.SIGCONT)
			case syscall.SIGHUP:
				if environ.PID1() { // nobody's terminal has gone: it is a message
					k.pass(sig)
				} else {
					k.pass(syscall.SIGTERM)
				}
			case syscall.SIGUSR1, syscall.SIGUSR2:
				k.pass(sig)
			default:
				if k.w.forwarding != nil {
					k.w.forwarding(sig)
				}
				k.mu.Lock()
				k.forwarded = append(k.forwarded, sig)
				k.mu.Unlock()
				k.pass(sig)
			}
		}
	}
}

func (k *keeper) pass(sig syscall.Signal) {
	if h := k.l.Handle(); h != nil {
		h.Signal(sig)
	}
}

func (k *keeper) passToGroup(sig syscall.Signal) {
	eachMember(k.l.PID(), func(h *proc.Handle) { h.Signal(sig) })
}

// followStops stops the keeper when the daemon was stopped, so that the shell
// gets its terminal back; fg continues both.
func (k *keeper) followStops(done <-chan struct{}) {
	if environ.PID1() || !environ.Terminal(0) && !environ.Terminal(1) && !environ.Terminal(2) {
		return
	}
	for launch.WaitStopped(k.l.PID()) {
		select {
		case <-done:
			return
		default:
			syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		}
	}
}

// waitForGroup waits until no process of the group is left.
func waitForGroup(pgid int) {
	for {
		waited := eachMember(pgid, func(h *proc.Handle) { h.Wait(context.Background()) })
		if len(waited) == 0 {
			return
		}
		time.Sleep(time.Millisecond) // only if a member was born meanwhile
	}
}
