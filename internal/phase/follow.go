package phase

// Follow is how far somebody is who does something with a daemon from outside: stops it,
// signals it, waits for it, or looks at it. Another process may have its place meanwhile.
type Follow uint8

// The states of who follows a daemon.
const (
	_        Follow = iota
	Met             // the kernel names a process for the daemon; a handle of it is opened, and it is asked again
	Held            // the handle is the daemon's: what is to be done is done
	Lost            // the process was gone before anything was done: is there another one?
	MetNext         // as Met, of a process that has come in the place of one that has ended
	HeldNext        // as Held
	Left            // the process has ended: has another one its place?
	Served          // over: it is done
	NotThere        // there is no daemon
	Unnamed         // there is one, but which process it is cannot be told
	Refused         // something has failed, and why has been said

	follows
)

// FollowEvent is something that is seen of a daemon from outside.
type FollowEvent uint8

// The events of a follow. The PID file that is asked for is the one that was there in the beginning: a
// daemon that was started since has another one.
const (
	Proves   FollowEvent = iota // who was named is the daemon still
	Misses                      // that process is gone, or is not the daemon any more
	Outlived                    // it has ended, as was wanted
	Denies                      // it cannot be reached: rights, or another user's process
	Does                        // it is done, and that process is the daemon still
	Sees                        // the kernel names another process for the same file
	SeesOne                     // somebody has the lock of the same file, and cannot be named
	SeesNil                     // nobody has it
	SeesNot                     // whether anybody has it cannot be told
	SeesYet                     // as Sees, once more after the time for all of them is over

	followEvents
)

// The rules of who follows a daemon.
var follow = [follows][followEvents]Follow{
	Met:      {Proves: Held, Misses: Lost, Denies: Refused},
	Held:     {Misses: Lost, Outlived: Left, Denies: Refused, Does: Served},
	Lost:     {Sees: Met, SeesOne: Unnamed, SeesNil: NotThere, SeesNot: Refused, SeesYet: Refused},
	MetNext:  {Proves: HeldNext, Misses: Left, Denies: Refused},
	HeldNext: {Misses: Left, Outlived: Left, Denies: Refused, Does: Served},
	Left:     {Sees: MetNext, SeesOne: Unnamed, SeesNil: Served, SeesNot: Refused, SeesYet: Refused},
}

// Next is the state that follows from the event; ok is false if it cannot come in that state, and
// then nothing follows.
func (f Follow) Next(e FollowEvent) (to Follow, ok bool) {
	if to = follow[f][e]; to == 0 {
		return f, false
	}
	return to, true
}

// Over reports whether nothing is left to be done.
func (f Follow) Over() bool { return f >= Served }
