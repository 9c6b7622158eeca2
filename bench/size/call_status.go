//go:build daemon && status

package main

import (
	"context"

	"github.com/daemonocle/daemonocle"
)

func call(ctx context.Context, d *daemonocle.Daemon) error {
	_, err := d.Status(ctx, daemonocle.StatusOptions{})
	return err
}
