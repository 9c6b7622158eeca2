//go:build !unix

package app

import (
	"os"
	"syscall"
)

const nonblock = 0

func signalNumber(name string) syscall.Signal {
	return map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGHUP": syscall.SIGHUP, "SIGKILL": syscall.SIGKILL}[name]
}

func signalText(syscall.Signal) string { return "" }

func signalName(s syscall.Signal) string { return s.String() }

func checkStateDir(_, _, _ string) error { return nil }

func isOwn(string) bool { return true }

func openState(path string) (*os.File, error) { return os.Open(path) }

func lockName(_, _ string) (func(), error) { return func() {}, nil }

func syncDir(string) error { return nil }

func makeStateDir(dir string) error { return os.MkdirAll(dir, 0o700) }
