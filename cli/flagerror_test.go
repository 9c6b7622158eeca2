package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// foreignWords are those of packages that read numbers and options: no operator knows them.
var foreignWords = []string{"strconv", "parsing", "invalid argument", "pflag", "time:", "flag", "syntax"}

// Whatever is wrong with an option of any of our commands, the error names it and the
// value, in our words, and means that the call was wrong.
func TestEveryBadValueIsNamed(t *testing.T) {
	type options struct {
		Switch   bool
		On       bool `default:"true"`
		Whole    int  `short:"w"`
		Small    int8
		Natural  uint
		Real     float64
		How      time.Duration
		One      string   `enum:"tcp,udp"`
		Several  []int    `sep:","`
		Some     []string `enum:"a,b" short:"s"`
		Must     uint16   `required:"true"`
		Required int      `required:"true" env:"CLI_TEST_REQUIRED"`
	}
	config := daemonocle.Config{Name: "bad{n}", PIDFile: filepath.Join(t.TempDir(), "bad{n}.pid"), NoArgs: true,
		Worker: func(context.Context) error { return nil },
		Actions: []daemonocle.Action{daemonocle.NewAction("own", "Do.", func(context.Context, *daemonocle.Call, options) error {
			t.Error("it was done")
			return nil
		})}}
	d, err := daemonocle.New(config)
	if err != nil {
		t.Fatal(err)
	}
	g, err := daemonocle.NewGroup(config, 3)
	if err != nil {
		t.Fatal(err)
	}
	under := func(p cli.Program) func() *cobra.Command {
		return func() *cobra.Command {
			root := &cobra.Command{Use: "host"}
			root.PersistentFlags().Bool("force", false, "The host's own.")
			service := &cobra.Command{Use: "service"}
			if err := cli.AddTo(service, p); err != nil {
				t.Fatal(err)
			}
			root.AddCommand(service)
			return root
		}
	}
	for name, tree := range map[string]func() *cobra.Command{
		"daemon":    func() *cobra.Command { return cli.Command(d) },
		"group":     func() *cobra.Command { return cli.Command(g) },
		"in a tree": under(d), "group in a tree": under(g),
	} {
		t.Run(name, func(t *testing.T) {
			seen := 0
			refused := func(path []string, name, value string, words ...string) {
				t.Helper()
				seen++
				_, stderr, err := execute(tree(), append(slices.Clone(path), words...)...)
				first, _, _ := strings.Cut(stderr, "\n")
				if !errors.Is(err, daemonocle.ErrUsage) || daemonocle.ExitCode(err) != 2 || !daemonocle.Shown(err) ||
					!strings.HasPrefix(first, "ERROR: ") || !strings.Contains(first, name) || !strings.Contains(first, value) {
					t.Errorf("%q %q: exit code %d, %q", path, words, daemonocle.ExitCode(err), stderr)
				}
				for _, word := range foreignWords {
					if strings.Contains(first, word) {
						t.Errorf("%q %q speaks of %q: %q", path, words, word, stderr)
					}
				}
			}
			ours := func(c *cobra.Command) bool {
				return !c.HasSubCommands() && c.Name() != "help" && c.Parent().Name() != "completion"
			}
			eachCommand(tree(), func(path []string, c *cobra.Command) {
				if !ours(c) {
					return
				}
				c.LocalFlags().VisitAll(func(f *pflag.Flag) {
					bad := []string{"banana", ""}
					if f.Value.Type() == "DURATION" || f.Name == "timeout" {
						bad = append(bad, "5x", "1e300", "99999999999999999999s")
					}
					if f.Name == "wait" || f.Name == "timeout" || f.Name == "interval" || f.Name == "natural" {
						bad = append(bad, "-1")
					}
					for _, value := range bad {
						refused(path, "--"+f.Name, fmt.Sprintf("%q", value), "--"+f.Name+"="+value)
						if f.Shorthand != "" && value != "" {
							refused(path, "--"+f.Name, fmt.Sprintf("%q", value), "-"+f.Shorthand+"="+value)
						}
					}
					if f.NoOptDefVal == "" {
						refused(path, "--"+f.Name, "needs a value", "--"+f.Name)
					}
				})
				refused(path, "--bogus", "", "--bogus")
				refused(path, "-Z", "", "-Z")
				refused(path, "--=x", "", "--=x")
				if c.Name() != "own" {
					refused(path, `"some"`, `"thing"`, "some", "thing")
				}
			})
			if seen < 150 {
				t.Errorf("only %d command lines were tried", seen)
			}
		})
	}
}

func eachCommand(root *cobra.Command, see func(path []string, c *cobra.Command)) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if path := strings.Fields(c.CommandPath())[1:]; len(path) > 0 {
			see(path, c)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// A program's own flags, of pflag's types, get the same words, and those of its own types keep
// theirs.
func TestFlagErrorSpeaksOfAnyFlag(t *testing.T) {
	set := pflag.NewFlagSet("own", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Bool("bool", false, "")
	set.Int("int", 0, "")
	set.Int8("int8", 0, "")
	set.Count("count", "")
	set.Uint16("uint16", 0, "")
	set.Float64("float", 0, "")
	set.Duration("duration", 0, "")
	set.IntSlice("ints", nil, "")
	set.DurationSlice("durations", nil, "")
	set.IP("ip", nil, "")
	set.IPNet("net", net.IPNet{}, "")
	set.BytesHex("hex", nil, "")
	set.StringToInt("map", nil, "")
	set.VisitAll(func(f *pflag.Flag) {
		err := set.Parse([]string{"--" + f.Name + "=banana"})
		text := cli.FlagError(err).Error()
		if want := "option --" + f.Name + `: "banana" is n`; !strings.HasPrefix(text, want) {
			t.Errorf("%q does not begin with %q", text, want)
		}
		for _, word := range foreignWords {
			if strings.Contains(text, word) {
				t.Errorf("--%s: %q speaks of %q", f.Name, text, word)
			}
		}
	})
	set.Var(theirs{}, "own", "")
	if got := cli.FlagError(set.Parse([]string{"--own=x"})).Error(); got != "option --own: their own words" {
		t.Errorf("a type of the program's: %q", got)
	}
	own := errors.New("read the manual")
	if got := cli.FlagError(own); got != own {
		t.Errorf("another error: %v", got)
	}
	if cli.FlagError(nil) != nil {
		t.Error("nothing is wrong")
	}
}

type theirs struct{}

func (theirs) Set(string) error { return errors.New("their own words") }
func (theirs) String() string   { return "" }
func (theirs) Type() string     { return "THEIRS" }
