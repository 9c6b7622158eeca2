//go:build unix

package proc

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// giveUp is how long a test waits for what must happen.
const giveUp = 20 * time.Second

// helperVar makes the test binary another program. Every helper ends when its
// standard input does, so none outlives the tests.
const helperVar = "PROC_TEST_HELPER"

var helpers = map[string]func(args []string){
	"wait": func([]string) {
		fmt.Println("ready")
		io.Copy(io.Discard, os.Stdin)
		os.Exit(7)
	},
}

func TestMain(m *testing.M) {
	if name := os.Getenv(helperVar); name != "" {
		os.Unsetenv(helperVar)
		helpers[name](os.Args[1:])
		os.Exit(0)
	}
	// Under -race a program sleeps for a second before it exits.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

// program is a helper that runs.
type program struct {
	*exec.Cmd
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func command(t *testing.T, helper string, args ...string) *program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{Cmd: exec.Command(exe, args...), t: t}
	p.Env = append(os.Environ(), helperVar+"="+helper)
	p.Stderr = os.Stderr
	return p
}

// start starts the program and returns the first line it says.
func (p *program) start() string {
	p.t.Helper()
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		p.in.Close()
		p.Wait()
	})
	return p.line()
}

// run starts a helper that only says "ready".
func run(t *testing.T, helper string, args ...string) *program {
	t.Helper()
	p := command(t, helper, args...)
	if s := p.start(); s != "ready" {
		t.Fatalf("helper %s said %q, want ready", helper, s)
	}
	return p
}

func (p *program) line() string {
	p.t.Helper()
	timer := time.AfterFunc(giveUp, func() { p.Process.Kill() })
	defer timer.Stop()
	s, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("helper has said %q and then: %v", s, err)
	}
	return strings.TrimSuffix(s, "\n")
}

// ask writes a line and returns the answer.
func (p *program) ask(s string) string {
	p.t.Helper()
	if _, err := io.WriteString(p.in, s+"\n"); err != nil {
		p.t.Fatal(err)
	}
	return p.line()
}

func (p *program) pid() int { return p.Process.Pid }

// zombie ends the program and returns when it is one.
func (p *program) zombie() {
	p.t.Helper()
	h, err := Open(p.pid())
	if err != nil {
		p.t.Fatal(err)
	}
	defer h.Close()
	if err := h.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	if err := h.Wait(limit(p.t)); err != nil {
		p.t.Fatal(err)
	}
}

func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), giveUp)
	t.Cleanup(cancel)
	return ctx
}

func mustOpen(t *testing.T, pid int) *Handle {
	t.Helper()
	h, err := Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}
