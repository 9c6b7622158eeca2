package phase

// Raise is how far a successor is, seen from the predecessor that brings it up.
type Raise uint8

// The states of a successor. In the order ready first its worker must be ready; in the other
// it is enough that it is set up.
const (
	_          Raise = iota
	Sent             // it is in the program's own main, as far as is known
	SentFirst        // the same, in the order ready first
	Rises            // it has reached its daemon, and is being set up
	RisesFirst       // the same, in the order ready first, and its worker may have begun
	Strays           // the wire has ended before it has reached its daemon, and as a rule its process ends
	Fades            // the same, after that
	Fit              // it can have the place
	Unfit            // it shall not have it, and is to end
	Dead             // it is dead, and with it what was in its process group

	raises
)

// Raising is what an event leads to. The zero Raising stands for what cannot happen.
type Raising struct {
	To Raise
	Do LaunchEffect
}

// The rules of who brings up a successor. The events and the effects are those of a launch.
var raise = [raises][launchEvents]Raising{
	Sent: {
		Claims:   {Rises, 0},
		HangsUp:  {Strays, 0},
		TimesOut: {Unfit, SayCancel | GrantWord},
		CallOff:  {Unfit, SayCancel | GrantWord},
	},
	SentFirst: {
		Claims:   {RisesFirst, 0},
		HangsUp:  {Strays, 0},
		TimesOut: {Unfit, SayCancel | GrantWord},
		CallOff:  {Unfit, SayCancel | GrantWord},
	},
	Rises: {
		Claims:   {Rises, 0},
		Locks:    {Rises, 0},
		Runs:     {Fit, StartWindow},
		Executes: {Rises, 0},
		IsReady:  {Fit, 0},
		Fails:    {Unfit, SayCancel | GrantStop},
		HangsUp:  {Fades, 0},
		TimesOut: {Unfit, SayCancel | GrantStop},
		CallOff:  {Unfit, SayCancel | GrantStop},
	},
	RisesFirst: {
		Claims:   {RisesFirst, 0},
		Locks:    {RisesFirst, 0},
		Runs:     {RisesFirst, StartWindow},
		Executes: {RisesFirst, 0},
		IsReady:  {Fit, 0},
		Fails:    {Unfit, SayCancel | GrantStop},
		HangsUp:  {Fades, 0},
		TimesOut: {Unfit, SayCancel | GrantStop},
		CallOff:  {Unfit, SayCancel | GrantStop},
	},
	Strays: {
		Exits:    {Dead, KillIt},
		TimesOut: {Unfit, GrantWord},
		CallOff:  {Unfit, GrantWord},
	},
	Fades: {
		Exits:    {Dead, KillIt},
		TimesOut: {Unfit, GrantStop},
		CallOff:  {Unfit, GrantStop},
	},
	Fit: {
		CallOff: {Unfit, SayCancel | GrantStop},
		Tires:   {Dead, SayCancel | KillIt}, // it had the time to take the lock, which this process takes back
	},
	Unfit: { // what it says is not heard any more
		Exits: {Dead, KillIt},
		Tires: {Dead, KillIt},
	},
}

// Next is what follows from the event; ok is false if it cannot come in that state, and then
// nothing follows.
func (r Raise) Next(s LaunchEvent) (to Raising, ok bool) {
	if to = raise[r][s]; to.To == 0 {
		return Raising{r, 0}, false
	}
	return to, true
}

// Rising reports whether it may come to have the place, and cannot have it yet.
func (r Raise) Rising() bool { return r < Fit }

// Silent reports whether the wire has ended, and the end of the process is waited for.
func (r Raise) Silent() bool { return r == Strays || r == Fades }
