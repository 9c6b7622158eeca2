package systemd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/retried"
)

// run gives what systemctl writes to stdout; if it fails, the error says what it wrote
// to stderr. os.Process would be 15 KB more in a program that starts none by itself.
func run(ctx context.Context, args, env []string) (string, error) {
	program := ""
	for _, p := range places {
		if _, err := os.Stat(p); err == nil {
			program = p
			break
		}
	}
	if program == "" {
		return "", ErrNone
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return "", err
	}
	defer null.Close()
	out, outEnd, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer out.Close()
	said, saidEnd, err := os.Pipe()
	if err != nil {
		outEnd.Close()
		return "", err
	}
	defer said.Close()
	pidfd := -1 // as long as it is open, nobody else in this program reaps the child
	pid, err := syscall.ForkExec(program, args, &syscall.ProcAttr{
		Dir: "/", Env: env, Files: []uintptr{null.Fd(), outEnd.Fd(), saidEnd.Fd()}, Sys: &syscall.SysProcAttr{PidFD: &pidfd},
	})
	outEnd.Close()
	saidEnd.Close()
	if err != nil {
		return "", &os.PathError{Op: "fork/exec", Path: program, Err: err}
	}
	child := proc.OpenFD(pid, pidfd)
	defer child.Close()
	// A helper of systemctl's that outlived it must not hold the reading up.
	stop := context.AfterFunc(ctx, func() {
		child.Signal(syscall.SIGKILL)
		out.Close()
		said.Close()
	})
	defer stop()
	// What is written to stderr fits into the pipe, so that one can be read after the other.
	var answer, complaint bytes.Buffer
	_, err = answer.ReadFrom(io.LimitReader(out, maxAnswer))
	complaint.ReadFrom(io.LimitReader(said, maxAnswer))
	var status syscall.WaitStatus
	_, waited := retried.Wait4(pid, &status, 0, nil)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", err
	case waited != nil:
		return "", os.NewSyscallError("wait4", waited)
	case status == 0:
		return answer.String(), nil
	}
	if text := strings.TrimSpace(complaint.String()); text != "" {
		return "", errors.New(text)
	}
	if status.Signaled() {
		return "", errors.New("systemctl: signal: " + status.Signal().String())
	}
	return "", errors.New("systemctl: exit status " + strconv.Itoa(status.ExitStatus()))
}
