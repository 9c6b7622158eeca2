package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"github.com/spf13/cobra"
)

// program is what the test binary is for scripts and other tests: the one of
// these that it was called as.
func program() {
	main := programs[filepath.Base(os.Args[0])]
	if main == nil {
		fmt.Fprintf(os.Stderr, "no program is called %s\n", os.Args[0])
		os.Exit(99)
	}
	os.Exit(main())
}

var programs = map[string]func() int{
	"foo":   func() int { return cli.Main(foo()) },
	"pool":  func() int { return cli.Main(pool()) },
	"myapp": func() int { return daemonocle.ExitCode(myapp(foo()).Execute()) },
}

func TestMain(m *testing.M) { testkit.Main(m, map[string]func(){"program": program}) }

// foo is a daemon with actions of all kinds. Its worker logs its arguments.
func foo() *daemonocle.Daemon {
	d, err := daemonocle.New(fooConfig())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return d
}

// pool is a group of three of them.
func pool() *daemonocle.Group {
	c := fooConfig()
	c.Name, c.PIDFile = "pool{n}", "pool{n}.pid"
	g, err := daemonocle.NewGroup(c, 3)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return g
}

func fooConfig() daemonocle.Config {
	return daemonocle.Config{
		Name:       "foo",
		PIDFile:    "foo.pid",
		StdoutFile: "foo.log",
		StderrFile: "foo.log",
		Worker:     work,
		// A busy machine may be slow to come to the worker's end, or its word.
		StartWindow: time.Hour,
		Help:        "Foo does nothing, and does it in the background.\n\nIt is here for the tests.",
		Actions: []daemonocle.Action{
			daemonocle.NewAction("foo", "Wibble a number.", wibble),
			daemonocle.NewAction("bar", "Wubble, and flub.", bar),
			daemonocle.NewAction("fetch", "Fetch something.", fetch),
			daemonocle.NewAction("crash", "Panic.", func(_ context.Context, c *daemonocle.Call, _ struct{}) error {
				fmt.Fprintln(c.Out, "before the crash")
				panic("banana")
			}),
			daemonocle.NewAction("fail", "Fail.", func(_ context.Context, c *daemonocle.Call, o struct{ Code int }) error {
				if o.Code != 0 {
					return &daemonocle.ExitError{Code: o.Code, Message: "goodbye world"}
				}
				return errors.New("no luck")
			}),
			daemonocle.NewAction("raw", "Print as it likes.", func(_ context.Context, c *daemonocle.Call, o struct {
				JSON bool `name:"json" help:"In JSON."`
			}) error {
				_, err := fmt.Fprintln(c.Out, "my own")
				return err
			}),
			daemonocle.NewAction("pid", "Print the PID.", func(ctx context.Context, c *daemonocle.Call, _ struct{}) error {
				s, err := c.Daemon.Status(ctx, daemonocle.StatusOptions{})
				if err == nil {
					fmt.Fprintln(c.Out, s.PID)
				}
				return err
			}),
		},
	}
}

func work(ctx context.Context) error {
	fmt.Println("args:", strings.Join(daemonocle.Args(ctx), " "))
	if flag := ctx.Value(configKey{}); flag != nil {
		fmt.Println("config:", flag)
	}
	switch args := daemonocle.Args(ctx); {
	case slices.Contains(args, "die"):
		return &daemonocle.ExitError{Code: 42}
	case slices.Contains(args, "fail"):
		return errors.New("banana")
	case slices.Contains(args, "deaf"):
		daemonocle.Ready(ctx)
		select {}
	case slices.Contains(args, "slow"): // never ready
		<-ctx.Done()
		return nil
	}
	if err := daemonocle.Ready(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func wibble(_ context.Context, c *daemonocle.Call, o struct {
	Wibble int `required:"true" help:"How often."`
}) error {
	fmt.Fprintf(c.Out, "wibble: %d\n", o.Wibble)
	c.Result = struct{ Times int }{o.Wibble}
	return nil
}

func bar(_ context.Context, c *daemonocle.Call, o struct {
	Wubble bool `help:"Wubble."`
	Flub   bool `default:"true" help:"Flub."`
}) error {
	fmt.Fprintf(c.Out, "wubble: %v, flub: %v\n", o.Wubble, o.Flub)
	return nil
}

func fetch(_ context.Context, c *daemonocle.Call, o struct {
	URL    string        `short:"u" env:"FOO_URL" required:"true" help:"What to fetch."`
	Mode   string        `enum:"fast,careful" default:"careful" help:"How."`
	Tag    []string      `short:"t" help:"One of its tags."`
	Labels []string      `sep:"," help:"Its labels."`
	Rate   float64       `default:"1.5" help:"How many a second."`
	Within time.Duration `default:"10s" help:"How long it may take."`
	Since  time.Time     `help:"Only what is younger."`
}) error {
	fmt.Fprintf(c.Out, "%s %s %q %q %g %v", o.URL, o.Mode, o.Tag, o.Labels, o.Rate, o.Within)
	if !o.Since.IsZero() {
		fmt.Fprintf(c.Out, " %s", o.Since.Format(time.DateOnly))
	}
	fmt.Fprintf(c.Out, " %q\n", c.Args)
	return nil
}

type configKey struct{}

// myapp is a program that was there before the daemon: it has persistent flags,
// one of which has the name of an option of ours, a PersistentPreRun, groups, and
// commands.
func myapp(p cli.Program) *cobra.Command {
	root := &cobra.Command{Use: "myapp", Short: "My own program"}
	config := root.PersistentFlags().StringP("config", "c", "none", "configuration file")
	root.PersistentFlags().Bool("debug", false, "log everything")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if *config == "broken" {
			return errors.New("the configuration is broken")
		}
		if on, _ := cmd.Flags().GetBool("debug"); on {
			fmt.Fprintln(cmd.ErrOrStderr(), "myapp is debugging")
		}
		cmd.SetContext(context.WithValue(cmd.Context(), configKey{}, *config))
		return nil
	}
	root.AddGroup(&cobra.Group{ID: "own", Title: "Own Commands:"})
	root.AddCommand(&cobra.Command{Use: "hello", GroupID: "own", Short: "Say hello",
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "hello") }})
	service := cli.Command(p)
	service.Use = "service"
	root.AddCommand(service)
	return root
}
