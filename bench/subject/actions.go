//go:build !plain

package main

import "github.com/daemonocle/daemonocle"

// actions are the program's own.
var actions []daemonocle.Action
