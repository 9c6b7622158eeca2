//go:build linux

package daemonocle_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
)

// handles are made by the package for the package: nobody fills them, or they are given
// and not returned. An Option is bound to the field that it was made of.
var handles = []reflect.Type{
	reflect.TypeFor[daemonocle.Daemon](), reflect.TypeFor[daemonocle.Group](), reflect.TypeFor[daemonocle.Option](),
}

// resultTypes are the structs of the package that its methods return, and its errors.
func resultTypes() []reflect.Type {
	var found []reflect.Type
	var add func(reflect.Type)
	add = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			add(typ.Elem())
		case reflect.Struct:
			if typ.PkgPath() != module || slices.Contains(found, typ) || slices.Contains(handles, typ) {
				return
			}
			found = append(found, typ)
			for i := range typ.NumField() {
				add(typ.Field(i).Type)
			}
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[*daemonocle.Daemon](), reflect.TypeFor[*daemonocle.Group](), reflect.TypeFor[daemonocle.Status]()} {
		for i := range typ.NumMethod() {
			for out := range typ.Method(i).Type.Outs() {
				add(out)
			}
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[daemonocle.Error](), reflect.TypeFor[daemonocle.ConfigError](), reflect.TypeFor[daemonocle.ExitError](),
		reflect.TypeFor[daemonocle.SignalError](), reflect.TypeFor[daemonocle.Shutdown](), reflect.TypeFor[daemonocle.StartInfo](),
		reflect.TypeFor[daemonocle.Paths](),
	} {
		add(typ)
	}
	return found
}

// TestResultsHideNothing: what a result says depends on what a program can see and set.
func TestResultsHideNothing(t *testing.T) {
	types := resultTypes()
	for _, one := range []reflect.Type{
		reflect.TypeFor[daemonocle.Status](), reflect.TypeFor[daemonocle.Started](), reflect.TypeFor[daemonocle.Stopped](),
		reflect.TypeFor[daemonocle.Restarted](), reflect.TypeFor[daemonocle.Reloaded](), reflect.TypeFor[daemonocle.Error](),
	} {
		if !slices.Contains(types, one) {
			t.Errorf("%v is not looked at", one)
		}
	}
	for _, typ := range types {
		for i := range typ.NumField() {
			if f := typ.Field(i); !f.IsExported() {
				t.Errorf("%v has the unexported field %s", typ, f.Name)
			}
		}
	}
}

// rebuilt has the exported fields of a value, and nothing else of it.
func rebuilt[T any](v T) T {
	copied := reflect.New(reflect.TypeFor[T]()).Elem()
	if copied.Kind() == reflect.Pointer {
		copied.Set(reflect.New(copied.Type().Elem()))
		copyExported(copied.Elem(), reflect.ValueOf(v).Elem())
	} else {
		copyExported(copied, reflect.ValueOf(v))
	}
	return copied.Interface().(T)
}

func copyExported(to, from reflect.Value) {
	if to.Kind() != reflect.Struct {
		to.Set(from)
		return
	}
	for i := range to.NumField() {
		if to.Type().Field(i).IsExported() {
			copyExported(to.Field(i), from.Field(i))
		}
	}
}

// says is all that the package, and fmt and encoding/json, print of a value.
func says(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v\n%s\n", v, b)
	if s, ok := v.(daemonocle.Status); ok {
		text += fmt.Sprintln(jsonOf(t, s), s.ExitCode())
	}
	if err, ok := v.(error); ok {
		for _, asJSON := range []bool{false, true} {
			var out bytes.Buffer
			again := daemonocle.Output{Out: &out, Err: &out, JSON: asJSON}.Explain(err)
			text += fmt.Sprintln(out.String(), daemonocle.Shown(err), daemonocle.Shown(again), daemonocle.ExitCode(err))
		}
	}
	return text
}

// TestResultsSayWhatTheirFieldsSay rebuilds results, real ones among them, from their
// exported fields: they print the same.
func TestResultsSayWhatTheirFieldsSay(t *testing.T) {
	r := newRig(t)
	dead := r.status()
	r.start()
	running := r.status()
	statuses := map[string]daemonocle.Status{
		"dead":                dead,
		"running":             running,
		"with all fields":     r.status(daemonocle.StatusFields()...),
		"with fields":         r.status("status", "uptime", "name", "ppid"),
		"with no fields":      r.status([]string{}...),
		"not to be named":     {Name: "foo", Running: true, State: "unknown"},
		"with something left": {Name: "foo", Left: []int{7}},
		"hidden":              {Name: "foo", Running: true, PID: 7, State: "unknown", Values: map[string]any{"uptime": nil, "cpu_percent": nil, "memory_percent": nil, "status": nil}},
	}
	for name, s := range statuses {
		t.Run(name, func(t *testing.T) {
			if got, want := says(t, rebuilt(s)), says(t, s); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}

	// Whoever fills it need not fill Values: what has a field of its own is said.
	filled := daemonocle.Status{Name: running.Name, Running: true, PID: running.PID, State: running.State, Uptime: running.Uptime,
		CPUPercent: running.CPUPercent, MemoryPercent: running.MemoryPercent}
	if filled.String() != running.String() || jsonOf(t, filled) != jsonOf(t, running) {
		t.Errorf("got %v %s, want %v %s", filled, jsonOf(t, filled), running, jsonOf(t, running))
	}
	filled = rebuilt(running)
	filled.Name, filled.PID, filled.State, filled.CPUPercent = "bar", 8, "stopped", 12.5
	if text, object := filled.String(), jsonOf(t, filled); !strings.HasPrefix(text, "bar -- pid: 8, status: stopped, ") || !strings.Contains(text, "%cpu: 12.5,") ||
		!strings.HasPrefix(object, `{"cpu_percent": 12.5, `) || !strings.Contains(object, `"name": "bar", "pid": 8, "status": "stopped", `) {
		t.Errorf("changed: %s, %s", text, object)
	}

	failed := r.daemon()
	_, running1 := failed.Start(t.Context(), daemonocle.StartOptions{})
	var out bytes.Buffer
	refused := failed.DoWith(t.Context(), daemonocle.Output{Out: &out, Err: &out}, "stop", nil, "now")
	_, wrong := daemonocle.New(daemonocle.Config{Name: "a/b"})
	for name, err := range map[string]error{
		"start of one that runs": running1,
		"shown":                  refused,
		"marked":                 daemonocle.MarkShown(running1),
		"full": &daemonocle.Error{Op: "start", Name: "foo", PID: 7, Code: 3, Reason: "because", Stderr: []string{"e"}, Stdout: []string{"o"},
			Hint: "Try.", Unit: "foo.service", Err: errors.New("no luck"), Capital: true},
		"empty": &daemonocle.Error{},
	} {
		t.Run(name, func(t *testing.T) {
			var e *daemonocle.Error
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			if got, want := says(t, rebuilt(e)), says(t, e); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	var setting *daemonocle.ConfigError
	if !errors.As(wrong, &setting) {
		t.Fatal(wrong)
	}
	for _, e := range []*daemonocle.ConfigError{setting, {}} {
		if got, want := says(t, rebuilt(e)), says(t, e); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
