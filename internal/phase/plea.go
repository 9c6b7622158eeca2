package phase

// Plea is how far somebody is who asks a daemon from outside to reload. The process that is
// asked may be about to hand over, and the one that is named next may not listen yet.
type Plea uint8

// The states of a plea.
const (
	_           Plea = iota
	Seeking          // who is the daemon? Nobody has been asked
	Pleading         // the process that is named is asked, and its answer is waited for
	SeekingNext      // it has not answered: who is the daemon by now?
	Fulfilled        // over: the daemon is reloaded
	Nobody           // there is no daemon
	Bereft           // there is none any more
	Itself           // it is this process
	Nameless         // there is one, but which process it is cannot be told
	Rejected         // something has failed, and why has been said

	pleas
)

// Echo is something that comes to who pleads.
type Echo uint8

// The echoes. The PID file that is asked for is the one that was there in the beginning: a
// daemon that was started since has another one.
const (
	Shows       Echo = iota // the kernel names a process that was not the last to be asked
	ShowsSame               // it names the one that was
	ShowsSelf               // it names this process
	ShowsOne                // somebody has the lock, and cannot be named
	ShowsNil                // nobody has it
	ShowsNot                // whether anybody has it cannot be told
	SaysDone                // the daemon's answer: it is reloaded
	SaysNo                  // its answer: it is not, and why
	SaysNothing             // it has closed the connection: it is dead, or another process has its place
	Deaf                    // it does not listen, or somebody else does in its name
	DeafStill               // the same, and it has had the time in which who becomes the daemon begins to listen
	Unheard                 // it cannot be asked
	PleaTired               // the time for all of it is over
	PleaOver                // the caller does not want it any more

	echoes
)

// Resort is what follows from an echo: a set of the following.
type Resort uint8

// What can follow.
const (
	ShowPlea   Resort = 1 << iota // it is certain by now that something is tried
	StartTrust                    // the time begins in which it need not listen
	PauseShort                    // until that process is gone, or a moment
)

// Reaction is what an echo leads to. The zero Reaction stands for what cannot happen.
type Reaction struct {
	To Plea
	Do Resort
}

// The rules of a plea.
var plea = [pleas][echoes]Reaction{
	Seeking: {
		Shows:     {Pleading, ShowPlea | StartTrust},
		ShowsSelf: {Itself, 0},
		ShowsOne:  {Nameless, 0},
		ShowsNil:  {Nobody, 0},
		ShowsNot:  {Rejected, 0},
	},
	Pleading: {
		SaysDone:    {Fulfilled, 0},
		SaysNo:      {Rejected, 0},
		SaysNothing: {SeekingNext, StartTrust | PauseShort},
		Deaf:        {SeekingNext, PauseShort},
		DeafStill:   {Rejected, 0},
		Unheard:     {Rejected, 0},
		PleaTired:   {Rejected, 0},
		PleaOver:    {Rejected, 0},
	},
	SeekingNext: {
		Shows:     {Pleading, StartTrust},
		ShowsSame: {Pleading, 0},
		ShowsSelf: {Itself, 0},
		ShowsOne:  {Nameless, 0},
		ShowsNil:  {Bereft, 0},
		ShowsNot:  {Rejected, 0},
	},
}

// Next is what follows from the echo; ok is false if it cannot come in that state, and then
// nothing follows.
func (p Plea) Next(e Echo) (r Reaction, ok bool) {
	if r = plea[p][e]; r.To == 0 {
		return Reaction{p, 0}, false
	}
	return r, true
}

// Over reports whether nothing is left to be asked.
func (p Plea) Over() bool { return p >= Fulfilled }
