package proc

import (
	"errors"
	"testing"
	"time"
)

// Many sets take the time of one window, and each has its own usage.
func TestSamplesShareAWindow(t *testing.T) {
	busy, idle := run(t, "busy"), run(t, "wait")
	h := mustOpen(t, busy.pid())
	const window = 300 * time.Millisecond
	began := time.Now()
	samples := []*Sample{NewSample(window, Set{PIDs: []int{busy.pid()}, Held: busy.pid()})}
	for range 40 {
		samples = append(samples, NewSample(window, Set{PIDs: []int{idle.pid()}}))
	}
	both := NewSample(window, Set{PIDs: []int{idle.pid()}})
	both.Add([]int{busy.pid()})
	samples = append(samples, both)
	called := 0
	all, errs := Measured(limit(t), samples, func() { called++ })
	if took := time.Since(began); took < window || took > 10*window {
		t.Errorf("it took %v, with a window of %v", took, window)
	}
	for i, err := range errs {
		if err != nil || all[i].Memory <= 0 {
			t.Errorf("sample %d: got %+v, %v", i, all[i], err)
		}
	}
	last := len(all) - 1
	if h.Gone() || called != 1 || all[0].CPU < 1 || all[1].CPU > all[0].CPU/2 || all[last].CPU < all[0].CPU/2 {
		t.Errorf("called %d times; busy %+v, idle %+v, both %+v", called, all[0], all[1], all[last])
	}
	if all[last].Memory <= all[0].Memory {
		t.Errorf("memory of both is %v, of one %v", all[last].Memory, all[0].Memory)
	}
}

func TestHeldThatEnds(t *testing.T) {
	p := run(t, "wait")
	h := mustOpen(t, p.pid())
	s := NewSample(10*time.Millisecond, Set{PIDs: []int{p.pid()}, Held: p.pid()})
	_, errs := Measured(limit(t), []*Sample{s}, p.zombie)
	// What it says of a zombie is the caller's to judge, by its handle.
	if !h.Gone() || errs[0] != nil && !errors.Is(errs[0], ErrGone) {
		t.Errorf("got %v, gone: %v", errs[0], h.Gone())
	}
}

func TestWindowEnd(t *testing.T) {
	now := time.Now()
	at := func(after, window time.Duration) *Sample { return &Sample{window: window, began: now.Add(after)} }
	for _, tt := range []struct {
		name    string
		samples []*Sample
		want    time.Duration
	}{
		{"one", []*Sample{at(0, 50)}, 50},
		{"close by", []*Sample{at(3, 50), at(0, 50), at(7, 50)}, 50},
		{"far later", []*Sample{at(0, 50), at(100, 50)}, 125},
		{"without a window among them", []*Sample{at(0, 0), at(10, 50)}, 60},
	} {
		if got := windowEnd(tt.samples).Sub(now); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
	if end := windowEnd([]*Sample{at(0, 0)}); !end.IsZero() {
		t.Errorf("without a window: got %v", end)
	}
}
