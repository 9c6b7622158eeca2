// Package daemonocle turns a program into a Unix daemon that knows what it is
// doing: start, stop, restart and status tell the truth, at once.
//
//	func main() {
//		d, err := daemonocle.New(daemonocle.Config{
//			Name:   "example",
//			Layout: daemonocle.XDG,
//			Worker: serve, // func(ctx context.Context) error
//		})
//		if err != nil {
//			log.Fatal(err)
//		}
//		os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
//	}
//
// # Two processes
//
// Start, Stop, Restart, Status, Wait and RequestReload are for the outside: a
// launcher's process. Run, Ready, From, Args, Reload and ReopenLogs are for the
// inside: the daemon's. Go cannot fork, so the daemon is this program executed again, with
// the same arguments: main runs again there, up to the first Start, Restart, Run
// or Do on that daemon, which becomes the daemon and ends the process.
// Launched tells main that it is in such a process.
//
//	         Start                 Ready                SIGTERM
//	(none) --------> starting -------------> running ------------> stopping --> (none)
//	                    |      or lived 1 s
//	                    +--> died: Start returns its code and its words
//
// # What is promised
//
// Start distinguishes four outcomes: ready, died (with the daemon's own reason),
// still starting, already running. Of many launchers at once one starts a
// daemon. Only the process that holds the lock of the PID file is ever
// signalled, whatever number stands in it. After a change of user it is proved
// that there is no way back. Nothing of ours reaches the worker's children.
//
// # What is not
//
// Record locks on network file systems are as good as the file system's. A
// worker that ignores its context cannot be stopped without force. On macOS and
// the BSDs a signal goes to a process number whose start was compared just
// before, not to a process; see docs/ARCHITECTURE.md.
package daemonocle
