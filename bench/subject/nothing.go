//go:build !plain && !web

package main

import (
	"context"

	"github.com/daemonocle/daemonocle"
)

// The floor: what every action of this binary costs.
func init() {
	actions = []daemonocle.Action{daemonocle.NewAction("nothing", "", nothing)}
}

func nothing(context.Context, *daemonocle.Call, struct{}) error { return nil }
