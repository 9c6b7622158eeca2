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

func create(ctx context.Context, network, address string, _ bool) (net.Listener, string, error) {
	var c net.ListenConfig
	ln, err := c.Listen(ctx, network, address)
	return ln, "", err
}

func removeDead(string, string) {}
