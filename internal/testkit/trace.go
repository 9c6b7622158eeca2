package testkit

import (
	"fmt"
	"os"
	"testing"
	"time"
)

const (
	envTrace  = "TESTKIT_TRACE"
	envTracer = "TESTKIT_TRACER" // the test whose helper takes the steps; set by Helper
)

// traceEnv tells a helper for which test it takes steps, where these are recorded.
func traceEnv(t testing.TB) []string {
	if _, ok := os.LookupEnv(envTrace); !ok {
		return nil
	}
	return []string{envTracer + "=" + t.Name()}
}

// Recorder gives a function that adds a line to the file that TESTKIT_TRACE names, or nil:
//
//	process, its time of birth, whose step, in which table, its state, the event, the next state and what follows, the test
//
// The lines of all processes are in one file. Whatever a step brings about comes after it.
func Recorder() func(who any, table string, state, event, to uint8, do uint16) {
	path, ok := os.LookupEnv(envTrace)
	if !ok {
		return nil
	}
	process, test := fmt.Sprintf("%d\t%d", os.Getpid(), time.Now().UnixNano()), os.Getenv(envTracer)
	return func(who any, table string, state, event, to uint8, do uint16) {
		// A daemon may have closed what was open, so that it is opened each time. What cannot
		// be written is a step that is missing then.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
		if err != nil {
			return
		}
		defer f.Close()
		fmt.Fprintf(f, "%s\t%p\t%s\t%d\t%d\t%d %d\t%s\n", process, who, table, state, event, to, do, test)
	}
}
