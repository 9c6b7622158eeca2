package cli_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/reference.md")

// TestReferenceIsCurrent holds docs/reference.md to what the commands say of
// themselves.
func TestReferenceIsCurrent(t *testing.T) {
	d, err := daemonocle.New(daemonocle.Config{Name: "myapp", Help: "Your own words, from Config.Help.", StdoutFile: "out.log", StderrFile: "err.log"})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Commands\n\nWhat a program `myapp` with `cli.Main` has; `logs` is there with a StdoutFile or StderrFile. Written by `go test ./cli -run Reference -update`; do not edit.\n")
	var write func(c *cobra.Command)
	write = func(c *cobra.Command) {
		b.WriteString("\n## " + c.CommandPath() + "\n\n```text\n" + mustExecuteHelp(t, c) + "```\n")
		for _, sub := range c.Commands() {
			write(sub)
		}
	}
	write(cli.Command(d))

	file := filepath.Join("..", "docs", "reference.md")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		testkit.Skip(t, "source", err.Error())
	}
	if got := b.String(); got != string(want) {
		t.Errorf("%s is not what the commands say. If that is meant: go test ./cli -run Reference -update\n%s", file, got)
	}
}

// mustExecuteHelp gives what --help prints.
func mustExecuteHelp(t *testing.T, c *cobra.Command) string {
	t.Helper()
	var b strings.Builder
	c.SetOut(&b)
	defer c.SetOut(nil)
	if err := c.Help(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
