// Package usercode calls functions of the user's program.
package usercode

import "fmt"

// Call turns a panic of f into a *PanicError; what names f. It has a goroutine of its own,
// for runtime.Goexit ends one that cannot return afterwards.
func Call(what string, f func() error) error {
	ended := make(chan error, 1)
	go func() {
		var err error
		returned := false
		defer func() {
			if returned {
				ended <- err
				return
			}
			v := recover()
			if v == nil {
				v = "runtime.Goexit was called"
			}
			ended <- &PanicError{what, v}
		}()
		err = f()
		returned = true
	}()
	return <-ended
}

// PanicError is a panic of the user's code.
type PanicError struct {
	What  string
	Value any
}

func (e *PanicError) Error() string { return fmt.Sprintf("%s panicked: %v", e.What, e.Value) }
