//go:build linux

package daemonocle

import "github.com/daemonocle/daemonocle/internal/launch"

// LaunchDeaf is a start whose launcher ends, after until, before it can hear a
// Ctrl-C.
func LaunchDeaf(d *Daemon, until func()) {
	l, err := launch.Detached(launch.Hello{Key: d.key, Deaf: true})
	if err != nil {
		panic(err)
	}
	until()
	l.Close()
}
