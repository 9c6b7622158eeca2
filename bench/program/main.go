//go:build linux

// Command program is what the benchmark runs as a daemon of the command daemonocle: one
// that knows nothing of this library. It imports little, or the time until a daemon is
// ready would be its own.
package main

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func run(what string, args []string) error {
	switch what {
	case "ready": // at once, and idle
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := syscall.Sendto(fd, []byte("READY=1"), 0, &syscall.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}); err != nil {
			return err
		}
		syscall.Close(fd)
		return syscall.Pause()
	case "write": // a lot, and then how long it took, to a file
		b := make([]byte, 64<<10)
		for i := range b {
			b[i] = "a line of a log\n"[i%16]
		}
		began := time.Now()
		for range size / len(b) {
			if _, err := os.Stdout.Write(b); err != nil {
				return err
			}
		}
		took := strconv.FormatFloat(time.Since(began).Seconds(), 'g', -1, 64)
		return os.WriteFile(args[0], []byte(took), 0o600)
	}
	return errors.New("what is " + what + "?")
}

const size = 256 << 20
