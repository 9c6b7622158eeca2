// Command short has the whole command line of a daemon.
package main

import (
	"context"
	"os"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
)

func main() {
	d, err := daemonocle.New(daemonocle.Config{Name: "short", Layout: daemonocle.XDG, Worker: work})
	if err != nil {
		panic(err)
	}
	os.Exit(cli.Main(d))
}

func work(ctx context.Context) error { <-ctx.Done(); return nil }
