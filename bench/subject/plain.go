//go:build plain

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// main says "ready" on stdout where the daemon tells its launcher.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	defer stop()
	err := idle(ctx, func(context.Context) error {
		_, err := fmt.Println("ready")
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
