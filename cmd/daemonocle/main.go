// Command daemonocle turns any command into a Unix daemon:
//
//	daemonocle start --name web -- python3 -m http.server 8000
//	daemonocle status web
//	daemonocle logs -f web
//	daemonocle restart web
//	daemonocle stop web
//
// See "daemonocle --help", and docs/any-command.md for all of it.
package main

import (
	"os"

	"github.com/daemonocle/daemonocle/cmd/daemonocle/internal/app"
)

func main() { os.Exit(app.Main()) }
