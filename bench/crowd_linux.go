package main

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
)

// crowd measures status among many other processes.
func (b *subjects) crowd() (_ figure, err error) {
	const others = 10_000
	if free, err := number("/proc/meminfo", "MemAvailable"); err != nil || free < others*400 {
		return figure{}, fmt.Errorf("%d processes need more memory than the %d KB that are free: %w", others, free, err)
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return figure{}, err
	}
	var pids []int
	defer func() {
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		for _, pid := range pids {
			syscall.Wait4(pid, nil, 0, nil)
		}
	}()
	for range others {
		// Should this program be killed, they end by themselves.
		pid, err := syscall.ForkExec(sleep, []string{"sleep", "300"}, nil)
		if err != nil {
			return figure{}, fmt.Errorf("process %d of %d: %w", len(pids), others, err)
		}
		pids = append(pids, pid)
	}
	if err := b.run("start"); err != nil {
		return figure{}, err
	}
	var times []float64
	for range 15 {
		took, err := b.time("status")
		if err != nil {
			return figure{}, errors.Join(err, b.run("stop"))
		}
		times = append(times, ms(took-window))
	}
	m := median(times)
	return figure{what: fmt.Sprintf("status among %d others", others), got: m, limit: 60, unit: "ms", detail: "less the window"}, b.run("stop")
}
