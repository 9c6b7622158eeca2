// Command service is a program with cobra commands of its own and a daemon among
// them:
//
//	service --config my.conf show
//	service --config my.conf server start
//	service server status --json
//	service server stop
//
// The flags of the program have the same values in the daemon's process.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/spf13/cobra"
)

var config string

func main() {
	root := &cobra.Command{Use: "service", Short: "Show how a daemon lives among other commands"}
	root.PersistentFlags().StringVar(&config, "config", "/etc/service.conf", "configuration file")
	root.AddCommand(&cobra.Command{
		Use:   "show",
		Short: "Show the configuration",
		Run:   func(cmd *cobra.Command, args []string) { fmt.Fprintln(cmd.OutOrStdout(), "configuration:", config) },
	})

	d, err := daemonocle.New(daemonocle.Config{
		Name:   "service",
		Layout: daemonocle.XDG,
		Worker: serve,
		Help:   "Run the server in the background.",
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server := cli.Command(d)
	server.Use = "server"
	root.AddCommand(server)

	os.Exit(daemonocle.ExitCode(root.Execute()))
}

func serve(ctx context.Context) error {
	fmt.Println("serving with", config, "and", daemonocle.Args(ctx))
	if err := daemonocle.Ready(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
