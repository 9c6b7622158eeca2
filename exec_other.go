//go:build !unix

package daemonocle

import (
	"context"

	"github.com/daemonocle/daemonocle/internal/attempt"
	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/plan"
)

func checkInterpreter(string) error { return nil }

func (p *program) raise(*plan.Plan, string) error { return nil }

// execute: here no process can become another program.
func (p *program) execute(*inside.Life, string, []string, []string) error { return ErrUnsupported }

func (p *program) prepareWatch(context.Context, *Daemon) (attempt.Watch, error) {
	return nil, ErrUnsupported
}
