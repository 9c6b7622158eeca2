//go:build !linux

package control

import (
	"context"
	"errors"
	"os"
)

// Server cannot exist here: there are no abstract sockets.
type Server struct{}

// Asker neither.
type Asker struct{}

func Listen(string) (*Server, error) { return nil, errors.ErrUnsupported }

func (s *Server) Serve(func(*Asker, Request)) {}
func (s *Server) Close()                      {}

func Resume(*os.File) *Asker   { return &Asker{} }
func (a *Asker) FD() int       { return -1 }
func (a *Asker) Gone() bool    { return false }
func (a *Asker) Answer(Answer) {}
func (a *Asker) Close()        {}

func Ask(context.Context, string, int, Request) (Answer, error) {
	return Answer{}, errors.ErrUnsupported
}
