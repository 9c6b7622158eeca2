//go:build !unix

package program

import (
	"context"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/plan"
)

func checkInterpreter(string) error { return nil }

func (p *Program) Raise(*plan.Plan, string) error { return nil }

// execute: here no process can become another program.
func (p *Program) execute(*inside.Life, string, []string, []string) error {
	return fault.ErrUnsupported
}

func (p *Program) Watch(context.Context, *plan.Plan) (attempt.Watch, error) {
	return nil, fault.ErrUnsupported
}
