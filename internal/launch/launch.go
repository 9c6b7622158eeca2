// Package launch makes a daemon's process and talks with it until the start is
// decided. Go cannot fork, so each new process is the running image executed
// again; see docs/ARCHITECTURE.md for who does what.
//
// One environment variable names a descriptor of a socket pair. It is read and
// unset when this package is initialised, before main, in the stage and in the
// daemon.
package launch

import (
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// env is the variable that marks a launched process: "stage" or "daemon", how many
// daemons, descriptor numbers, with colons between. The odd ending is so that nobody types it.
const env = "DAEMONOCLE_LAUNCH_7QX2"

// Key names the daemon a process was made for. A program may have several.
type Key struct {
	Name    string
	PIDFile string
	Member  string // of a group
}

// Hello is what a daemon's process is told before it starts.
type Hello struct {
	Key        Key
	Foreground bool
	// Deaf: the launcher does not hear the operator's Ctrl-C yet, which ends it
	// instead, until it says Listening.
	Deaf bool
	// Notify is the socket on which the launcher listens for the readiness of
	// the program that the daemon becomes, as in NOTIFY_SOCKET.
	Notify string
	// Predecessor is the PID of the daemon whose place this one takes, 0 if none.
	Predecessor int
	// Generation is 1 for a daemon that is started, and one more for each that a
	// daemon has started to take its place.
	Generation int
	// ReadyFirst: the old daemon goes when this one is ready; else when it is set up.
	ReadyFirst bool
	// Gated: the daemon that runs is to be stopped when this one has come as far as it
	// can beside it.
	Gated bool
	// Jailed: the root directory is the daemon's already.
	Jailed bool
	// Files are names for the files that the daemon inherits, in their order.
	Files []string
	comm  string // process name, which exec of /proc/self/exe would lose
}

// flags are the parts of a hello that are said or not.
func (h *Hello) flags() []flag {
	return []flag{{"foreground", &h.Foreground}, {"deaf", &h.Deaf}, {"ready first", &h.ReadyFirst}, {"gated", &h.Gated}, {"jailed", &h.Jailed}}
}

type flag struct {
	name string
	is   *bool
}

func (h Hello) message() Message {
	var set []string
	for _, f := range h.flags() {
		if *f.is {
			set = append(set, f.name)
		}
	}
	f := []string{strings.Join(set, ","), h.comm, h.Key.Name, h.Key.PIDFile, h.Key.Member, h.Notify}
	return Message{Kind: hello, PID: h.Predecessor, Code: h.Generation, Text: strings.Join(append(f, h.Files...), "\x00")}
}

func parseHello(m Message) (Hello, bool) {
	f := strings.Split(m.Text, "\x00")
	if m.Kind != hello || len(f) < 6 {
		return Hello{}, false
	}
	h := Hello{Predecessor: m.PID, Generation: m.Code, comm: f[1], Key: Key{f[2], f[3], f[4]}, Notify: f[5]}
	set := strings.Split(f[0], ",")
	for _, f := range h.flags() {
		*f.is = slices.Contains(set, f.name)
	}
	if len(f) > 6 {
		h.Files = f[6:]
	}
	return h, true
}

// Passed is a descriptor for a successor, under a name. It stays open here.
type Passed struct {
	Name string
	FD   int
}

// origin is how the program was started: main runs again in the daemon, so it
// must find again what it found then, not what it made of it meanwhile.
var origin struct {
	args, env []string
	dir       string
	comm      string // what ps and pgrep know the process by
	path      string // of the program's file, as it was called; see Locate
}

func init() {
	token, launched := os.LookupEnv(env)
	if launched {
		os.Unsetenv(env)
	}
	origin.args = append([]string(nil), os.Args...)
	origin.env = os.Environ()
	origin.dir = workingDirectory()
	origin.comm = processName()
	if launched {
		enter(token) // the stage never returns
	}
}

// child is this process's end if it was launched.
var child *Child

// Self is this process's end of the launch, or nil if nobody launched it.
func Self() *Child { return child }

// Child is a launched process's end of the socket pair.
type Child struct {
	Hello
	fd        int
	files     []int
	inherited []inherited
	claimed   atomic.Bool

	mu     sync.Mutex // held while writing to fd, so that it is not closed then, and never while anything waits
	closed bool
	conn   *os.File
	queue  []outgoing    // for which the launcher has no room yet
	idle   chan struct{} // closed when the queue is empty again, or given up; nil: it is empty
}

// outgoing is a message on its way, or what is left of it.
type outgoing struct {
	bytes []byte
	note  bool // the next note takes its place
}

// Claim makes this process the daemon it was launched for. Only the first call
// answers true.
func (c *Child) Claim() bool { return c.claimed.CompareAndSwap(false, true) }

// Claimed reports whether Claim has been called.
func (c *Child) Claimed() bool { return c.claimed.Load() }
