package phase

// Trace hears of each step before anything follows from it. Only a test sets it, in a process
// whose steps it wants to see.
var Trace func(who any, table string, state, event, to uint8, do uint16)

// Taken tells Trace of a step that is taken. A process can have several states of a kind: who is
// whose this one is. It takes numbers, so that what a program links for it is next to nothing.
func Taken(who any, table string, state, event, to uint8, do uint16) {
	if Trace != nil {
		Trace(who, table, state, event, to, do)
	}
}
