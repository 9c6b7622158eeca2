//go:build linux

package daemonocle_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/phase"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

// helpers are the programs that this test binary can be. Test files add theirs
// in init.
var helpers = map[string]func(){"prog": prog}

func TestMain(m *testing.M) {
	phase.Trace = testkit.Recorder()
	testkit.Main(m, helpers)
}

// prog is a program with one daemon, as a user would write it: its arguments go
// to Do. The environment says what the daemon is like: D_NAME, D_PIDFILE and so
// on are the settings of Config, D_WORKER chooses one of the workers.
func prog() {
	d, err := daemonocle.New(progConfig())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

func progConfig() daemonocle.Config {
	name := os.Getenv("D_NAME")
	if name == "" {
		name = "foo"
	}
	c := daemonocle.Config{
		Name:           name,
		PIDFile:        os.Getenv("D_PIDFILE"),
		WorkDir:        os.Getenv("D_WORKDIR"),
		StdoutFile:     os.Getenv("D_STDOUT"),
		StderrFile:     os.Getenv("D_STDERR"),
		ChrootDir:      os.Getenv("D_CHROOT"),
		User:           os.Getenv("D_USER"),
		Group:          os.Getenv("D_GROUP"),
		Foreground:     os.Getenv("D_FOREGROUND") != "",
		CloseOpenFiles: os.Getenv("D_CLOSE") != "",
		RequireReady:   os.Getenv("D_REQUIRE_READY") != "",
		StopTimeout:    progDuration("D_STOP_TIMEOUT"),
		StartTimeout:   progDuration("D_START_TIMEOUT"),
		StartWindow:    progWindow(),
		AbandonAfter:   progDuration("D_ABANDON_AFTER"),
		Worker:         progWorker(os.Getenv("D_WORKER")),
	}
	if s := os.Getenv("D_UMASK"); s != "" {
		n, err := strconv.ParseUint(s, 8, 32)
		if err != nil {
			panic(err)
		}
		mask := fs.FileMode(n)
		c.Umask = &mask
	}
	if n, err := strconv.Atoi(os.Getenv("D_STOP_SIGNAL")); err == nil {
		c.StopSignal = syscall.Signal(n)
	}
	// D_HOOK_LOG: the shutdown hook appends "message|code" there.
	if path := os.Getenv("D_HOOK_LOG"); path != "" {
		c.Hooks.Shutdown = func(s daemonocle.Shutdown) { appendLine(path, fmt.Sprintf("%s|%d", s.Message, s.Code)) }
	}
	return c
}

// progWindow is the window of D_START_WINDOW, or else one that does not end before a busy
// machine comes to the worker's end or its word, if there is to be one of them.
func progWindow() time.Duration {
	worker, _, _ := strings.Cut(os.Getenv("D_WORKER"), ":")
	quiet := worker == "alive" || worker == "mute" || os.Getenv("L_QUIET") != "" || os.Getenv("D_SH") != "" || os.Getenv("D_PROGRAM") != ""
	if os.Getenv("D_START_WINDOW") == "" && !quiet {
		return time.Hour
	}
	return progDuration("D_START_WINDOW")
}

func progDuration(name string) time.Duration {
	if os.Getenv(name) == "" {
		return 0
	}
	d, err := time.ParseDuration(os.Getenv(name))
	if err != nil {
		panic(err)
	}
	return d
}

// growing calls try with longer and longer limits, until there was one in which that has
// happened which the limit is to come after. A product that never does it fails the test.
func growing(t *testing.T, try func(limit time.Duration) bool) {
	t.Helper()
	for limit := 3 * testkit.Settle; !try(limit); limit *= 3 {
		if limit > testkit.Patience {
			t.Fatalf("not even %v were enough", limit)
		}
	}
}

func appendLine(path, line string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}

// progWorker gives a worker by name; what follows a colon is its argument.
func progWorker(spec string) func(context.Context) error {
	name, arg, _ := strings.Cut(spec, ":")
	number := func() int {
		n, err := strconv.Atoi(arg)
		if err != nil {
			panic(err)
		}
		return n
	}
	switch name {
	case "", "ready": // is ready at once
		return func(ctx context.Context) error {
			if err := daemonocle.Ready(ctx); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}
	case "alive": // never says so
		return func(ctx context.Context) error { <-ctx.Done(); return nil }
	case "deaf": // is ready, and ignores the end of its context
		return func(ctx context.Context) error { daemonocle.Ready(ctx); select {} }
	case "mute": // never ready, ignores everything
		return func(context.Context) error { select {} }
	case "return": // ends at once
		return func(context.Context) error { return nil }
	case "error":
		return func(context.Context) error { return errors.New(arg) }
	case "exit": // ExitError with a code
		return func(context.Context) error { return &daemonocle.ExitError{Code: number()} }
	case "message": // ExitError with a message
		return func(context.Context) error { return &daemonocle.ExitError{Message: arg} }
	case "os.Exit":
		return func(context.Context) error { os.Exit(number()); return nil }
	case "kill": // itself, by that signal
		return func(context.Context) error {
			syscall.Kill(os.Getpid(), syscall.Signal(number()))
			select {}
		}
	case "panic":
		return func(context.Context) error { panic(arg) }
	case "gopanic": // in another goroutine
		return func(context.Context) error { go panic(arg); select {} }
	case "stderr": // writes a line and exits with 3
		return func(context.Context) error { fmt.Fprintln(os.Stderr, arg); os.Exit(3); return nil }
	case "sleeper": // ready, with a child that outlives it
		return func(ctx context.Context) error {
			if err := exec.Command("sleep", "1000").Start(); err != nil {
				return err
			}
			daemonocle.Ready(ctx)
			<-ctx.Done()
			return nil
		}
	case "fifo": // ready when somebody opens that FIFO for writing
		return func(ctx context.Context) error {
			f, err := os.Open(arg)
			if err != nil {
				return err
			}
			f.Close()
			if err := daemonocle.Ready(ctx); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}
	case "open": // ready when it has that file open
		return func(ctx context.Context) error {
			f, err := os.Open(arg)
			if err != nil {
				return fmt.Errorf("read the configuration: %w", err)
			}
			f.Close()
			daemonocle.Ready(ctx)
			<-ctx.Done()
			return nil
		}
	case "must-open": // the same, in a panic
		return func(ctx context.Context) error {
			if _, err := os.Open(arg); err != nil {
				panic(err)
			}
			return nil
		}
	case "signal": // gets that signal as it begins, the first of its generations
		return func(ctx context.Context) error {
			if daemonocle.Generation(ctx) == 1 {
				syscall.Kill(os.Getpid(), syscall.Signal(number()))
			}
			if err := daemonocle.Ready(ctx); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}
	case "flood": // says more than anybody has room for, then that it is ready, then so to that file
		return func(ctx context.Context) error {
			for i := range 2000 {
				if err := daemonocle.Notify(ctx, fmt.Sprint(i, strings.Repeat(" ", 1000))); err != nil {
					return err
				}
			}
			if err := daemonocle.Ready(ctx); err != nil {
				return err
			}
			appendLine(arg, "ready")
			<-ctx.Done()
			return nil
		}
	case "none": // no worker at all
		return nil
	}
	panic("no worker " + spec)
}
