//go:build daemon && !stop && !status && !run && !start && !do

package main

import (
	"context"

	"github.com/daemonocle/daemonocle"
)

func call(context.Context, *daemonocle.Daemon) error { return nil }
