package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/daemonocle/daemonocle"
	"github.com/spf13/cobra"
)

var (
	background  = context.Background()
	plainStatus = daemonocle.StatusOptions{Fields: []string{"pid"}}
)

func runCommand() *cobra.Command {
	var given definitionFlags
	var quiet bool
	o := daemonocle.StartOptions{Debug: true}
	cmd := own("run [flags] -- PROGRAM [ARG]...", "Run a program in the foreground.", `
It is prepared as by start. Its output goes where this command's goes, which says what
it does itself on stderr. Under a service manager this very process becomes the program.
Nothing is remembered. With --name it is the daemon of that name while it runs, and not
without. When it is ready is for --notify-fd, and for who is told by NOTIFY_SOCKET.`, func(cmd *cobra.Command, args []string) error {
		if cmd.ArgsLenAtDash() > 0 {
			return misuse("run", fmt.Sprintf("unexpected argument %q", args[0]), `The program comes after "--".`)
		}
		def, err := given.define("run", given.name, args)
		if err != nil {
			return err
		}
		c, err := def.config()
		if err != nil {
			return err
		}
		if given.name == "" {
			c.Layout = nil
		}
		d, err := def.make("run", c)
		if err != nil {
			return err
		}
		if given.name != "" && !daemonocle.Launched() {
			if now := running(background, d); now != nil {
				if different := def.compare(now); different != "" {
					return def.taken("run", now, different)
				}
			}
		}
		out := daemonocle.Output{Out: cmd.ErrOrStderr(), Err: cmd.ErrOrStderr(), Quiet: quiet} // stdout is the program's
		return d.DoWith(background, out, "start", o)
	})
	given.add(cmd, false)
	cmd.Flags().SortFlags = false
	option(cmd.Flags(), "notify-fd", "", "N", "", "Write a newline to this descriptor when the program is ready.", number(&o.NotifyFD, 3, "descriptor from 3 up"))
	complete(cmd, "notify-fd", cobra.NoFileCompletions)
	toggle(cmd.Flags(), &quiet, "quiet", "", "Print nothing but errors.")
	return cmd
}

func reloadCommand() *cobra.Command {
	cmd := own("reload NAME", "Send a daemon the signal to read its configuration again.", `
It is SIGHUP, or what start was told with --reload-signal. Only the daemon's own
process gets it, and only if it does something about it: else the signal would end
it. What the program then does is its own affair.`, func(cmd *cobra.Command, args []string) error {
		name, err := oneName("reload", args)
		if err != nil {
			return err
		}
		d, sig, err := toReload(name)
		if err != nil {
			return err
		}
		s, err := d.Status(background, plainStatus)
		if err != nil {
			return err
		}
		if s.Running && s.PID > 0 && !handles(s.PID, sig) {
			return failure("reload", name, fmt.Errorf("the daemon %s does nothing about %s", name, signalName(sig)),
				"See its manual for the signal it knows, and give start the option --reload-signal; or restart it.")
		}
		pid, err := d.Signal(background, sig)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s sent to %s (PID %d)\n", signalName(sig), name, pid)
		return nil
	})
	cmd.ValidArgsFunction = completeNames
	return cmd
}

func toReload(name string) (*daemonocle.Daemon, syscall.Signal, error) {
	text := ""
	switch def, err := load("reload", name); {
	case err == nil:
		text = def.ReloadSignal
	case !errors.Is(err, fs.ErrNotExist):
		return nil, 0, err
	}
	if text == "" {
		text = "HUP"
	}
	sig, err := parseSignal(text)
	if err != nil {
		return nil, 0, err
	}
	d, err := open(name, "reload")
	return d, sig, err
}

func showCommand() *cobra.Command {
	var asJSON bool
	cmd := own("show NAME", "Show what is remembered of a daemon, and where its files are.", "", func(cmd *cobra.Command, args []string) error {
		name, err := oneName("show", args)
		if err != nil {
			return err
		}
		def, err := load("show", name)
		if errors.Is(err, fs.ErrNotExist) {
			return unknown("show", name)
		}
		if err != nil {
			return err
		}
		at, err := findPlaces()
		if err != nil {
			return err
		}
		files := at.layout(name)
		files.PIDFile = at.found(name)
		out := cmd.OutOrStdout()
		if asJSON {
			e := json.NewEncoder(out)
			e.SetIndent("", "  ")
			if err := e.Encode(shown{def, text(files.PIDFile), text(files.StdoutFile), text(files.StderrFile)}); err != nil {
				return failure("show", name, err, "")
			}
			return nil
		}
		status := "not running"
		if d, err := def.handle("show"); err == nil {
			if s, err := d.Status(background, daemonocle.StatusOptions{}); err == nil && s.Running {
				_, status, _ = strings.Cut(s.String(), " -- ")
			}
		}
		var b strings.Builder
		for _, line := range [][2]string{
			{"status", status},
			{"start", def.commandLine()},
			{"directory", printable(string(def.Directory))},
			{"PID file", printable(files.PIDFile)},
			{"stdout", printable(files.StdoutFile)},
			{"stderr", printable(files.StderrFile)},
			{"remembered", printable(at.stateFile(name))},
		} {
			fmt.Fprintf(&b, "%-11s %s\n", line[0]+":", line[1])
		}
		if files.Warning != "" {
			fmt.Fprintf(&b, "%-11s the PID file %s\n", "note:", files.Warning)
		}
		if _, err := io.WriteString(out, b.String()); err != nil {
			return failure("show", name, err, "")
		}
		return nil
	})
	toggle(cmd.Flags(), &asJSON, "json", "", "Show what is remembered, and where the files are, in JSON format.")
	cmd.ValidArgsFunction = completeNames
	return cmd
}

// shown is a definition with where the daemon's files are.
type shown struct {
	*definition
	PIDFile    text `json:"pid_file"`
	StdoutFile text `json:"stdout_file"`
	StderrFile text `json:"stderr_file"`
}

// commandLine is what one types to start the daemon anew.
func (d *definition) commandLine() string {
	words := []string{"daemonocle", "start", "--name", d.Name}
	option := func(name, value string) {
		if value != "" {
			words = append(words, "--"+name, value)
		}
	}
	option("directory", string(d.Directory))
	for _, v := range d.Env {
		option("env", v)
	}
	option("user", string(d.User))
	option("group", string(d.Group))
	option("umask", d.Umask)
	if d.Nice != 0 {
		words = append(words, fmt.Sprintf("--nice=%d", d.Nice))
	}
	option("signal", d.StopSignal)
	option("stop-timeout", d.StopTimeout)
	option("reload-signal", d.ReloadSignal)
	if d.Notify {
		words = append(words, "--notify")
	}
	option("ready-port", string(d.ReadyPort))
	option("ready-socket", string(d.ReadySocket))
	option("ready-line", string(d.ReadyLine))
	words = append(append(words, "--", string(d.Program)), d.Args...)
	for i, w := range words {
		words[i] = quote(w)
	}
	return strings.Join(words, " ")
}

func forgetCommand() *cobra.Command {
	var logs bool
	cmd := own("forget NAME", "Forget a daemon that does not run.", "", func(cmd *cobra.Command, args []string) error {
		name, err := oneName("forget", args)
		if err != nil {
			return err
		}
		at, err := findPlaces()
		if err != nil {
			return err
		}
		if err := checkStateDir("forget", name, at.state); err != nil {
			return err
		}
		path := at.stateFile(name)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			if _, err := logFiles(name, false, false); !logs || err != nil {
				return unknown("forget", name)
			}
		}
		d, err := (&definition{Name: name}).handle("forget")
		if err != nil {
			return err
		}
		idle := func() error {
			s, err := d.Status(background, plainStatus)
			if err == nil && s.Running {
				return failure("forget", name, fmt.Errorf("the daemon %s is running with PID %d", name, s.PID), `Stop it first: "daemonocle stop `+name+`".`)
			}
			return err
		}
		if err := idle(); err != nil {
			return err
		}
		unlock, err := lockName("forget", name)
		if err != nil {
			return err
		}
		defer unlock()
		if err := idle(); err != nil { // it was being started
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failure("forget", name, err, "")
		}
		os.Remove(filepath.Dir(at.pidFile(name))) // if it is empty
		if logs {
			for _, file := range []string{"out.log", "err.log", "."} {
				err := os.Remove(filepath.Join(at.logDir(name), file))
				if err != nil && !errors.Is(err, fs.ErrNotExist) && file != "." {
					return failure("forget", name, err, "")
				}
			}
		}
		return nil
	})
	toggle(cmd.Flags(), &logs, "logs", "", "Remove its log files as well.")
	cmd.ValidArgsFunction = completeNames
	return cmd
}
