package phase

// Trace hears of each step before anything follows from it. Only a test sets it, in a process
// whose steps it wants to see.
var Trace func(who, state, event, step any)

// Taken tells Trace of a step that is taken. A process can have several states of a kind: who is
// whose this one is.
func Taken[State, Event, To any](who any, state State, event Event, step To) {
	if Trace != nil {
		Trace(who, state, event, step)
	}
}
