package proc

import (
	"context"
	"errors"
	"runtime"
	"sync"
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
	err   error  // it could not be read
}

// Measure adds up what processes use, of CPU over a window of time and of
// memory at its beginning. A process that was not there at both ends counts for
// nothing. With no window it does not wait, and CPU is 0. When none of several
// processes could be measured, the error says why, ErrGone above all. ctx ends
// the window early, with an error.
func Measure(ctx context.Context, window time.Duration, pids []int) (Usage, error) {
	all, errs := Measured(ctx, []*Sample{NewSample(window, Set{PIDs: pids})}, func() {})
	return all[0], errs[0]
}

// Set is some processes whose usage is added up.
type Set struct {
	PIDs []int
	// Held is one of them of which the caller has a handle and will ask that
	// whether it was this process all the time. 0: none.
	Held int
}

// Sample is a Set at the beginning of its window.
type Sample struct {
	set    Set
	window time.Duration
	began  time.Time
	before []reading // nil without a window
}

// NewSample begins to measure, like Measure, over that window.
func NewSample(window time.Duration, set Set) *Sample {
	s := &Sample{set: Set{Held: set.Held}, window: window, began: time.Now()}
	s.Add(set.PIDs)
	return s
}

// Add takes more processes into the set.
func (s *Sample) Add(pids []int) {
	s.set.PIDs = append(s.set.PIDs, pids...)
	if s.window > 0 {
		s.before = append(s.before, Set{pids, s.set.Held}.readings()...)
	}
}

// Measured ends the measurements and gives them in the order of the samples. The
// first sample has its window; if others were much later, all have a longer one,
// so that none is shorter than half of its own. Until then it calls meanwhile.
func Measured(ctx context.Context, samples []*Sample, meanwhile func()) ([]Usage, []error) {
	all, errs := make([]Usage, len(samples)), make([]error, len(samples))
	total, err := totalMemory()
	meanwhile()
	if end := windowEnd(samples); err == nil && !end.IsZero() {
		err = pause(ctx, time.Until(end))
	}
	workers := min(runtime.GOMAXPROCS(0), 1+len(samples)/16)
	var done sync.WaitGroup
	for k := range workers {
		done.Go(func() {
			for i := k; i < len(samples); i += workers {
				if err != nil {
					errs[i] = errorf("measure: %w", err)
					continue
				}
				all[i], errs[i] = samples[i].add(total)
			}
		})
	}
	done.Wait()
	return all, errs
}

// windowEnd is zero if there is no window.
func windowEnd(samples []*Sample) time.Time {
	var first, last time.Time
	for _, s := range samples {
		if s.window <= 0 {
			continue
		}
		if end := s.began.Add(s.window); first.IsZero() || end.Before(first) {
			first = end
		}
		if half := s.began.Add(s.window / 2); half.After(last) {
			last = half
		}
	}
	if last.After(first) {
		return last
	}
	return first
}

func (s Set) readings() []reading {
	list := make([]reading, len(s.PIDs))
	for i, pid := range s.PIDs {
		list[i] = s.read(pid)
	}
	return list
}

func (s Set) read(pid int) (r reading) {
	if r.err = checkPID(pid); r.err == nil {
		r, r.err = used(pid, pid == s.Held)
	}
	return r
}

// add takes the readings at the end of the window, and adds up.
func (s *Sample) add(total uint64) (u Usage, err error) {
	before := s.before
	if before == nil {
		before = s.set.readings()
	}
	var memory uint64
	var first error
	measured := false
	for i, pid := range s.set.PIDs {
		then := before[i]
		now, err := then, then.err
		if err == nil {
			now, err = usedSince(pid, then, pid == s.set.Held)
		}
		if err == nil && now.start != then.start {
			err = gone(pid)
		}
		if err != nil {
			if first == nil || errors.Is(first, ErrGone) {
				first = err
			}
			continue
		}
		measured = true
		memory += then.rss
		if s.window > 0 {
			// Each process over its own window, by the monotonic clock: a busy machine
			// wakes us late, and reading many takes a while.
			u.CPU += 100 * float64(now.cpu-then.cpu) / float64(now.at.Sub(then.at))
		}
	}
	if !measured && len(s.set.PIDs) > 0 {
		return Usage{}, errorf("measure: %w", first)
	}
	u.Memory = 100 * float64(memory) / float64(total)
	return u, nil
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
