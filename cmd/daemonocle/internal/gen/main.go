// Command gen writes the manual pages of the command daemonocle:
//
//	cd cmd/daemonocle/internal/gen && go run . DIRECTORY
//
// It is a module of its own, so that what makes manuals is not in the command. With
// SOURCE_DATE_EPOCH set the pages bear its date, and are the same each time.
package main

import (
	"fmt"
	"os"

	"github.com/daemonocle/daemonocle/cmd/daemonocle/internal/app"
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
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return doc.GenManTree(app.Tree(), &doc.GenManHeader{Source: "daemonocle", Manual: "User Commands"}, dir)
}
