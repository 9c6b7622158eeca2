//go:build group

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/daemonocle/daemonocle"
)

// A group of the same workers.
func main() {
	workers, err := strconv.Atoi(os.Getenv("SUBJECT_WORKERS"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	g, err := daemonocle.NewGroup(daemonocle.Config{
		Name:    "subject{n}",
		PIDFile: os.Getenv("SUBJECT_PIDFILE") + "{n}",
		Worker:  func(ctx context.Context) error { return idle(ctx, daemonocle.Ready) },
		Actions: actions,
	}, workers)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(g.Do(context.Background(), os.Args[1:]...)))
}
