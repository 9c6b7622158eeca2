// Command heartbeat is a daemon that logs a line now and then, with a PID file
// and a shutdown hook:
//
//	heartbeat start
//	heartbeat status
//	heartbeat stop
//
// Its files are in the user's own directories; see daemonocle.XDG.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/daemonocle/daemonocle"
)

func main() {
	d, err := daemonocle.New(daemonocle.Config{
		Name:   "heartbeat",
		Layout: daemonocle.XDG,
		Worker: beat,
		NoArgs: true,
		Hooks: daemonocle.Hooks{Shutdown: func(s daemonocle.Shutdown) {
			slog.Info("daemon is stopping", "why", s.Message, "code", s.Code)
		}},
	})
	if err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

func beat(ctx context.Context) error {
	slog.Info("daemon is starting")
	if err := daemonocle.Ready(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		slog.Info("still running")
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
