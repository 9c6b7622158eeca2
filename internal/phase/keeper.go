package phase

// Keeper is how a keeper stands to the generations of its daemon.
type Keeper uint8

// The states of a keeper. That a generation is gone it sees when a signal does not reach it,
// and that no other one comes when the wire ends.
const (
	_            Keeper = iota
	Tending             // a generation is the daemon, or comes up
	Dismissing          // the same, and one was asked to end
	Between             // the last one is gone, and another may have its place; what it has missed is kept
	BetweenEnd          // the same, and what was missed asks for the end
	BetweenAsked        // the same, and one before was asked to end, but nothing that was missed does so
	Clearing            // no generation comes any more; what they have left is waited for
	Pressing            // that was asked to end
	Killing             // and has not done so in time
	Vacant              // nothing is left

	keepers
)

// KeeperEvent is something that happens to a keeper.
type KeeperEvent uint8

// The events of a keeper. A signal is of the last generation, and of those before it if that is gone.
const (
	Asked     KeeperEvent = iota // a signal that asks for the end
	Signalled                    // another signal
	EndMissed                    // a signal that asks for the end has reached nobody, or not the daemon
	Missed                       // neither has another signal
	Follows                      // another generation has the place of the last one, which is proved
	NoMore                       // the wire has ended: no generation comes any more
	Overdue                      // what was asked to end has had the time of a stop
	Cleared                      // nothing of any generation is left

	keeperEvents
)

// KeeperEffect is what follows from an event: a set of the following.
type KeeperEffect uint16

// What can follow. Whoever does it does it in this order.
const (
	Pass       KeeperEffect = 1 << iota // pass the signal: EndMissed or Missed, if it does not reach the daemon
	KeepIt                              // keep it for the next generation
	PassMiss                            // pass what was kept: Asked or Signalled, for each
	PassAsks                            // the same, for what asks for the end; the rest is forgotten
	Ask                                 // pass SIGTERM: Asked
	AskRest                             // ask what is left to end
	StartPress                          // Overdue, when the time of a stop is over
	KillRest                            // kill what is left
	StopPress                           // the time does not matter any more
)

// KeeperStep is what an event leads to. The zero KeeperStep stands for what cannot happen.
type KeeperStep struct {
	To Keeper
	Do KeeperEffect
}

// The rules of a keeper. An end that was asked for reaches each generation that comes.
var keeper = [keepers][keeperEvents]KeeperStep{
	Tending: {
		Asked:     {Dismissing, Pass},
		Signalled: {Tending, Pass},
		Missed:    {Between, KeepIt},
		Follows:   {Tending, 0},
		NoMore:    {Clearing, 0},
	},
	Dismissing: {
		Asked:     {Dismissing, Pass},
		Signalled: {Dismissing, Pass},
		EndMissed: {BetweenEnd, KeepIt},
		Missed:    {BetweenAsked, KeepIt},
		Follows:   {Dismissing, Ask}, // it came too late for the one before
		NoMore:    {Clearing, 0},
	},
	Between: {
		Asked:     {BetweenAsked, Pass},
		Signalled: {Between, Pass},
		Missed:    {Between, KeepIt},
		Follows:   {Tending, PassMiss},
		NoMore:    {Clearing, PassAsks},
	},
	BetweenEnd: {
		Asked:     {BetweenEnd, Pass},
		Signalled: {BetweenEnd, Pass},
		EndMissed: {BetweenEnd, KeepIt},
		Missed:    {BetweenEnd, KeepIt},
		Follows:   {Dismissing, PassMiss},
		NoMore:    {Clearing, PassAsks},
	},
	BetweenAsked: {
		Asked:     {BetweenAsked, Pass},
		Signalled: {BetweenAsked, Pass},
		EndMissed: {BetweenEnd, KeepIt},
		Missed:    {BetweenAsked, KeepIt},
		Follows:   {Dismissing, PassMiss | Ask},
		NoMore:    {Clearing, PassAsks},
	},
	Clearing: {
		Asked:     {Clearing, Pass},
		Signalled: {Clearing, Pass},
		EndMissed: {Pressing, AskRest | StartPress},
		Missed:    {Clearing, 0},
		Cleared:   {Vacant, 0},
	},
	Pressing: {
		Asked:     {Pressing, Pass},
		Signalled: {Pressing, Pass},
		EndMissed: {Pressing, AskRest},
		Missed:    {Pressing, 0},
		Overdue:   {Killing, KillRest},
		Cleared:   {Vacant, StopPress},
	},
	Killing: {
		Asked:     {Killing, Pass},
		Signalled: {Killing, Pass},
		EndMissed: {Killing, AskRest},
		Missed:    {Killing, 0},
		Cleared:   {Vacant, 0},
	},
	Vacant: {
		Asked:     {Vacant, 0},
		Signalled: {Vacant, 0},
		EndMissed: {Vacant, 0},
		Missed:    {Vacant, 0},
		Overdue:   {Vacant, 0},
	},
}

// Next is the step that follows from the event; ok is false if it cannot come in that state, and then
// nothing follows.
func (k Keeper) Next(e KeeperEvent) (s KeeperStep, ok bool) {
	if s = keeper[k][e]; s.To == 0 {
		return KeeperStep{k, 0}, false
	}
	return s, true
}

// Done reports whether no generation comes any more.
func (k Keeper) Done() bool { return k >= Clearing }
