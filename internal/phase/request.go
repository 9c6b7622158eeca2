package phase

// Request is how far somebody is who asks a daemon from outside to reload. The process that is
// asked may be about to hand over, and the one that is named next may not listen yet.
type Request uint8

// The states of a request.
const (
	_             Request = iota
	Seeking               // who is the daemon? Nobody has been asked
	Requested             // the process that is named is asked, and its answer is waited for
	SeekingNext           // it has not answered: who is the daemon by now?
	Reloaded              // over: the daemon is reloaded
	NoDaemon              // there is no daemon
	DaemonGone            // there is none any more
	Self                  // it is this process
	DaemonUnnamed         // there is one, but which process it is cannot be told
	RequestFailed         // something has failed, and why has been said

	requests
)

// RequestEvent is something that comes to who asks.
type RequestEvent uint8

// The events of a request. The PID file that is asked for is the one that was there in the beginning: a
// daemon that was started since has another one.
const (
	FindsProcess      RequestEvent = iota // the kernel names a process that was not the last to be asked
	FindsSame                             // it names the one that was
	FindsSelf                             // it names this process
	FindsUnnamed                          // somebody has the lock, and cannot be named
	FindsNone                             // nobody has it
	FindFails                             // whether anybody has it cannot be told
	SaysDone                              // the daemon's answer: it is reloaded
	SaysNo                                // its answer: it is not, and why
	Disconnects                           // it has closed the connection: it is dead, or another process has its place
	NotListening                          // it does not listen, somebody else does in its name, or too many wait there
	StillNotListening                     // the same, and the time in which who becomes the daemon begins to listen is over, or that for all of it
	Unreachable                           // it cannot be asked
	RequestTimesOut                       // the time for all of it is over
	RequestCancelled                      // the caller does not want it any more

	requestEvents
)

// RequestEffect is what follows from an event: a set of the following.
type RequestEffect uint8

// What can follow.
const (
	ShowRequest RequestEffect = 1 << iota // it is certain by now that something is tried
	StartGrace                            // the time begins in which it need not listen
	PauseShort                            // until that process is gone, or a moment
)

// RequestStep is what an event leads to. The zero RequestStep stands for what cannot happen.
type RequestStep struct {
	To Request
	Do RequestEffect
}

// The rules of a request.
var request = [requests][requestEvents]RequestStep{
	Seeking: {
		FindsProcess: {Requested, ShowRequest | StartGrace},
		FindsSelf:    {Self, 0},
		FindsUnnamed: {DaemonUnnamed, 0},
		FindsNone:    {NoDaemon, 0},
		FindFails:    {RequestFailed, 0},
	},
	Requested: {
		SaysDone:          {Reloaded, 0},
		SaysNo:            {RequestFailed, 0},
		Disconnects:       {SeekingNext, StartGrace | PauseShort},
		NotListening:      {SeekingNext, PauseShort},
		StillNotListening: {RequestFailed, 0},
		Unreachable:       {RequestFailed, 0},
		RequestTimesOut:   {RequestFailed, 0},
		RequestCancelled:  {RequestFailed, 0},
	},
	SeekingNext: {
		FindsProcess: {Requested, StartGrace},
		FindsSame:    {Requested, 0},
		FindsSelf:    {Self, 0},
		FindsUnnamed: {DaemonUnnamed, 0},
		FindsNone:    {DaemonGone, 0},
		FindFails:    {RequestFailed, 0},
	},
}

// Next is the step that follows from the event; ok is false if it cannot come in that state, and then
// nothing follows.
func (r Request) Next(e RequestEvent) (s RequestStep, ok bool) {
	if s = request[r][e]; s.To == 0 {
		return RequestStep{r, 0}, false
	}
	return s, true
}

// Over reports whether nothing is left to be asked.
func (r Request) Over() bool { return r >= Reloaded }
