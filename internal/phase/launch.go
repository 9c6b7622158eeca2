package phase

// Launch is how far a start is, seen from the launcher.
type Launch uint8

// The states of a launch. What a daemon says after its first word, it may say in any order and
// twice, for its worker may be anybody's.
const (
	_              Launch = iota
	Launched              // which process it is has not been said
	Named                 // it has: a process that is in the program's own main, as far as is known
	Claimed               // the process has reached its daemon, and is being set up
	AtGate                // it has come as far as it can beside the daemon that runs, which is stopped
	Admitted              // that is gone; the process is set up
	Found                 // it has the PID file, by which others find it
	Running               // the worker works
	Becoming              // the worker becomes another program
	Vanished              // the wire has ended before the daemon, and as a rule its process ends
	Hushed                // the same, before the worker
	Mute                  // the same, after it has begun
	Replaced              // the wire has ended, for the worker is another program
	LateStage             // the time is over, and the launcher does not know of which process it speaks
	LateNamed             // the same, or whether that is the daemon
	LateClaim             // the same, or whether others find it
	Doubting              // the start is given up, of a process that is not known
	Doubted               // the same, of one that is in the program's own main
	Recall                // the same, and the daemon has been told
	RecallGone            // the same, of one that becomes another program
	RecallEnds            // the same, and nothing more is heard of it: its process is to end
	RecallReplaced        // the same, of one that is another program
	Up                    // the verdict: it is ready
	Lived                 // it has lived through the window
	StillUp               // it lives, but is not ready in time
	Fallen                // it is dead, or is not to be
	CalledOff             // the start was given up, and nothing is left of it

	launches
)

// LaunchEvent is something that a launcher sees.
type LaunchEvent uint8

// The events of a launch. Where one is a word of the daemon's, it is said so.
const (
	Names    LaunchEvent = iota // the stage's word: which process it is
	Claims                      // a word: the process has reached its daemon
	Arrives                     // a word: it has come as far as it can beside another daemon
	Opens                       // that is gone
	Stays                       // it is not to be stopped, or not to be tried further
	Locks                       // a word: the PID file is the daemon's
	Runs                        // a word: the worker begins
	Executes                    // a word: it becomes another program
	IsReady                     // a word, or what a program is seen to do
	Fails                       // a word: it cannot be the daemon, and why
	HangsUp                     // the wire has ended
	Exits                       // so has the process
	LivesOn                     // through the window
	TimesOut                    // the time of the start is over
	Tires                       // what the state grants is over
	CallOff                     // the caller does not want it any more

	launchEvents
)

// LaunchEffect is what follows from an event: a set of the following.
type LaunchEffect uint16

// What can follow. Whoever does it does it in this order.
const (
	ShowLine    LaunchEffect = 1 << iota // it is certain by now that something is tried
	StartWindow                          // LivesOn, when it is over, of a worker that may count as started so
	StopOther                            // stop the daemon that runs: Opens or Stays
	SayGo                                // tell the daemon that it may go on
	SayRelease                           // tell it that the verdict is given
	SayCancel                            // tell it that the start is given up
	NewTime                              // the time of the start begins again
	LookCloser                           // the time begins in which it can be found out who is spoken of
	GrantStop                            // the time begins in which the daemon can end by itself
	GrantWord                            // the time begins in which its first word comes, if that is on its way
	SignalIt                             // ask the process to end by its signal
	KillIt                               // and kill it, with what is in its process group
	TakeAway                             // remove what it could not remove itself
	QuoteIt                              // add to the error what the program had to say
)

// LaunchStep is what an event leads to. The zero LaunchStep stands for what cannot happen.
type LaunchStep struct {
	To Launch
	Do LaunchEffect
}

// The rules of a launch.
var launch = [launches][launchEvents]LaunchStep{
	Launched: {
		Names:    {Named, 0},
		Claims:   {Claimed, 0}, // the stage was killed before it could say so
		Fails:    {Fallen, 0},
		HangsUp:  {Vanished, 0},
		TimesOut: {LateStage, LookCloser},
		CallOff:  {Doubting, GrantStop},
	},
	Named: {
		Claims:   {Claimed, 0},
		HangsUp:  {Vanished, 0},
		TimesOut: {LateNamed, LookCloser},
		CallOff:  {Doubted, GrantStop},
	},
	Claimed: {
		Claims:   {Claimed, 0},
		Arrives:  {AtGate, StopOther},
		Locks:    {Found, ShowLine},
		Runs:     {Running, ShowLine | StartWindow},
		Executes: {Becoming, StartWindow},
		IsReady:  {Up, 0},
		Fails:    {Fallen, 0},
		HangsUp:  {Hushed, 0},
		TimesOut: {LateClaim, LookCloser},
		CallOff:  {Recall, SayCancel | GrantStop},
	},
	AtGate: { // what it says meanwhile is heard afterwards
		Opens: {Admitted, SayGo | NewTime},
		Stays: {Recall, SayCancel | GrantStop},
	},
	Admitted: {
		Claims:   {Admitted, 0},
		Arrives:  {Admitted, 0},
		Locks:    {Found, ShowLine},
		Runs:     {Running, ShowLine | StartWindow},
		Executes: {Becoming, StartWindow},
		IsReady:  {Up, 0},
		Fails:    {Fallen, 0},
		HangsUp:  {Hushed, 0},
		TimesOut: {StillUp, SayRelease},
		CallOff:  {Recall, SayCancel | GrantStop},
	},
	Found: {
		Claims:   {Found, 0},
		Arrives:  {Found, 0},
		Locks:    {Found, 0},
		Runs:     {Running, StartWindow},
		Executes: {Becoming, StartWindow},
		IsReady:  {Up, 0},
		Fails:    {Fallen, 0},
		HangsUp:  {Hushed, 0},
		TimesOut: {StillUp, SayRelease},
		CallOff:  {Recall, SayCancel | GrantStop},
	},
	Running: {
		Claims:   {Running, 0},
		Arrives:  {Running, 0},
		Locks:    {Running, 0},
		Runs:     {Running, 0},
		Executes: {Becoming, StartWindow},
		IsReady:  {Up, 0},
		Fails:    {Fallen, 0},
		HangsUp:  {Mute, 0},
		LivesOn:  {Lived, SayRelease},
		TimesOut: {StillUp, SayRelease},
		CallOff:  {Recall, SayCancel | GrantStop},
	},
	Becoming: {
		Claims:   {Becoming, 0},
		Arrives:  {Becoming, 0},
		Locks:    {Becoming, 0},
		Runs:     {Becoming, 0},
		Executes: {Becoming, 0},
		IsReady:  {Up, 0},
		Fails:    {Fallen, 0},
		HangsUp:  {Replaced, 0},
		LivesOn:  {Lived, SayRelease},
		TimesOut: {StillUp, SayRelease},
		CallOff:  {RecallGone, SayCancel | GrantStop},
	},
	Vanished: {
		Exits:    {Fallen, TakeAway},
		TimesOut: {StillUp, 0},
		Tires:    {StillUp, 0},
		CallOff:  {CalledOff, KillIt | TakeAway},
	},
	Hushed: {
		Exits:    {Fallen, TakeAway},
		TimesOut: {StillUp, 0},
		Tires:    {StillUp, 0},
		CallOff:  {RecallEnds, GrantStop},
	},
	Mute: { // it has closed all its descriptors, and lives
		Exits:    {Fallen, TakeAway},
		LivesOn:  {Lived, 0},
		TimesOut: {StillUp, 0},
		CallOff:  {RecallEnds, GrantStop},
	},
	Replaced: {
		IsReady:  {Up, 0},
		Exits:    {Fallen, TakeAway},
		LivesOn:  {Lived, 0},
		TimesOut: {StillUp, QuoteIt},
		CallOff:  {RecallReplaced, GrantStop | SignalIt},
	},
	LateStage: { // on a busy machine
		Names:   {LateNamed, 0},
		Claims:  {LateClaim, 0},
		Fails:   {Fallen, 0},
		HangsUp: {Vanished, 0},
		Tires:   {StillUp, SayRelease},
		CallOff: {Doubting, GrantStop},
	},
	LateNamed: {
		Claims:  {LateClaim, 0},
		HangsUp: {Vanished, 0},
		Tires:   {StillUp, SayRelease},
		CallOff: {Doubted, GrantStop},
	},
	LateClaim: {
		Claims:   {LateClaim, 0},
		Arrives:  {LateClaim, 0},
		Locks:    {StillUp, ShowLine | SayRelease},
		Runs:     {StillUp, ShowLine | SayRelease},
		Executes: {StillUp, ShowLine | SayRelease},
		IsReady:  {Up, 0},
		Fails:    {Fallen, 0},
		HangsUp:  {Hushed, 0},
		Tires:    {StillUp, SayRelease},
		CallOff:  {Recall, SayCancel | GrantStop},
	},
	Doubting: {
		Names:   {Doubted, 0},
		Claims:  {Recall, SayCancel},
		Fails:   {Doubting, 0},
		HangsUp: {CalledOff, KillIt | TakeAway},
		Tires:   {CalledOff, KillIt | TakeAway},
	},
	Doubted: { // it holds nothing of a daemon, unless its word is on its way
		Claims:  {Recall, SayCancel},
		HangsUp: {CalledOff, KillIt | TakeAway},
		Tires:   {CalledOff, KillIt | TakeAway},
	},
	Recall: { // ready wins
		Claims:   {Recall, 0},
		Arrives:  {Recall, 0},
		Locks:    {Recall, 0},
		Runs:     {Recall, 0},
		Executes: {RecallGone, 0},
		IsReady:  {Up, 0},
		Fails:    {Recall, 0},
		HangsUp:  {RecallEnds, 0},
		Tires:    {CalledOff, KillIt | TakeAway},
	},
	RecallGone: { // who has become another program hears signals only
		Claims:   {RecallGone, 0},
		Arrives:  {RecallGone, 0},
		Locks:    {RecallGone, 0},
		Runs:     {RecallGone, 0},
		Executes: {RecallGone, 0},
		IsReady:  {Up, 0},
		Fails:    {RecallGone, 0},
		HangsUp:  {RecallReplaced, SignalIt},
		Tires:    {CalledOff, SignalIt | KillIt | TakeAway},
	},
	RecallEnds: {
		Exits: {CalledOff, KillIt | TakeAway}, // what is left of its process group
		Tires: {CalledOff, KillIt | TakeAway},
	},
	RecallReplaced: {
		Exits: {CalledOff, KillIt | TakeAway | QuoteIt},
		Tires: {CalledOff, KillIt | TakeAway | QuoteIt},
	},
}

// Next is the step that follows from the event; ok is false if it cannot come in that state,
// and then nothing follows.
func (l Launch) Next(e LaunchEvent) (s LaunchStep, ok bool) {
	if s = launch[l][e]; s.To == 0 {
		return LaunchStep{l, 0}, false
	}
	return s, true
}

// Over reports whether the verdict is given.
func (l Launch) Over() bool { return l >= Up }

// Recalled reports whether the start is being given up.
func (l Launch) Recalled() bool { return l >= Doubting && l <= RecallReplaced }

// Unnamed reports whether it is not known which process is spoken of.
func (l Launch) Unnamed() bool { return l == Launched || l == LateStage || l == Doubting }

// Late reports whether the time of the start is over, and it is not clear what to say of it.
func (l Launch) Late() bool { return l >= LateStage && l <= LateClaim }

// Reached reports whether the process has reached its daemon, as far as is known.
func (l Launch) Reached() bool {
	switch l {
	case Launched, Named, Vanished, LateStage, LateNamed, Doubting, Doubted:
		return false
	}
	return true
}

// Worked reports whether the worker has begun, as far as is known.
func (l Launch) Worked() bool {
	switch l {
	case Running, Becoming, Mute, Replaced, Up, Lived:
		return true
	}
	return false
}
