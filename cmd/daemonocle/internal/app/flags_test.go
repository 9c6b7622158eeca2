package app

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// foreignWords are those of packages that read numbers and options: no operator knows them.
var foreignWords = []string{"strconv", "parsing", "invalid argument", "pflag", "time:", "flag", "syntax", "regexp:"}

// executed gives what a command line has written, and its exit code.
func executed(args ...string) (stdout, stderr string, code int) {
	root := Tree()
	var o, e bytes.Buffer
	root.SetOut(&o)
	root.SetErr(&e)
	root.SetArgs(args)
	code = execute(root)
	return o.String(), e.String(), code
}

// eachFlag calls see for all flags of all commands.
func eachFlag(see func(path []string, f *pflag.Flag)) {
	root := Tree()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		path := strings.Fields(c.CommandPath())[1:]
		c.Flags().VisitAll(func(f *pflag.Flag) { see(path, f) })
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// Whatever is wrong with an option, the error names it and the value, in our words, and
// means that the call was wrong.
func TestEveryBadValueIsNamed(t *testing.T) {
	// Where any text but an empty one could be right, and what is not.
	special := map[string][]string{
		"name": {"a/b", ".x"}, "env": {"=x"}, "ready-line": {"(", "a**"}, "ready-port": {"banana", "70000", "a:b:c"},
		"directory": nil, "user": nil, "group": nil, "ready-socket": nil,
		"umask": {"9", "1000", "banana"}, "signal": {"banana", "0", "65"}, "reload-signal": {"banana", "-1"},
		"stop-timeout": {"5x", "0", "-1", "99999999999999999999"}, "interval": {"5x", "banana", "-1"}, "nice": {"banana", "1.5", "99999999999999999999"},
		"notify-fd": {"x", "2", "-1"}, "lines": {"banana", "-1"},
	}
	seen := 0
	refused := func(args []string, name, value string) {
		t.Helper()
		seen++
		_, stderr, code := executed(args...)
		first, _, _ := strings.Cut(stderr, "\n")
		if code != 2 || !strings.HasPrefix(first, "ERROR: ") || !strings.Contains(first, name) || !strings.Contains(first, value) {
			t.Errorf("%q: exit code %d, %q", args, code, stderr)
		}
		for _, word := range foreignWords {
			if strings.Contains(first, word) {
				t.Errorf("%q speaks of %q: %q", args, word, stderr)
			}
		}
	}
	eachFlag(func(path []string, f *pflag.Flag) {
		bad, known := special[f.Name]
		if !known {
			bad = []string{"banana"}
		}
		switch f.Value.Type() {
		case "bool":
			bad = []string{"banana", ""}
		default:
			bad = append(slices.Clone(bad), "")
			refused(append(slices.Clone(path), "--"+f.Name), "--"+f.Name, "needs a value")
		}
		for _, value := range bad {
			shown := fmt.Sprintf("%q", value)
			if value == "" {
				shown = ""
			}
			refused(append(slices.Clone(path), "--"+f.Name+"="+value), "--"+f.Name, shown)
			if f.Shorthand != "" && value != "" {
				refused(append(slices.Clone(path), "-"+f.Shorthand+"="+value), "--"+f.Name, shown)
			}
		}
	})
	eachCommand := map[string][]string{}
	eachFlag(func(path []string, _ *pflag.Flag) { eachCommand[strings.Join(path, " ")] = path })
	for _, path := range eachCommand {
		refused(append(slices.Clone(path), "--bogus"), "--bogus", "")
		refused(append(slices.Clone(path), "--bogus=1"), "--bogus", "")
		refused(append(slices.Clone(path), "-Z"), "-Z", "")
		refused(append(slices.Clone(path), "--=x"), "--=x", "")
	}
	// What only the start can know.
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	for _, command := range []string{"start", "run"} {
		for option, value := range map[string]string{"user": "no-such-user", "group": "no-such-group", "directory": "/no/such/directory"} {
			refused([]string{command, "--name", "x", "--" + option, value, "--", "true"}, "--"+option, fmt.Sprintf("%q", value))
		}
	}
	refused([]string{"start", "--signal", "STOP", "--", "true"}, "--signal", "STOP")
	if seen < 150 {
		t.Errorf("only %d command lines were tried", seen)
	}
}

// All options that take a time are read by one parser: what is wrong with one is said in the
// same words, whoever has made the option.
func TestEveryTimeIsRefusedInTheSameWords(t *testing.T) {
	said := map[string]map[string][]string{} // by value and words
	eachFlag(func(path []string, f *pflag.Flag) {
		if f.Value.Type() != "DURATION" && f.Name != "timeout" {
			return
		}
		for _, value := range []string{"soon", "1h30", "5 s", "", "-1", "-1m", "1e10", "99999999999999999999h", "nan", "."} {
			args := append(slices.Clone(path), "--"+f.Name+"="+value)
			_, stderr, code := executed(args...)
			first, _, _ := strings.Cut(stderr, "\n")
			words, is := strings.CutPrefix(first, "ERROR: Option --"+f.Name+": ")
			if !is || code != 2 {
				t.Errorf("%q: exit code %d, %q", args, code, stderr)
			}
			if said[value] == nil {
				said[value] = map[string][]string{}
			}
			said[value][words] = append(said[value][words], strings.Join(args, " "))
		}
	})
	for value, words := range said {
		if len(words) != 1 {
			t.Errorf("%q is refused in different words: %q", value, words)
		}
	}
}

// What a command takes is said once, and in one word.
func TestUsageLines(t *testing.T) {
	commands := map[string][]string{}
	eachFlag(func(path []string, _ *pflag.Flag) { commands[strings.Join(path, " ")] = path })
	for name, path := range commands {
		help, stderr, code := executed(append(slices.Clone(path), "--help")...)
		_, rest, _ := strings.Cut(help, "Usage:\n")
		usage, _, _ := strings.Cut(rest, "\n\n")
		if code != 0 || stderr != "" || usage == "" {
			t.Errorf("%q: exit code %d, %q, %q", name, code, help, stderr)
		}
		for line := range strings.Lines(usage) {
			n := strings.Count(line, "[flags]")
			if strings.Contains(line, "options") || n > 1 || n == 0 && len(path) > 0 && !strings.HasPrefix(name, "completion") {
				t.Errorf("%q: %q", name, line)
			}
		}
		if strings.Contains(help, "\n\n\n") && !strings.HasPrefix(name, "completion") {
			t.Errorf("%q has empty lines: %q", name, help)
		}
	}
}

// What a shell shows beside an option is the sentence of its help.
func TestCompletionShowsWhatHelpDoes(t *testing.T) {
	commands := map[string][]string{}
	eachFlag(func(path []string, f *pflag.Flag) {
		if strings.Contains(f.Usage, "`") {
			t.Errorf("%q: --%s: %q", path, f.Name, f.Usage)
		}
		commands[strings.Join(path, " ")] = path
	})
	for _, path := range commands {
		stdout, _, code := executed(append(append([]string{cobra.ShellCompRequestCmd}, path...), "--")...)
		if code != 0 || strings.Contains(stdout, "`") {
			t.Errorf("%q: exit code %d, %q", path, code, stdout)
		}
	}
}

func TestClosedSetsAreCompleted(t *testing.T) {
	for _, tt := range []struct {
		args        string
		with        []string
		without     []string
		noFilesElse bool
	}{
		{"start --signal=", []string{"TERM", "HUP", "INT", "QUIT", "USR1"}, []string{"STOP", "CHLD", "SIGTERM"}, true},
		{"start --signal=T", []string{"TERM"}, []string{"HUP"}, true},
		{"start --signal=SIGT", []string{"SIGTERM"}, []string{"TERM", "SIGHUP"}, true},
		{"start --reload-signal=", []string{"HUP", "USR1"}, []string{"KILL", "STOP"}, true},
		{"start --color=", []string{"auto", "always", "never"}, nil, true},
		{"status --fields=pid,", []string{"pid,name", "pid,uptime"}, []string{"pid,pid"}, false},
		{"start --nice=", nil, nil, true},
		{"run --umask=", nil, nil, true},
		{"logs --lines=", nil, nil, true},
		{"list --interval=", nil, nil, true},
	} {
		stdout, _, code := executed(append([]string{cobra.ShellCompNoDescRequestCmd}, strings.Fields(tt.args)...)...)
		lines := strings.Split(stdout, "\n")
		has := func(want string) bool {
			return slices.ContainsFunc(lines, func(l string) bool { return l == want || strings.HasSuffix(l, "="+want) })
		}
		for _, want := range tt.with {
			if !has(want) {
				t.Errorf("%s: no %s in %q", tt.args, want, lines)
			}
		}
		for _, other := range tt.without {
			if has(other) {
				t.Errorf("%s: %s in %q", tt.args, other, lines)
			}
		}
		if code != 0 || tt.noFilesElse && !strings.Contains(stdout, ":4\n") {
			t.Errorf("%s: exit code %d, %q", tt.args, code, stdout)
		}
	}
}
