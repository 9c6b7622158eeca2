//go:build linux

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// What the README shows is what its reader gets, on a terminal and in colour.
func TestTranscripts(t *testing.T) {
	testkit.Parallel(t)
	for _, name := range []string{"README.md", filepath.Join("docs", "any-command.md")} {
		t.Run(name, func(t *testing.T) { playTranscript(t, filepath.Join("..", "..", name)) })
	}
}

// transcript is the first block of the document that begins with a prompt and our
// command.
func transcript(t *testing.T, document string) string {
	t.Helper()
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "```\n$ daemonocle start ")
	text, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatalf("%s has no transcript", document)
	}
	return "$ daemonocle start " + text
}

func playTranscript(t *testing.T, document string) {
	testkit.Parallel(t)
	for _, program := range []string{"python3", "redis-server", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			testkit.Skip(t, program, err.Error())
		}
	}
	text := transcript(t, document)
	const waits = "--name away --ready-line never --wait 1h --"
	// Ports that are free here, of as many digits.
	var there, here []string
	for _, port := range []string{"8000", "6399", "6400"} {
		free := testkit.FreePort(t)
		there, here = append(there, port, free), append(here, free, port)
	}
	// What goes into the background may do so later than any window ends.
	there, here = append(there, "--name away --", waits), append(here, waits, "--name away --")
	local, back := strings.NewReplacer(there...), strings.NewReplacer(here...)

	h := newHouse(t)
	if err := os.WriteFile(filepath.Join(h.dir, "index.html"), []byte("<h1>hello</h1>\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	pty := testkit.Pty(t)
	shell := exec.Command("sh", "-i")
	shell.Dir = h.dir
	shell.Env = append(h.command("").Env, "PATH="+binOf(t)+":"+os.Getenv("PATH"), "PS1=$ ", "ENV=", "TERM=xterm", "HISTFILE=")
	for i, v := range shell.Env {
		if v == "NO_COLOR=1" {
			shell.Env[i] = "LC_ALL=C"
		}
	}
	shell.Stdin, shell.Stdout, shell.Stderr = pty.Slave, pty.Slave, pty.Slave
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		shell.Process.Kill()
		shell.Wait()
		h.run("stop", "--timeout=0", "--force", "web", "cache")
	})
	asks := func(times int) func() bool {
		return func() bool {
			out := pty.Output()
			return strings.HasSuffix(out, "$ ") && strings.Count(out, "\n$ ")+1 >= times
		}
	}
	testkit.WaitFor(t, "the shell's prompt", asks(1))
	typed := 1
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		if strings.HasPrefix(command, "daemonocle logs") && !strings.Contains(text, "$ curl") {
			visit(t, local.Replace("http://127.0.0.1:8000/")) // somebody has used it
		}
		pty.Type(t, local.Replace(command))
		typed++
		testkit.WaitFor(t, "the end of "+strings.TrimSpace(command), asks(typed))
	}
	raw := pty.Output()
	for _, part := range []string{"Starting web ... \x1b[32mOK\x1b[0m\r\n", "Starting away ... \x1b[31mFAILED\x1b[0m\r\n", "\x1b[31mERROR: "} {
		if !strings.Contains(raw, part) && !strings.Contains(raw, "\r\x1b[K") {
			t.Errorf("no %q on the terminal: %q", part, raw)
		}
	}
	got := strings.TrimSuffix(back.Replace(raw), "$ ")
	if got, want := unchanging(got), unchanging(text); got != want {
		t.Errorf("the terminal shows\n%s\nand %s has\n%s", got, document, want)
	}
}

func binOf(t *testing.T) string {
	t.Helper()
	bin := testkit.TempDir(t)
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(bin, "daemonocle"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func visit(t *testing.T, url string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
}

// unchanging leaves out of a transcript what differs from run to run.
func unchanging(text string) string {
	for _, r := range [][2]string{
		{`[^\n]*\r\x1b\[K`, ""}, // for how long it has been waiting
		{`\x1b\[[0-9;]*[mK]|\r`, ""},
		{`\[\d\d/\w+/\d+ [\d:]+\]`, "[TIME]"},
		{`PID \d+`, "PID N"},
		{`exited with exit code (\d+) before it was ready`, "exited immediately with exit code $1"},
		{`(?m)^(\w+) +[a-z-]+ +\d+ +\dm +[\d.]+ +[\d.]+$`, "$1 sleeping N 0m N N"},
		{`(?m)^NAME .*$`, "NAME"},
		{`127\.0\.0\.1 - - .*\n`, fmt.Sprintln("127.0.0.1 GET")},
	} {
		text = regexp.MustCompile(r[0]).ReplaceAllString(text, r[1])
	}
	return text
}
