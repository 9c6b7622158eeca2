package cli_test

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/spf13/cobra"
)

// pretend is a worker.
func pretend(ctx context.Context) error {
	if err := daemonocle.Ready(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// A program with the whole command line: start, stop, restart and status, with
// their options, help, and completion.
//
// In Python:
//
//	@click.command(cls=DaemonCLI, daemon_params={'pid_file': '/var/run/example.pid'})
//	def main():
//	    """This is my awesome daemon. It pretends to do work in the background."""
func ExampleMain() {
	os.Args = []string{"example", "status"} // only so that the example has an output

	d, err := daemonocle.New(daemonocle.Config{
		Name:    "example",
		PIDFile: "/var/run/daemonocle_example.pid",
		Worker:  pretend,
		Help:    "This is my awesome daemon. It pretends to do work in the background.",
	})
	if err != nil {
		log.Fatal(err)
	}
	code := cli.Main(d) // os.Exit(cli.Main(d))
	fmt.Println("exit code", code)
	// Output:
	// example -- not running
	// exit code 1
}

// The same without cobra: the core takes the options as values, wherever they
// come from.
func Example_flag() {
	os.Args = []string{"example", "-json", "status"} // only so that the example has an output

	d, err := daemonocle.New(daemonocle.Config{
		Name:    "flagged",
		PIDFile: "/var/run/daemonocle_flagged.pid",
		Worker:  pretend,
	})
	if err != nil {
		log.Fatal(err)
	}
	flags := flag.NewFlagSet("example", flag.ExitOnError)
	var start daemonocle.StartOptions
	var out daemonocle.Output
	flags.BoolVar(&start.Debug, "debug", false, "do not detach")
	flags.BoolVar(&out.JSON, "json", false, "print JSON")
	flags.Parse(os.Args[1:])

	ctx := context.Background()
	if flags.Arg(0) == "start" {
		err = d.DoWith(ctx, out, "start", start, flags.Args()[1:]...)
	} else {
		err = d.DoWith(ctx, out, flags.Arg(0), nil)
	}
	fmt.Println("exit code", daemonocle.ExitCode(err))
	// Output:
	// {"name": "flagged", "status": "dead"}
	// exit code 1
}

// fullStatus is an action: a func, and the options that it wants.
func fullStatus(ctx context.Context, c *daemonocle.Call, o struct {
	Verbose bool `short:"v" help:"Tell more."`
}) error {
	s, err := c.Daemon.Status(ctx, daemonocle.StatusOptions{})
	fmt.Fprintf(c.Out, "%s is %s, verbose: %v\n", s.Name, s.State, o.Verbose)
	return err
}

// An action of one's own is one func and one line. In Python it is a method with
// @expose_action.
func Example_action() {
	d, err := daemonocle.New(daemonocle.Config{
		Name:    "acting",
		PIDFile: "/var/run/daemonocle_acting.pid",
		Worker:  pretend,
		Actions: []daemonocle.Action{
			daemonocle.NewAction("full-status", "Get more detailed status of the daemon.", fullStatus),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	cmd := cli.Command(d)
	cmd.SetArgs([]string{"full-status", "-v"}) // acting full-status -v
	if err := cmd.Execute(); err != nil {
		log.Fatal(err)
	}
	// Output: acting is dead, verbose: true
}

// An action may take the place of a built-in one, and call it.
func Example_replace() {
	d, err := daemonocle.New(daemonocle.Config{
		Name:    "replacing",
		PIDFile: "/var/run/daemonocle_replacing.pid",
		Worker:  pretend,
		Actions: []daemonocle.Action{
			daemonocle.NewAction("stop", "Stop the daemon, and tell everybody.",
				func(ctx context.Context, c *daemonocle.Call, o daemonocle.StopOptions) error {
					fmt.Fprintln(c.Out, "dear all,")
					return c.Builtin(ctx, o)
				}),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	cmd := cli.Command(d)
	cmd.SetArgs([]string{"stop", "--timeout=5", "--quiet"})
	fmt.Println("exit code", daemonocle.ExitCode(cmd.Execute()))
	// Output:
	// dear all,
	// exit code 0
}

// A program that was there before gets a daemon: myapp service start, myapp
// service stop, and so on. Its own flags are seen by the worker, because main runs
// in the daemon's process, too.
func ExampleAddTo() {
	root := &cobra.Command{Use: "myapp", SilenceUsage: true}
	config := root.PersistentFlags().String("config", "/etc/myapp.conf", "configuration file")

	d, err := daemonocle.New(daemonocle.Config{
		Name:    "myapp",
		PIDFile: "/var/run/daemonocle_myapp.pid",
		Worker: func(ctx context.Context) error {
			log.Println("working with", *config)
			return pretend(ctx)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	service := &cobra.Command{Use: "service", Short: "Control the service"}
	if err := cli.AddTo(service, d); err != nil {
		log.Fatal(err)
	}
	root.AddCommand(service)

	root.SetArgs([]string{"service", "status", "--config", "my.conf"}) // not in a real program
	fmt.Println("exit code", daemonocle.ExitCode(root.Execute()))
	// Output:
	// myapp -- not running
	// exit code 1
}

// Command makes one command with everything below it. It can have any name.
func ExampleCommand() {
	d, err := daemonocle.New(daemonocle.Config{
		Name:    "commanded",
		PIDFile: "/var/run/daemonocle_commanded.pid",
		Worker:  pretend,
		Help:    "Serve the files of a directory.",
	})
	if err != nil {
		log.Fatal(err)
	}
	server := cli.Command(d)
	server.Use = "server"

	root := &cobra.Command{Use: "myapp"}
	root.AddCommand(server)
	root.SetArgs([]string{"server", "start", "--help"})
	if err := root.Execute(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Start the daemon.
	//
	// Usage:
	//   myapp server start [ARG]... [flags]
	//
	// Flags:
	//       --debug                       Do NOT detach and run in the background.
	//       --wait DURATION               How long to wait for the daemon to be ready.
	//       --notify-fd N                 Write a newline to this descriptor when the daemon is ready.
	//       --json                        Show the outcome in JSON format.
	//       --quiet                       Print nothing but errors.
	//       --color [auto|always|never]   Use colours. (default auto)
	//   -h, --help                        Show this message and exit.
}
