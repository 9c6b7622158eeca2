//go:build unix && !linux

package proc

import "testing"

// each runs a test for every mechanism this system has.
func each(t *testing.T, f func(t *testing.T)) { f(t) }
