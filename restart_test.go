//go:build linux

package daemonocle_test

import (
	"errors"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
)

func TestRestartMakesAnotherProcess(t *testing.T) {
	r := newRig(t)
	old := r.start()
	r.expect(r.do("restart"), result{out: "Stopping foo ... OK\nStarting foo ... OK\n"})
	r.gone(old)
	pid := holder(t, r.pidFile)
	if pid == 0 || pid == old {
		t.Errorf("process %d holds the PID file, the old one was %d", pid, old)
	}
	r.alive(pid)
}

func TestRestartWithoutADaemonStartsOne(t *testing.T) {
	r := newRig(t)
	r.expect(r.do("restart"), result{out: "Starting foo ... OK\n", err: "WARNING: foo is not running\n"})
	r.alive(holder(t, r.pidFile))
}

func TestRestartStartsNothingIfStopFails(t *testing.T) {
	r := newRig(t, "D_WORKER=deaf", "D_STOP_TIMEOUT=20ms")
	old := r.start()
	got := r.do("restart")
	if got.out != "Stopping foo ... FAILED\n" || got.code != 1 {
		t.Errorf("got %v", got)
	}
	r.alive(old)
	if pid := holder(t, r.pidFile); pid != old {
		t.Errorf("process %d holds the PID file, not %d", pid, old)
	}
}

func TestRestartLooksForAWorkerBeforeItStops(t *testing.T) {
	r := newRig(t)
	old := r.start()
	r.env = append(r.env, "D_WORKER=none")
	r.expect(r.do("restart"), result{err: "ERROR: No worker is defined for daemon\n", code: 1})
	r.alive(old)

	got, err := r.daemon().Restart(t.Context(), daemonocle.RestartOptions{})
	if !errors.Is(err, daemonocle.ErrNoWorker) || got.Stopped.PID != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	r.alive(old)
}

// The exit code is that of the start: the new process is the one that matters.
func TestRestartExitsAsStartDoes(t *testing.T) {
	r := newRig(t)
	old := r.start()
	r.env = append(r.env, "D_WORKER=os.Exit:42")
	r.expect(r.do("restart"), result{
		out:  "Stopping foo ... OK\nStarting foo ... FAILED\n",
		err:  "ERROR: Child exited immediately with exit code 42\n",
		code: 42,
	})
	r.gone(old)
	r.clean()
}

func TestRestartRefusesANegativeTimeout(t *testing.T) {
	r := newRig(t)
	old := r.start()
	d, err := daemonocle.New(daemonocle.Config{Name: "foo", PIDFile: r.pidFile, Worker: progWorker("alive")})
	if err != nil {
		t.Fatal(err)
	}
	o := daemonocle.RestartOptions{Stop: daemonocle.StopOptions{Timeout: -time.Second}}
	if got, err := d.Restart(t.Context(), o); err == nil || got.Started.PID != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	r.alive(old)
}
