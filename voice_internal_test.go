package daemonocle

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// TestEveryOutcomeHasItsWord: the words and keys for programs, as CONTRACT lists them.
func TestEveryOutcomeHasItsWord(t *testing.T) {
	for err, want := range map[error]string{
		ErrAlreadyRunning:    "already running",
		ErrNotRunning:        "not running",
		ErrDied:              "died",
		ErrStillStarting:     "still starting",
		ErrStartCancelled:    "cancelled",
		ErrStopTimeout:       "timed out",
		ErrBlocked:           "blocked",
		ErrHeldElsewhere:     "unknown",
		ErrManaged:           "managed",
		ErrStopping:          "stopping",
		ErrNoPIDFile:         "failed",
		errors.New("banana"): "failed",
	} {
		err = fmt.Errorf("wrapped: %w", err)
		for name, object := range map[string]map[string]any{
			"start": startObject(Started{PID: 7}, err), "stop": stopObject(Stopped{PID: 7}, err),
			"reload": reloadObject(Reloaded{PID: 7}, err), "other": failedObject(err)(),
		} {
			if object["outcome"] != want {
				t.Errorf("%s: %v is %q, want %q", name, err, object["outcome"], want)
			}
		}
	}
	for _, c := range []struct {
		object map[string]any
		want   map[string]any
	}{
		{startObject(Started{PID: 7, Ready: true}, nil), map[string]any{"outcome": "ready", "pid": int64(7), "seconds": 0.0}},
		{startObject(Started{PID: 7}, nil), map[string]any{"outcome": "alive", "pid": int64(7), "seconds": 0.0}},
		{startObject(Started{PID: 7, ended: true}, nil), map[string]any{"outcome": "ended", "pid": int64(7), "seconds": 0.0}},
		{startObject(Started{}, ErrBlocked), map[string]any{"outcome": "blocked", "pid": nil, "seconds": 0.0}},
		{reloadObject(Reloaded{PID: 8, Old: 7, Generation: 2}, nil), map[string]any{"outcome": "reloaded", "pid": int64(8), "old": int64(7), "generation": int64(2), "seconds": 0.0}},
	} {
		if !maps.Equal(c.object, c.want) {
			t.Errorf("got %v, want %v", c.object, c.want)
		}
	}
	for killed, want := range map[bool]string{false: "stopped", true: "killed"} {
		got := stopObject(Stopped{PID: 7, Killed: killed, Left: []int{8, 9}}, nil)
		if got["outcome"] != want || got["pid"] != int64(7) || got["seconds"] != 0.0 || !slices.Equal(got["left"].([]any), []any{int64(8), int64(9)}) {
			t.Errorf("killed %v: got %v", killed, got)
		}
	}
}
