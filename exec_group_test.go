//go:build linux

package daemonocle_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func init() { helpers["programs"] = programs }

// programs is a group of D_WORKERS that are D_PROGRAM, which is ready when it says something.
func programs() {
	c := progConfig()
	words := strings.Split(os.Getenv("D_PROGRAM"), "\x1f")
	c.Worker = daemonocle.Program{Name: words[0], Args: words[1:], Env: []string{"NUMBER={n:03}"}, Ready: daemonocle.ReadyLine(regexp.MustCompile(""))}.Worker()
	g, err := daemonocle.NewGroup(c, number("D_WORKERS"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(daemonocle.ExitCode(g.Do(context.Background(), os.Args[1:]...)))
}

func TestGroupOfPrograms(t *testing.T) {
	s := newSubject(t, "programs")
	script := s.path("script")
	write := func(text string) {
		testkit.WriteProgram(t, script, []byte(text))
	}
	write("#!/bin/sh\necho \"$1 $2 $NUMBER\"\nexec sleep 1000\n")
	pidFile := s.path("run/foo{n}.pid")
	s.set("D_NAME=foo{n}", "D_PIDFILE="+pidFile, "D_STDOUT="+s.path("out{n}"), "D_WORKERS=3",
		"D_START_WINDOW=1h", "D_START_TIMEOUT=1h", "D_PROGRAM="+script+"\x1f--port=800{n}\x1f{{}}")
	g, err := daemonocle.NewGroup(daemonocle.Config{Name: "foo{n}", PIDFile: pidFile, Worker: progWorker("")}, 3)
	must(t, err)
	s.launch(s.command("start")).want(printed{out: lineFor("Starting", 0, 1, 2)})
	first := pids(t, g)
	for n, pid := range first {
		testkit.WaitFor(t, fmt.Sprintf("worker %d to sleep", n), func() bool {
			return slurp(fmt.Sprintf("/proc/%d/comm", pid)) == "sleep\n" && testkit.Stat(pid).State == 'S'
		})
		if got, want := slurp(s.path("out"+strconv.Itoa(n))), fmt.Sprintf("--port=800%d {} 00%d\n", n, n); got != want {
			t.Errorf("worker %d says %q, want %q", n, got, want)
		}
	}
	status := s.launch(s.command("status")).wait()
	for n, pid := range first {
		if want := fmt.Sprintf("foo%d -- pid: %d, status: ", n, pid); !strings.Contains(status.out, want) {
			t.Errorf("status: no %q in %q", want, status.out)
		}
	}

	// What cannot be started again is not stopped.
	must(t, os.Rename(script, script+".away"))
	got := s.launch(s.command("restart")).wait()
	if got.code != 1 || got.out != "" || !strings.Contains(got.err, "ERROR: Unable to execute "+script+" (no such file or directory)") {
		t.Errorf("restart without the program: got %+v", got)
	}
	if now := pids(t, g); fmt.Sprint(now) != fmt.Sprint(first) {
		t.Fatalf("got processes %v after %v", now, first)
	}
	must(t, os.Rename(script+".away", script))
	s.launch(s.command("restart")).want(printed{out: lineFor("Stopping", 0, 1, 2) + lineFor("Starting", 0, 1, 2)})
	second := pids(t, g)
	for n := range first {
		if !testkit.Gone(first[n]) || second[n] == 0 || second[n] == first[n] {
			t.Errorf("worker %d was %d and is %d", n, first[n], second[n])
		}
	}
	// One that dies at once does not keep the others from starting.
	s.launch(s.command("stop")).want(printed{out: lineFor("Stopping", 0, 1, 2)})
	write("#!/bin/sh\n[ \"$NUMBER\" != 001 ] || exit 7\necho up\nexec sleep 1000\n")
	got = s.launch(s.command("start")).wait()
	if got.code != 7 || got.out != lineFor("Starting", 0)+"Starting foo1 ... FAILED\n"+lineFor("Starting", 2) || !strings.Contains(got.err, "exit code 7") {
		t.Errorf("start: got %+v", got)
	}
	got = s.launch(s.command("stop")).wait()
	if got.code != 0 || got.out != lineFor("Stopping", 0)+lineFor("Stopping", 2) {
		t.Errorf("stop: got %+v", got)
	}
	s.noProcess()
}

func TestGroupOfProgramsWithABrace(t *testing.T) {
	c := daemonocle.Config{Name: "foo{n}", PIDFile: "/run/foo{n}.pid", Worker: daemonocle.Exec("awk", "{print}")}
	_, err := daemonocle.NewGroup(c, 3)
	if err == nil || strings.Count(err.Error(), "only {n} is known") != 1 || !strings.Contains(err.Error(), "among the arguments of a group's program") {
		t.Errorf("got %v", err)
	}
	if _, err := daemonocle.New(daemonocle.Config{Name: "foo", Worker: c.Worker}); err != nil {
		t.Errorf("a single one: %v", err)
	}
}
