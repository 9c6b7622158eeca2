//go:build daemon && stop

package main

import (
	"context"

	"github.com/daemonocle/daemonocle"
)

func call(ctx context.Context, d *daemonocle.Daemon) error {
	_, err := d.Stop(ctx, daemonocle.StopOptions{})
	return err
}
