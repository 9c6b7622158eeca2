package testkit

import (
	"fmt"
	"os"
	"strings"
	"time"
)

const envTrace = "TESTKIT_TRACE"

// Recorder gives a function that adds a line to the file that TESTKIT_TRACE names, or nil:
//
//	process, its time of birth, whose step, what it is, its state, the event, the step
//
// The lines of all processes are in one file. Whatever a step brings about comes after it.
func Recorder() func(who, state, event, step any) {
	path, ok := os.LookupEnv(envTrace)
	if !ok {
		return nil
	}
	process := fmt.Sprintf("%d\t%d", os.Getpid(), time.Now().UnixNano())
	return func(who, state, event, step any) {
		// A daemon may have closed what was open, so that it is opened each time. What cannot
		// be written is a step that is missing then.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
		if err != nil {
			return
		}
		defer f.Close()
		fmt.Fprintf(f, "%s\t%p\t%s\t%d\t%d\t%v\n", process, who, strings.TrimPrefix(fmt.Sprintf("%T", state), "phase."), state, event, step)
	}
}
