package app

import (
	"os"
	"path/filepath"

	"github.com/daemonocle/daemonocle"
	"github.com/spf13/cobra"
)

func logsCommand() *cobra.Command {
	var lines int
	var follow, onlyOut, onlyErr, again bool
	cmd := own("logs NAME", "Show the last lines that a daemon has written.", `
A daemon has a file for stdout and one for stderr; both are shown, unless one of
them is asked for or empty. With --follow, a line says where a new start begins.

The program itself has the files open. After a rotation that renames them it goes on
writing to the old ones; with --reopen, it writes to the files of these names again,
and the rotated ones keep what was in them.`, func(cmd *cobra.Command, args []string) error {
		name, err := oneName("logs", args)
		if err != nil {
			return err
		}
		if onlyOut && onlyErr {
			return misuse("logs", "--stdout and --stderr contradict each other", `Without them both files are shown.`)
		}
		files, err := logFiles(name, onlyOut, onlyErr)
		if err != nil {
			return err
		}
		if again {
			return reopen(name, files)
		}
		d, err := (&definition{Name: name}).handle("logs")
		if err != nil {
			return err
		}
		if lines == 0 {
			lines = -1 // none
		}
		return d.DoWith(background, outputOf(cmd), "logs", daemonocle.LogsOptions{Lines: lines, Follow: follow, Stdout: onlyOut, Stderr: onlyErr})
	})
	f := cmd.Flags()
	f.SortFlags = false
	lines = 20
	option(f, "lines", "n", "N", "20", "Show the last N lines of each file.", number(&lines, 0, "whole number from 0 up"))
	complete(cmd, "lines", cobra.NoFileCompletions)
	toggle(f, &follow, "follow", "f", "Go on showing what comes, over rotations, until Ctrl-C.")
	toggle(f, &onlyOut, "stdout", "", "Show only what was written to stdout.")
	toggle(f, &onlyErr, "stderr", "", "Show only what was written to stderr.")
	toggle(f, &again, "reopen", "", "After a rotation, let the daemon write to the log files again.")
	cmd.ValidArgsFunction = completeNames
	return cmd
}

// logFile is one of a daemon's.
type logFile struct {
	path   string
	fd     int // which of the program's descriptors
	stream string
}

// logFiles does not care whether the daemon is remembered: its logs may outlive
// that.
func logFiles(name string, onlyOut, onlyErr bool) ([]logFile, error) {
	at, err := findPlaces()
	if err != nil {
		return nil, err
	}
	var files []logFile
	exist := false
	for _, f := range []logFile{{"out.log", 1, "stdout"}, {"err.log", 2, "stderr"}} {
		if onlyOut && f.fd != 1 || onlyErr && f.fd != 2 {
			continue
		}
		f.path = filepath.Join(at.logDir(name), f.path)
		if _, err := os.Stat(f.path); err == nil {
			exist = true
		}
		files = append(files, f)
	}
	if _, err := os.Lstat(at.stateFile(name)); err != nil && !exist {
		return nil, unknown("logs", name)
	}
	return files, nil
}
