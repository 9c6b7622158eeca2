//go:build !plain && !group

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/daemonocle/daemonocle"
)

func main() {
	d, err := daemonocle.New(daemonocle.Config{
		Name:    "subject",
		PIDFile: os.Getenv("SUBJECT_PIDFILE"),
		Worker:  func(ctx context.Context) error { return idle(ctx, daemonocle.Ready) },
		Actions: actions,
		// A reload is ready first.
		RequireReady: true,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}
