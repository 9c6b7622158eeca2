package timing

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"testing"
	"time"
)

// outlasts is why a limit may be as long as the window in which a worker that does not call Ready
// must live: no worker waits for it between its begin and the verdict on its start, or there is no
// verdict while it waits.
var outlasts = map[string]string{
	"StageReports":    "the launcher waits, for a process that has not begun",
	"LauncherListens": "only a launcher that is stopped is waited for, and says nothing meanwhile",
	"FailureEnds":     "the launcher waits, and knows of the failure",
	"LastWords":       "only a launcher that is stopped is waited for, and says nothing meanwhile",
	"ProbeBefore":     "the launcher waits, before it makes the process",
	"ProbeAnswers":    "the launcher asks, not the worker",
	"LeftEnds":        "the launcher waits, and knows of the failure",
	"KillShows":       "it is a stop's",
	"ErrandTakes":     "it is a stop's",
	"MomentLasts":     "the PID file is taken before the worker begins",
	"LooksEnd":        "the PID file is taken before the worker begins",
	"ListTakes":       "the PID file is taken before the worker begins",
	"NameTaken":       "it is a pause of a goroutine that the worker does not wait for",
	"ControlOpens":    "it is a reload's, whose asker waits",
	"AskerSpeaks":     "it is a reload's, whose asker waits",
	"SwapTakes":       "it is a reload's, and the successor is ready",
	"ImageBusy":       "the predecessor waits, for a process that does not exist yet",
	"ManagerAnswers":  "who acts waits, and makes no process before",
	"ManagerHears":    "it is ready, or ends",
	"BurstEnds":       "it is a reader's of logs",
}

// inWindow are the limits for which a worker waits before it is ready.
var inWindow = []string{"SocketLocked"}

// A start must not count a worker as started that still waits for what will fail.
func TestWhatAWorkerWaitsForEndsInTheStartWindow(t *testing.T) {
	limits := page(t)
	for name, d := range limits {
		if why, long := outlasts[name]; name != "StartWindow" && d >= StartWindow && !long {
			t.Errorf("%s is %v, and a start may say OK after %v: shorten it, or say why no worker waits for it before", name, d, StartWindow)
		} else if long && (d < StartWindow || slices.Contains(inWindow, name)) {
			t.Errorf("%s is %v: it needs no reason (%s), or has none", name, d, why)
		}
	}
	for name := range outlasts {
		if limits[name] == 0 {
			t.Errorf("%s is not on the page", name)
		}
	}
	for _, name := range inWindow {
		// The rest is for a busy machine, and for the failure to be said.
		if d := limits[name]; d == 0 || d > StartWindow/4 {
			t.Errorf("%s is %v, and a start may say OK after %v", name, d, StartWindow)
		}
	}
}

// page gives the limits by their names.
func page(t *testing.T) map[string]time.Duration {
	t.Helper()
	files := token.NewFileSet()
	check := func(path, name string, text any, c types.Config) *types.Package {
		file, err := parser.ParseFile(files, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		pkg, err := c.Check(path, files, []*ast.File{file}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return pkg
	}
	// All that the page needs of package time, which takes long to read.
	units := check("time", "", "package time; const (Millisecond = 1000_000; Second = 1000 * Millisecond)", types.Config{})
	scope := check("timing", "timing.go", nil, types.Config{Importer: importing{units}}).Scope()
	limits := map[string]time.Duration{}
	for _, name := range scope.Names() {
		d, exact := constant.Int64Val(scope.Lookup(name).(*types.Const).Val())
		if !exact {
			t.Fatalf("%s is no whole number", name)
		}
		limits[name] = time.Duration(d)
	}
	if limits["StartWindow"] != StartWindow || limits["SocketLocked"] != SocketLocked {
		t.Fatalf("read %v", limits)
	}
	return limits
}

// importing gives a package to whoever imports one.
type importing struct{ pkg *types.Package }

func (i importing) Import(string) (*types.Package, error) { return i.pkg, nil }
