//go:build !unix

package sockets

import (
	"context"
	"errors"
	"net"
	"os"
)

const maxPath = 107

func listening(int) bool { return false }

func duplicate(*socket) (*os.File, error) { return nil, errors.ErrUnsupported }

func identify(string) string { return "" }

func create(ctx context.Context, network, address string, _ bool) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, network, address)
}

func removeDead(string, string) {}
