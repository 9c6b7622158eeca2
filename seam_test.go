//go:build linux

package daemonocle

import "github.com/daemonocle/daemonocle/internal/launch"

// LaunchDeaf is a start whose launcher ends, after until, before it can hear a
// Ctrl-C.
func LaunchDeaf(d *Daemon, until func()) {
	launches, err := launch.Detached([]launch.Hello{{Key: d.plan.Key, Deaf: true}}, nil)
	if err != nil {
		panic(err)
	}
	until()
	launches[0].Close()
}
