//go:build !unix

package launch

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/daemonocle/daemonocle/internal/proc"
)

func workingDirectory() string {
	dir, _ := os.Getwd()
	return dir
}

func enter(string)        {}
func processName() string { return "" }

type inherited struct{}

// Launch cannot exist here: daemons need Unix processes.
type Launch struct{}

// Status is how a process ended.
type Status struct {
	Known bool
	Code  int
}

func Detached([]Hello, []*os.File) ([]*Launch, error) { return nil, errors.ErrUnsupported }
func Foreground(Hello, []*os.File) (*Launch, error)   { return nil, errors.ErrUnsupported }

func DefaultSignals([]os.Signal) (revert func()) { return func() {} }

func Adopted(int) *Launch { return &Launch{} }
func Locate()             {}

func Successor(Hello, []Passed, []*os.File, bool) (*Launch, error) { return nil, errors.ErrUnsupported }

func (l *Launch) PID() int                                 { return 0 }
func (l *Launch) Handle() *proc.Handle                     { return nil }
func (l *Launch) Stage() Status                            { return Status{} }
func (l *Launch) Receive(context.Context) (Message, error) { return Message{}, errors.ErrUnsupported }
func (l *Launch) Send(Kind)                                {}
func (l *Launch) Wait(context.Context) (Status, error)     { return Status{}, errors.ErrUnsupported }
func (l *Launch) Reap()                                    {}
func (l *Launch) Output() io.ReaderAt                      { return nil }
func (l *Launch) Close()                                   {}

func (c *Child) Send(Message)                {}
func (c *Child) Flush(context.Context)       {}
func (c *Child) Receive() (Message, error)   { return Message{}, errors.ErrUnsupported }
func (c *Child) Close()                      {}
func (c *Child) Files() []*os.File           { return nil }
func (c *Child) CloseInherited()             {}
func (c *Child) Take(func(string, int) bool) {}
func (c *Child) Switch(int)                  {}
func (c *Child) HandOn() int                 { return -1 }

func CloseInheritable(func(int) bool) {}
func Identity(*os.File) string        { return "" }
func SealInheritable()                {}

func Redirect(int, int) error { return errors.ErrUnsupported }

func Exec(string, []string, []string, bool) error { return errors.ErrUnsupported }
func Unseal([]int)                                {}
