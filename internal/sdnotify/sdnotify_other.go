//go:build !linux

package sdnotify

import (
	"context"
	"errors"
)

// Conn cannot exist here: these service managers expect no messages.
type Conn struct{}

func Dial(string) (*Conn, error) { return nil, errors.ErrUnsupported }

func (c *Conn) Send(...string) error          { return nil }
func (c *Conn) Barrier(context.Context) error { return nil }

// Reloading begins a reload, which Ready ends.
func Reloading() string { return "RELOADING=1" }
