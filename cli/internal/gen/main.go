// Command gen writes the manual pages of a program with a daemon's command line:
//
//	cd cli/internal/gen && go run . DIRECTORY
//
// It is a module of its own so that what makes manuals is in nobody's program,
// nor in the list of modules of those who use the library. It is also what to
// copy for a program of your own: make the tree, then call doc.GenManTree.
//
// With SOURCE_DATE_EPOCH set the pages bear its date, and are the same each time.
package main

import (
	"fmt"
	"os"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	root, err := tree()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return doc.GenManTree(root, &doc.GenManHeader{Source: root.Name(), Manual: "User Commands"}, dir)
}

// tree is that of a program with the built-in actions.
func tree() (*cobra.Command, error) {
	d, err := daemonocle.New(daemonocle.Config{Name: "myapp", Help: "Do my work in the background."})
	if err != nil {
		return nil, err
	}
	return cli.Command(d), nil
}
