package phase

// TakeOver is how far a successor is on its way to be the daemon. There are two orders.
// With RequireReady its worker works first, and then it is given the lock; else it waits, before
// its worker, for the end of its predecessor.
type TakeOver uint8

// The states of a take-over.
const (
	_            TakeOver = iota
	Rising                // it is being set up
	RisingAlone           // the same, but the predecessor is dead
	Asking                // the worker works; it asks for the lock
	Took                  // it has the lock, and has said so; the predecessor need only let go
	Waiting               // it waits for the end of the predecessor, which may go on nevertheless
	Promised              // the predecessor is on its way out, for this process
	Counted               // the predecessor has been told that it need not wait any more
	Orphan                // the predecessor's wire has ended, and its process ends
	TakingOver            // the predecessor is not the daemon any more; this process becomes it
	Daemon                // this process is the daemon
	Dropped               // it will never be
	DroppedAlone          // the same, but the predecessor is dead

	takeOvers
)

// TakeOverEvent is something that happens to a take-over.
type TakeOverEvent uint8

// The events of a take-over.
const (
	Works     TakeOverEvent = iota // the set-up is done; the worker begins
	Waits                          // the set-up is done; the worker has to wait
	Granted                        // the kernel gives the lock to this process
	Insist                         // the predecessor has let go of the lock, but somebody else is in the way
	Releases                       // the predecessor lets go
	Leaves                         // the predecessor begins to end
	Asks                           // the predecessor is about to end: does this process take over then?
	WireEnds                       // the predecessor is dead, or will be in a moment
	Gone                           // the predecessor's process is gone
	Late                           // in the time of a stop it has not gone, and is not gone now
	Cancelled                      // the predecessor wants no successor
	Ends                           // this process ends
	Done                           // what was to be done to become the daemon is done

	takeOverEvents
)

// TakeOverEffect is what follows from an event: a set of the following.
type TakeOverEffect uint16

// What can follow. Whoever does it does it in this order.
const (
	AskForLock  TakeOverEffect = 1 << iota // wait for the lock: Granted
	WriteNumber                            // write this process's number, whoever has the lock
	SayTook                                // tell the predecessor
	Become                                 // become the daemon: Done
	StartTimer                             // Late, when the time of a stop is over
	GiveUp                                 // tell who asked for the reload: the predecessor does not end
	SayEnding                              // the same: the daemon is on its way out
	EndSelf                                // end this process, and take its set-up back
	Settle                                 // who waits for the outcome need not wait any more
)

// TakeOverStep is what an event leads to. The zero TakeOverStep stands for what cannot happen.
type TakeOverStep struct {
	To TakeOver
	Do TakeOverEffect
}

// The rules of a take-over.
var takeOver = [takeOvers][takeOverEvents]TakeOverStep{
	Rising: {
		Works:     {Asking, AskForLock},
		Waits:     {Waiting, 0},
		WireEnds:  {RisingAlone, 0},
		Cancelled: {Dropped, EndSelf | Settle},
	},
	RisingAlone: {
		Works: {TakingOver, WriteNumber | Become},
		Waits: {Orphan, 0},
	},
	Asking: {
		Granted:   {Took, SayTook},
		Insist:    {Took, WriteNumber | SayTook},
		WireEnds:  {TakingOver, WriteNumber | Become},
		Cancelled: {Dropped, EndSelf | Settle},
		Ends:      {Dropped, Settle},
	},
	Took: { // this process may be the only one that knows the PID file: it cannot end before
		Granted:   {Took, 0},
		Insist:    {Took, 0},
		Releases:  {TakingOver, Become},
		WireEnds:  {TakingOver, Become},
		Cancelled: {Dropped, EndSelf | Settle},
		Ends:      {Took, 0},
	},
	Waiting: {
		Leaves:    {Promised, StartTimer},
		Asks:      {Counted, SayTook},
		WireEnds:  {Orphan, 0},
		Gone:      {TakingOver, WriteNumber | Become},
		Cancelled: {Dropped, EndSelf | Settle},
	},
	Promised: { // nobody but this process can answer those who have asked for the reload
		Asks:      {Counted, SayTook},
		WireEnds:  {Orphan, 0},
		Gone:      {TakingOver, WriteNumber | Become},
		Late:      {Dropped, GiveUp | Settle},
		Cancelled: {Dropped, SayEnding | EndSelf | Settle},
	},
	Counted: {
		WireEnds:  {Orphan, 0},
		Gone:      {TakingOver, WriteNumber | Become},
		Late:      {Counted, 0},
		Cancelled: {Dropped, SayEnding | EndSelf | Settle},
	},
	Orphan: {
		Gone: {TakingOver, WriteNumber | Become},
		Late: {Orphan, 0},
	},
	TakingOver: { // what the predecessor has said before its death may be heard after that
		Granted:   {TakingOver, 0},
		Leaves:    {TakingOver, 0},
		Asks:      {TakingOver, 0},
		WireEnds:  {TakingOver, 0},
		Gone:      {TakingOver, 0},
		Late:      {TakingOver, 0},
		Cancelled: {TakingOver, 0},
		Ends:      {TakingOver, 0},
		Done:      {Daemon, Settle},
	},
	Daemon: {
		Granted:   {Daemon, 0},
		Leaves:    {Daemon, 0},
		Asks:      {Daemon, 0},
		WireEnds:  {Daemon, 0},
		Gone:      {Daemon, 0},
		Late:      {Daemon, 0},
		Cancelled: {Daemon, 0},
		Ends:      {Daemon, 0},
	},
	Dropped: {
		Works:     {Dropped, 0},
		Waits:     {Dropped, 0},
		Granted:   {Dropped, 0},
		Insist:    {Dropped, 0},
		Releases:  {Dropped, 0},
		Leaves:    {Dropped, 0},
		Asks:      {Dropped, 0},
		WireEnds:  {DroppedAlone, 0},
		Gone:      {DroppedAlone, 0},
		Late:      {Dropped, 0},
		Cancelled: {Dropped, 0},
		Ends:      {Dropped, 0},
	},
	DroppedAlone: { // what the predecessor has said before its death may be heard after that
		Works:     {DroppedAlone, 0},
		Waits:     {DroppedAlone, 0},
		Granted:   {DroppedAlone, 0},
		Asks:      {DroppedAlone, 0},
		WireEnds:  {DroppedAlone, 0},
		Gone:      {DroppedAlone, 0},
		Late:      {DroppedAlone, 0},
		Cancelled: {DroppedAlone, 0},
		Ends:      {DroppedAlone, 0},
	},
}

// Next is the step that follows from the event; ok is false if it cannot come in this state, and then
// nothing follows.
func (t TakeOver) Next(e TakeOverEvent) (s TakeOverStep, ok bool) {
	if s = takeOver[t][e]; s.To == 0 {
		return TakeOverStep{t, 0}, false
	}
	return s, true
}

// Pending reports whether this process is not the daemon.
func (t TakeOver) Pending() bool { return t != Daemon }

// Others reports whether another process is the daemon.
func (t TakeOver) Others() bool {
	switch t {
	case RisingAlone, Orphan, TakingOver, Daemon, DroppedAlone:
		return false
	}
	return true
}
