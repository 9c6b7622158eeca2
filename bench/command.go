//go:build linux

package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed ready/ready.c
var readySource string

// daemons are those of the command daemonocle.
type daemons struct {
	b     *subjects
	dir   string
	ready []string // a program that says so at once
	note  string   // which that is
}

// house makes a place for daemons of the command.
func (b *subjects) house() (*daemons, error) {
	d := &daemons{b: b, dir: b.path("daemons"), ready: []string{b.path("ready")}}
	if _, err := exec.LookPath("cc"); err != nil {
		d.ready, d.note = []string{b.path("program"), "ready"}, "; the program is in Go, for there is no C compiler"
	}
	if _, err := os.Stat(d.dir); err == nil {
		return d, nil
	}
	if err := os.MkdirAll(filepath.Join(d.dir, "run"), 0o700); err != nil {
		return nil, err
	}
	for name, pkg := range map[string]string{"daemonocle": "cmd/daemonocle", "program": "bench/program"} {
		if err := b.buildPackage(name, pkg, ""); err != nil {
			return nil, err
		}
	}
	if d.note != "" {
		return d, nil
	}
	cc := exec.Command("cc", "-O2", "-static", "-x", "c", "-o", d.ready[0], "-")
	cc.Stdin, cc.Stderr = strings.NewReader(readySource), os.Stderr
	return d, cc.Run()
}

func (d *daemons) time(args ...string) (time.Duration, error) {
	cmd := exec.Command(d.b.path("daemonocle"), args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+d.dir, "XDG_RUNTIME_DIR="+filepath.Join(d.dir, "run"))
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil {
		err = fmt.Errorf("daemonocle %v: %w", args, err)
	}
	return took, err
}

func (d *daemons) start(name string) (time.Duration, error) {
	return d.time(append([]string{"start", "--name", name, "--notify", "--"}, d.ready...)...)
}

// floor is one run that does nothing but to read its arguments.
func (d *daemons) floor() (time.Duration, error) { return d.time("list", "--help") }

// startedCommand is a start of a program that says at once that it is ready.
func (b *subjects) startedCommand(runs int) (figure, error) {
	d, err := b.house()
	if err != nil {
		return figure{}, err
	}
	var p pairs
	for range runs {
		floor, err := d.floor()
		if err != nil {
			return figure{}, err
		}
		took, err := d.start("one")
		if err != nil {
			return figure{}, err
		}
		if _, err := d.time("stop", "one"); err != nil {
			return figure{}, err
		}
		p.add(floor, took, 0)
	}
	f := p.figure("daemonocle start --notify", 5) // walking the paths, and asking whether the locks there name their holder, is a quarter of one
	f.detail += d.note
	return f, nil
}

// listed is the list of fifty daemons.
func (b *subjects) listed(runs int) (_ figure, err error) {
	const many = 50
	d, err := b.house()
	if err != nil {
		return figure{}, err
	}
	var names []string
	defer func() {
		if len(names) > 0 {
			_, bad := d.time(append([]string{"stop"}, names...)...)
			err = errors.Join(err, bad)
		}
	}()
	for i := range many {
		name := fmt.Sprint("many", i)
		names = append(names, name)
		if _, err := d.start(name); err != nil {
			return figure{}, err
		}
	}
	var p pairs
	for range runs {
		floor, err := d.floor()
		if err != nil {
			return figure{}, err
		}
		took, err := d.time("list")
		if err != nil {
			return figure{}, err
		}
		p.add(floor, took, window)
	}
	return p.figure(fmt.Sprintf("daemonocle list of %d, less the window", many), 3), nil // the paths of all are walked by hand, in each place where a PID file can be, and each holder of a lock is proved
}

// written is how long a program takes to write a lot, to its log and to a plain file.
func (b *subjects) written() (figure, error) {
	d, err := b.house()
	if err != nil {
		return figure{}, err
	}
	result := b.path("took")
	read := func() (float64, error) {
		text, err := os.ReadFile(result)
		if err != nil {
			return 0, err
		}
		os.Remove(result)
		return strconv.ParseFloat(string(text), 64)
	}
	var daemons, plains []float64
	for range 5 {
		plain, err := os.OpenFile(b.path("plain.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return figure{}, err
		}
		cmd := exec.Command(b.path("program"), "write", result)
		cmd.Stdout = plain
		err = errors.Join(cmd.Run(), plain.Close(), os.Remove(plain.Name()))
		p, bad := read()
		if err := errors.Join(err, bad); err != nil {
			return figure{}, err
		}
		// It ends by itself, which is no success for start.
		d.time("start", "--name", "writer", "--", b.path("program"), "write", result)
		w, err := read()
		if err := errors.Join(err, os.Remove(filepath.Join(d.dir, "daemonocle", "writer", "out.log"))); err != nil {
			return figure{}, err
		}
		daemons, plains = append(daemons, w), append(plains, p)
	}
	w, p := median(daemons), median(plains)
	return figure{what: "output of a program, log to plain", got: w / p, limit: 1.1, unit: "x",
		detail: fmt.Sprintf("%.0f MB/s, plain %.0f MB/s", 256/w, 256/p)}, nil
}
