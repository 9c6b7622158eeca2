// Package phase is the protocol of a daemon's life, as tables: in which state what can
// happen, and what follows. It knows no time, no process and no goroutine; whoever
// does what a table says has these.
//
// Each table has a file, and four types there, as those of a life: the states (Life), what can happen
// (LifeEvent), a set of what follows (LifeEffect), and what an event leads to, which is a state and such
// a set (LifeStep). A successor has the events and effects of a launch; of a follow only a state follows.
package phase

// Life is how far a process is on its way from its begin to its end.
type Life uint8

// The states of a life. A daemon that is reloaded has two processes for a while: this
// one, and its successor.
const (
	_         Life = iota
	ComingUp       // the process is made what the settings say
	CutOff         // the same, and somebody has asked for the end
	Working        // the worker works
	Handing        // the worker works; the successor, which is ready, is being given the lock
	HandingOn      // the same, but the worker has ended
	Stopping       // the worker is to end, or has ended, and with it the daemon
	Parting        // the worker is to end, and the successor waits for the end of this process
	Recalled       // the same, but there shall be no successor, since somebody has asked for the end
	Parted         // the successor takes over with the end of this process, whatever happens
	Finishing      // the successor is the daemon; the worker finishes what it has begun

	lives
)

// LifeEvent is something that happens in a life.
type LifeEvent uint8

// The events of a life.
const (
	Begin       LifeEvent = iota // the worker begins
	End                          // somebody asks for the end: a signal, a context, a cancelled start
	WorkerEnded                  // by itself, or because it was to; or it was abandoned
	Leave                        // a reload: the successor has come up, and waits for the end of this process
	Hand                         // a reload: the successor is ready, and is to be given the lock
	Handed                       // it has it
	Failed                       // it has not, and is dead
	Depart                       // nothing but the end is left to do, and the successor knows that

	lifeEvents
)

// LifeEffect is what follows from an event: a set of the following.
type LifeEffect uint16

// What can follow.
const (
	Note            LifeEffect = 1 << iota // note by which signal the end was asked for
	TellStopping                           // tell the service manager
	SayReady                               // tell a launcher that listens still: the daemon has come up
	EndContext                             // end the worker's context, with the event's cause
	CancelSuccessor                        // there shall be none
	PassOn                                 // SIGTERM to the successor
	CutShort                               // a signal that asks once more cuts the goodbye short
	Remember                               // keep the event until it is clear whose it is
	Repeat                                 // what was kept happens now
	PassKept                               // PassOn, if anything was kept
	Refuse                                 // tell the one who wants it that the daemon ends
)

// LifeStep is what an event leads to. The zero LifeStep stands for what cannot happen.
type LifeStep struct {
	To Life
	Do LifeEffect
}

// The rules of a life.
var life = [lives][lifeEvents]LifeStep{
	ComingUp: {
		Begin: {Working, 0},
		End:   {CutOff, Note | TellStopping | EndContext},
	},
	CutOff: { // the worker is called all the same: it may have to give back what hooks have made
		Begin: {Stopping, 0},
		End:   {CutOff, CutShort},
	},
	Working: {
		End:         {Stopping, Note | TellStopping | EndContext},
		WorkerEnded: {Stopping, TellStopping},
		Leave:       {Parting, SayReady | EndContext},
		Hand:        {Handing, 0},
	},
	Handing: { // whose the end is that somebody asks for is not clear before Handed or Failed
		End:         {Handing, Remember},
		WorkerEnded: {HandingOn, 0},
		Handed:      {Finishing, SayReady | EndContext | PassKept},
		Failed:      {Working, Repeat},
	},
	HandingOn: {
		End:    {HandingOn, Remember},
		Handed: {Finishing, SayReady | EndContext | PassKept},
		Failed: {Stopping, TellStopping | Repeat},
	},
	Stopping: {
		End:         {Stopping, EndContext | CutShort},
		WorkerEnded: {Stopping, 0},
		Leave:       {Stopping, Refuse},
		Hand:        {Stopping, Refuse},
	},
	Parting: {
		End:         {Recalled, TellStopping | CancelSuccessor},
		WorkerEnded: {Parting, 0},
		Depart:      {Parted, 0},
	},
	Recalled: {
		End:         {Recalled, CutShort},
		WorkerEnded: {Recalled, 0},
		Depart:      {Recalled, 0},
	},
	Parted: {
		End: {Parted, PassOn},
	},
	Finishing: {
		End:         {Finishing, CutShort},
		WorkerEnded: {Finishing, 0},
	},
}

// Next is the step that follows from the event; ok is false if it cannot happen in that
// state, and then nothing follows.
func (l Life) Next(e LifeEvent) (s LifeStep, ok bool) {
	if s = life[l][e]; s.To == 0 {
		return LifeStep{l, 0}, false
	}
	return s, true
}

// Begun reports whether the worker has been called.
func (l Life) Begun() bool { return l != ComingUp && l != CutOff }

// Ending reports whether this process is on its way out.
func (l Life) Ending() bool {
	return l != ComingUp && l != Working && l != Handing
}

// Left reports whether another process is the daemon, or will be when this one has
// ended, or would have been.
func (l Life) Left() bool { return l >= Parting }
