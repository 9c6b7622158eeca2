package phase

// Successor is how far a successor is, seen from the predecessor that brings it up.
type Successor uint8

// The states of a successor. In the order ready first its worker must be ready; in the other
// it is enough that it is set up.
const (
	_              Successor = iota
	Spawned                  // it is in the program's own main, as far as is known
	SpawnedFirst             // the same, in the order ready first
	SettingUp                // it has reached its daemon, and is being set up
	SettingUpFirst           // the same, in the order ready first, and its worker may have begun
	WireEndedEarly           // the wire has ended before it has reached its daemon, and as a rule its process ends
	WireEnded                // the same, after that
	Usable                   // it can have the place
	Rejected                 // it shall not have it, and is to end
	Dead                     // it is dead, and with it what was in its process group

	successors
)

// SuccessorStep is what an event leads to. The zero SuccessorStep stands for what cannot happen.
type SuccessorStep struct {
	To Successor
	Do LaunchEffect
}

// The rules of who brings up a successor. The events and the effects are those of a launch.
var successor = [successors][launchEvents]SuccessorStep{
	Spawned: {
		Claims:   {SettingUp, 0},
		HangsUp:  {WireEndedEarly, 0},
		TimesOut: {Rejected, SayCancel | GrantWord},
		CallOff:  {Rejected, SayCancel | GrantWord},
	},
	SpawnedFirst: {
		Claims:   {SettingUpFirst, 0},
		HangsUp:  {WireEndedEarly, 0},
		TimesOut: {Rejected, SayCancel | GrantWord},
		CallOff:  {Rejected, SayCancel | GrantWord},
	},
	SettingUp: {
		Claims:   {SettingUp, 0},
		Locks:    {SettingUp, 0},
		Runs:     {Usable, StartWindow},
		Executes: {SettingUp, 0},
		IsReady:  {Usable, 0},
		Fails:    {Rejected, SayCancel | GrantStop},
		HangsUp:  {WireEnded, 0},
		TimesOut: {Rejected, SayCancel | GrantStop},
		CallOff:  {Rejected, SayCancel | GrantStop},
	},
	SettingUpFirst: {
		Claims:   {SettingUpFirst, 0},
		Locks:    {SettingUpFirst, 0},
		Runs:     {SettingUpFirst, StartWindow},
		Executes: {SettingUpFirst, 0},
		IsReady:  {Usable, 0},
		Fails:    {Rejected, SayCancel | GrantStop},
		HangsUp:  {WireEnded, 0},
		TimesOut: {Rejected, SayCancel | GrantStop},
		CallOff:  {Rejected, SayCancel | GrantStop},
	},
	WireEndedEarly: {
		Exits:    {Dead, KillIt},
		TimesOut: {Rejected, GrantWord},
		CallOff:  {Rejected, GrantWord},
	},
	WireEnded: {
		Exits:    {Dead, KillIt},
		TimesOut: {Rejected, GrantStop},
		CallOff:  {Rejected, GrantStop},
	},
	Usable: {
		CallOff: {Rejected, SayCancel | GrantStop},
		Tires:   {Dead, SayCancel | KillIt}, // it had the time to take the lock, which this process takes back
	},
	Rejected: { // what it says is not heard any more
		Exits: {Dead, KillIt},
		Tires: {Dead, KillIt},
	},
}

// Next is the step that follows from the event; ok is false if it cannot come in that state, and then
// nothing follows.
func (s Successor) Next(e LaunchEvent) (to SuccessorStep, ok bool) {
	if to = successor[s][e]; to.To == 0 {
		return SuccessorStep{s, 0}, false
	}
	return to, true
}

// ComingUp reports whether it may come to have the place, and cannot have it yet.
func (s Successor) ComingUp() bool { return s < Usable }

// Silent reports whether the wire has ended, and the end of the process is waited for.
func (s Successor) Silent() bool { return s == WireEndedEarly || s == WireEnded }
