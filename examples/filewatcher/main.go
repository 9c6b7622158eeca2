// Command filewatcher is a daemon that says what its configuration file tells it to,
// and reloads itself when that file has changed:
//
//	echo '{"say": "hello", "every": "2s"}' >filewatcher.json
//	filewatcher start
//	echo '{"say": "good morning", "every": "2s"}' >filewatcher.json
//	filewatcher stop
//
// As long as the file is wrong, the daemon goes on that has read the last good one; the
// log says why. FILEWATCHER_CONF chooses another file.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/daemonocle/daemonocle"
)

func main() {
	// Resolved here, where the current directory is still the caller's: after a
	// reload as well.
	path, err := filepath.Abs(cmp.Or(os.Getenv("FILEWATCHER_CONF"), "filewatcher.json"))
	if err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
	d, err := daemonocle.New(daemonocle.Config{
		Name:   "filewatcher",
		Layout: daemonocle.XDG,
		// The daemon makes way for a new one when that has said that it is ready.
		RequireReady: true,
		Worker:       func(ctx context.Context) error { return work(ctx, path) },
	})
	if err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

func work(ctx context.Context, path string) error {
	// Before the file is read: what is written after that is a change.
	watched, err := os.Stat(path)
	if err != nil {
		return err
	}
	c, err := read(path)
	if err != nil {
		return err
	}
	if err := daemonocle.Ready(ctx); err != nil {
		return err
	}
	say := time.NewTicker(c.every)
	defer say.Stop()
	// A look each second needs no other library, works on every file system, and sees
	// a file that was put in the place of the old one.
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-say.C:
			slog.Info(c.Say)
		case <-look.C:
			now, err := os.Stat(path)
			if err != nil || same(now, watched) {
				continue // a file that is missing is no reason to change anything
			}
			watched = now
			// On success this ends ctx, else this daemon goes on.
			if err := daemonocle.From(ctx).Reload(ctx); err != nil {
				slog.Error(err.Error())
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

type config struct {
	Say   string
	Every string

	every time.Duration
}

func read(path string) (*config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &config{Every: "10s"}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.every, err = time.ParseDuration(c.Every)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: every: %w", path, err)
	case c.Say == "":
		return nil, fmt.Errorf("%s: say: missing", path)
	case c.every <= 0:
		return nil, fmt.Errorf("%s: every: %v is no time to wait", path, c.every)
	}
	return c, nil
}
