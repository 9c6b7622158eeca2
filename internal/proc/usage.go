package proc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Usage is what processes use of the machine.
type Usage struct {
	CPU    float64 // percent of one CPU
	Memory float64 // percent of the physical memory, by resident set
}

// reading is what a process has used at one moment.
type reading struct {
	at    time.Time // monotonic
	cpu   time.Duration
	rss   uint64 // bytes
	start uint64 // tells the process from a later one of its number
}

// Measure adds up what processes use, of CPU over a window of time and of
// memory at its end. A process that was not there at both ends counts for
// nothing. With no window it does not wait, and CPU is 0. When none of several
// processes could be measured, the error says why, ErrGone above all. ctx ends
// the window early, with an error.
func Measure(ctx context.Context, window time.Duration, pids []int) (Usage, error) {
	var u Usage
	if len(pids) == 0 {
		return u, nil
	}
	total, err := totalMemory()
	if err != nil {
		return u, fmt.Errorf("measure: %w", err)
	}
	before := make([]reading, len(pids))
	if window > 0 {
		for i, pid := range pids {
			if r, err := read(pid); err == nil {
				before[i] = r
			}
		}
		if err := pause(ctx, window); err != nil {
			return u, fmt.Errorf("measure: %w", err)
		}
	}
	var used uint64
	var first error
	measured := false
	for i, pid := range pids {
		now, err := read(pid)
		if err == nil && window > 0 && (before[i].at.IsZero() || now.start != before[i].start) {
			err = gone(pid)
		}
		if err != nil {
			if first == nil || errors.Is(first, ErrGone) {
				first = err
			}
			continue
		}
		measured = true
		used += now.rss
		if window > 0 {
			// Each process over its own window, by the monotonic clock: a
			// busy machine wakes us late, and reading many takes a while.
			u.CPU += 100 * float64(now.cpu-before[i].cpu) / float64(now.at.Sub(before[i].at))
		}
	}
	if !measured {
		return Usage{}, fmt.Errorf("measure: %w", first)
	}
	u.Memory = 100 * float64(used) / float64(total)
	return u, nil
}

// read checks the number before and sees a stable start time after.
func read(pid int) (reading, error) {
	if err := checkPID(pid); err != nil {
		return reading{}, err
	}
	return usage(pid)
}

// pause waits for d. The runtime's timers are late by up to a millisecond, which
// for a short wait is worth a thread that cannot be woken.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 100*time.Millisecond && ctx.Err() == nil {
		end := time.Now().Add(d)
		for left := d; left > 0 && ctx.Err() == nil; left = time.Until(end) {
			nanosleep(left)
		}
	} else {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return nil
}
