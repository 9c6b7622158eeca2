//go:build linux

package cli_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() { programs["web"] = func() int { return cli.Main(web()) } }

// web is a daemon that counts into its log files. Its directory is in WEB_DIR.
func web() *daemonocle.Daemon {
	dir := os.Getenv("WEB_DIR")
	d, err := daemonocle.New(daemonocle.Config{
		Name: "web", PIDFile: filepath.Join(dir, "web.pid"),
		StdoutFile: filepath.Join(dir, "log", "out.log"), StderrFile: filepath.Join(dir, "log", "err.log"),
		Worker: func(ctx context.Context) error {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			daemonocle.Ready(ctx)
			for n := 1; ; n++ {
				fmt.Println(n)
				fmt.Fprintln(os.Stderr, n)
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
				}
			}
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return d
}

// The example for logrotate succeeds whether the daemon runs or not, and no line of one
// that runs is lost or in the wrong file.
func TestLogrotate(t *testing.T) {
	dir, bin := testkit.TempDir(t), filepath.Join(binDir(t), "web")
	r := testkit.NewRotation(t, "../docs/settings.md", "/var/log/web", filepath.Join(dir, "log"), "/usr/local/bin/web", bin)
	web := func(args ...string) {
		t.Helper()
		cmd := testkit.Helper(t, "program")
		cmd.Path, cmd.Args = bin, append([]string{"web"}, args...)
		cmd.Env = append(cmd.Env, "WEB_DIR="+dir)
		r.Env = cmd.Env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("web %q: %v: %s", args, err, out)
		}
	}
	rotate := func(when string) {
		t.Helper()
		if out, code := r.Run(); code != 0 || out != "" {
			t.Errorf("%s: exit code %d, %s", when, code, out)
		}
	}
	lines := func(name string) []string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, "log", name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.Fields(string(text))
	}

	web("stop") // and r has its environment
	rotate("without a log file")
	web("start")
	t.Cleanup(func() { web("stop", "--timeout=0", "--force") })
	for round := range 3 {
		testkit.WaitFor(t, "lines in the files", func() bool { return len(lines("out.log")) > 0 && len(lines("err.log")) > 0 })
		rotate(fmt.Sprintf("while it runs, round %d", round))
	}
	testkit.WaitFor(t, "lines in the new files", func() bool { return len(lines("out.log")) > 0 && len(lines("err.log")) > 0 })
	web("stop")
	for _, name := range []string{"out.log", "err.log"} {
		n := 0
		for _, file := range []string{".3", ".2", ".1", ""} {
			for _, line := range lines(name + file) {
				if n++; line != fmt.Sprint(n) {
					t.Fatalf("%s%s: line %s, want %d", name, file, line, n)
				}
			}
		}
	}
	rotate("when it has stopped")
	rotate("when there is nothing more to rotate")
}
