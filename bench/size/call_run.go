//go:build daemon && run

package main

import (
	"context"

	"github.com/daemonocle/daemonocle"
)

func call(ctx context.Context, d *daemonocle.Daemon) error {
	return d.Run(ctx)
}
