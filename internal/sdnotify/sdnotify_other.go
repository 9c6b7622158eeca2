//go:build !linux

package sdnotify

import (
	"context"
	"errors"
)

// Conn cannot exist here: these service managers expect no messages.
type Conn struct{}

func Dial(string) (*Conn, error) { return nil, errors.ErrUnsupported }

func Adopt(int, string) *Conn { return nil }

func (c *Conn) FD() int                             { return -1 }
func (c *Conn) Address() string                     { return "" }
func (c *Conn) Send(...string) error                { return nil }
func (c *Conn) Flush() error                        { return nil }
func (c *Conn) HandOver(context.Context, int) error { return nil }
func (c *Conn) TakeBack() error                     { return nil }

// Reloading begins a reload, which Ready ends.
func Reloading() string { return "RELOADING=1" }
