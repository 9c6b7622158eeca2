package phase

// Verdict is what a daemon knows of whoever has launched it, and is told whether the start
// has gone well.
type Verdict uint8

// The states of a verdict.
const (
	_            Verdict = iota
	Early                // the daemon is being set up
	Alone                // the same, and nobody listens any more
	Open                 // the daemon is set up, and the launcher listens
	OpenLived            // the same, and it counts as started without the worker's word
	Ready                // the worker has said that it is ready, and the launcher listens
	Decided              // the launcher has decided without that, or is gone
	DecidedLived         // the same, and the daemon counts as started
	Settled              // the same, and the worker has said that it is ready

	verdicts
)

// VerdictEvent is something that matters to the verdict.
type VerdictEvent uint8

// The events of a verdict.
const (
	SetUp     VerdictEvent = iota // nothing of the set-up can fail any more
	SaysReady                     // the worker does
	Endures                       // it has lived through the window
	Decides                       // the launcher does, or it is gone
	Cancels                       // the launcher does

	verdictEvents
)

// VerdictEffect is what follows from an event: a set of the following.
type VerdictEffect uint8

// What can follow.
const (
	KeepFiles   VerdictEffect = 1 << iota // forget how to take the set-up back
	DropStderr                            // nothing more is written to what is the launcher's
	Announce                              // tell the service manager, unless the daemon ends
	TellReady                             // tell the launcher
	Release                               // the daemon may go on without the launcher
	CancelStart                           // end, and take the set-up back
)

// VerdictStep is what an event leads to. The zero VerdictStep stands for what cannot happen.
type VerdictStep struct {
	To Verdict
	Do VerdictEffect
}

// The rules of a verdict. Ready wins over a cancelled start.
var verdict = [verdicts][verdictEvents]VerdictStep{
	Early: {
		SetUp:   {Open, 0},
		Decides: {Alone, DropStderr | Release},
		Cancels: {Early, CancelStart},
	},
	Alone: {
		SetUp:   {Decided, KeepFiles},
		Decides: {Alone, 0},
		Cancels: {Alone, 0},
	},
	Open: {
		SaysReady: {Ready, KeepFiles | DropStderr | Announce | TellReady},
		Endures:   {OpenLived, Announce},
		Decides:   {Decided, KeepFiles | DropStderr | Release},
		Cancels:   {Open, CancelStart},
	},
	OpenLived: {
		SaysReady: {Ready, KeepFiles | DropStderr | TellReady},
		Decides:   {DecidedLived, KeepFiles | DropStderr | Release},
		Cancels:   {OpenLived, CancelStart},
	},
	Ready: {
		SaysReady: {Ready, 0},
		Endures:   {Ready, 0},
		Decides:   {Settled, Release},
		Cancels:   {Ready, 0},
	},
	Decided: {
		SaysReady: {Settled, Announce | TellReady},
		Endures:   {DecidedLived, Announce},
		Decides:   {Decided, 0},
		Cancels:   {Decided, 0},
	},
	DecidedLived: {
		SaysReady: {Settled, TellReady},
		Decides:   {DecidedLived, 0},
		Cancels:   {DecidedLived, 0},
	},
	Settled: {
		SaysReady: {Settled, 0},
		Endures:   {Settled, 0},
		Decides:   {Settled, 0},
		Cancels:   {Settled, 0},
	},
}

// Next is the step that follows from the event; ok is false if it cannot come in that
// state, and then nothing follows.
func (v Verdict) Next(e VerdictEvent) (s VerdictStep, ok bool) {
	if s = verdict[v][e]; s.To == 0 {
		return VerdictStep{v, 0}, false
	}
	return s, true
}

// Undecided reports whether the launcher still waits for the outcome.
func (v Verdict) Undecided() bool { return v == Early || v == Open || v == OpenLived }

// SaidReady reports whether the worker has said that it is ready.
func (v Verdict) SaidReady() bool { return v == Ready || v == Settled }
