//go:build daemon && start

package main

import (
	"context"

	"github.com/daemonocle/daemonocle"
)

func call(ctx context.Context, d *daemonocle.Daemon) error {
	_, err := d.Start(ctx, daemonocle.StartOptions{})
	return err
}
