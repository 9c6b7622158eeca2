package testkit

import (
	"fmt"
	"os"
	"time"
)

const envTrace = "TESTKIT_TRACE"

// Recorder gives a function that adds a line to the file that TESTKIT_TRACE names, or nil:
//
//	process, its time of birth, whose step, in which table, its state, the event, the next state, what follows
//
// The lines of all processes are in one file. Whatever a step brings about comes after it.
func Recorder() func(who any, table string, state, event, to uint8, do uint16) {
	path, ok := os.LookupEnv(envTrace)
	if !ok {
		return nil
	}
	process := fmt.Sprintf("%d\t%d", os.Getpid(), time.Now().UnixNano())
	return func(who any, table string, state, event, to uint8, do uint16) {
		// A daemon may have closed what was open, so that it is opened each time. What cannot
		// be written is a step that is missing then.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
		if err != nil {
			return
		}
		defer f.Close()
		fmt.Fprintf(f, "%s\t%p\t%s\t%d\t%d\t%d %d\n", process, who, table, state, event, to, do)
	}
}
