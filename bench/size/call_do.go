//go:build daemon && do

package main

import (
	"context"
	"os"

	"github.com/daemonocle/daemonocle"
)

func call(ctx context.Context, d *daemonocle.Daemon) error {
	return d.Do(ctx, os.Args[1:]...)
}
