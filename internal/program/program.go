// Package program is for workers that are other programs: it finds the executable, makes the
// daemon's process become that, and watches it start from the launcher.
package program

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/template"
)

// Program is what the daemon's process is to become: daemonocle.Program, where the fields are
// described.
type Program struct {
	Name      string
	Args, Env []string
	Nice      int
	Limits    []Limit
	Ready     Probe // nil: it has no way to say so

	path string   // absolute, if Name is a path
	user []string // variables of the daemon's user, in its process
}

// Limit is one resource limit.
type Limit struct {
	Resource   int
	Soft, Hard uint64
}

// Member is the program of the worker of that number in a group.
func (p *Program) Member(n int) (Program, []plan.Problem) {
	own := Program{Name: p.Name, Nice: p.Nice, Limits: p.Limits, Ready: p.Ready}
	var problems []plan.Problem
	expand := func(what string, list []string) []string {
		list = slices.Clone(list)
		for i, text := range list {
			t, err := template.Parse(text)
			if err != nil {
				problems = append(problems, plan.Problem{Setting: "Worker", Value: text, Err: fmt.Errorf("among the %s of a group's program %w", what, err),
					Hint: "write {n} for the worker's number, and {{ or }} for a brace"})
				continue
			}
			list[i] = t.Expand(n)
		}
		return list
	}
	own.Args, own.Env = expand("arguments", p.Args), expand("variables", p.Env)
	return own, problems
}

// Complete checks the program that a daemon's plan is to make, and completes it.
func (p *Program) Complete(own *plan.Plan) []plan.Problem {
	var problems []plan.Problem
	bad := func(value string, err error, hint string) {
		problems = append(problems, plan.Problem{Setting: "Worker", Value: value, Err: err, Hint: hint})
	}
	switch {
	case p.Name == "":
		bad("", errors.New("names no program"), "give its name or path")
	case strings.HasSuffix(p.Name, "/"):
		bad(p.Name, errors.New("is a directory, not a program"), "give the path of a program")
	case strings.Contains(p.Name, "/"):
		abs, err := own.Absolute(p.Name)
		if err != nil {
			bad(p.Name, err, "give an absolute path")
		}
		p.path = abs
	}
	for _, text := range slices.Concat([]string{p.Name}, p.Args, p.Env) {
		if strings.ContainsRune(text, 0) {
			bad(text, errors.New("holds a zero byte"), "no program can be given that")
		}
	}
	for _, v := range p.Env {
		if v == "" || v[0] == '=' {
			bad(v, errors.New("is no variable"), `write "NAME=value", or "NAME" to remove it`)
		}
	}
	for _, l := range p.Limits {
		if l.Soft > l.Hard {
			bad(fmt.Sprint(l.Soft), errors.New("is a soft limit above the hard one"), "lower it, or raise Hard")
		}
	}
	if p.Ready == nil && own.RequireReady {
		problems = append(problems, plan.Problem{Setting: "RequireReady",
			Err: errors.New("cannot be met by a program that has no way to say so"), Hint: "give the program a way to be ready"})
	}
	if p.Ready != nil {
		if problem := p.Ready.suits(own); problem != nil {
			bad(problem.Value, problem.Err, problem.Hint)
		}
	}
	return problems
}
