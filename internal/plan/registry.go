package plan

import (
	"errors"
	"fmt"
	"sync"

	"github.com/daemonocle/daemonocle/internal/launch"
)

// known are the daemons that this program has made, so that a launched process
// cannot become the wrong one.
var known registry

type registry struct {
	sync.Mutex
	workers map[launch.Key]uintptr
	files   map[string]launch.Key
}

// Register refuses a plan that cannot be told from another of this program. worker is where
// the worker's code is, 0 if there is none.
func (p *Plan) Register(worker uintptr) error { return known.add(p.Key, worker) }

func (r *registry) add(key launch.Key, code uintptr) error {
	r.Lock()
	defer r.Unlock()
	if r.workers == nil {
		r.workers, r.files = map[launch.Key]uintptr{}, map[string]launch.Key{}
	}
	// The same daemon described twice, as by a function that is called in two
	// places, is no ambiguity.
	if other, ok := r.workers[key]; ok && other != code && other != 0 && code != 0 {
		return errors.New("is the name of another daemon of this program with the same PID file")
	}
	if other, ok := r.files[key.PIDFile]; ok && key.PIDFile != "" && other != key {
		return fmt.Errorf("has the PID file of this program's daemon %q", other.Name)
	}
	if code == 0 {
		code = r.workers[key] // one without a worker does not hide another's
	}
	r.workers[key], r.files[key.PIDFile] = code, key
	return nil
}
