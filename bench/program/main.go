// Command program is what the benchmark runs as a daemon of the command daemonocle:
// one that knows nothing of this library.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(what string, args []string) error {
	switch what {
	case "ready": // at once, and idle
		ends := make(chan os.Signal, 1)
		signal.Notify(ends, syscall.SIGTERM)
		c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
		if err != nil {
			return err
		}
		if _, err := c.Write([]byte("READY=1")); err != nil {
			return err
		}
		c.Close()
		<-ends
		return nil
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
		return os.WriteFile(args[0], fmt.Append(nil, time.Since(began).Seconds()), 0o600)
	}
	return fmt.Errorf("what is %q?", what)
}

const size = 256 << 20
