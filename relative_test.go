//go:build linux

package daemonocle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// main and the start hook are where the caller is, the worker is not: one that dies of it
// is told, and nobody else.
func TestRelativePathOfAWorker(t *testing.T) {
	const hint = "hint: The worker's directory is %s, and web.conf is not there: give the absolute path, or set WorkDir.\n"
	dir := filepath.Dir(newRig(t).pidFile)
	must(t, os.MkdirAll(dir, 0o755))
	conf := filepath.Join(dir, "web.conf")
	must(t, os.WriteFile(conf, nil, 0o644))
	for _, tt := range []struct {
		name, worker, workDir string
		hint                  string // the directory in it; empty: there is no hint
		ok                    bool
	}{
		{name: "relative", worker: "open:web.conf", hint: "/"},
		{name: "in a directory of its own", worker: "open:web.conf", workDir: "/usr", hint: "/usr"},
		{name: "panic", worker: "must-open:web.conf", hint: "/"},
		{name: "absolute", worker: "open:" + conf, ok: true},
		{name: "the right directory", worker: "open:web.conf", workDir: dir, ok: true},
		{name: "absolute and missing", worker: "open:" + conf + ".old"},
		{name: "not missing", worker: "open:etc/passwd/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "D_WORKER="+tt.worker, "D_WORKDIR="+tt.workDir)
			want := ""
			if tt.hint != "" {
				want = strings.Replace(hint, "%s", tt.hint, 1)
			}
			for _, way := range []string{"start", "foreground"} {
				if way == "foreground" {
					if tt.ok {
						break // it would stay
					}
					r.env = append(r.env, "D_FOREGROUND=1")
				}
				cmd := r.command(r.helper, "start")
				cmd.Dir = dir
				got := outcome(t, cmd)
				_, after, _ := strings.Cut(got.err, "hint: ")
				if after != "" {
					after = "hint: " + after
				}
				if tt.ok != (got.code == 0) || after != want {
					t.Errorf("%s: got %v\nwant the hint %q", way, got, want)
				}
			}
			if tt.ok {
				if got := r.do("stop"); got.code != 0 {
					t.Errorf("stop: %v", got)
				}
			}
		})
	}
}
