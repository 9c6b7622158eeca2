package retried

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestACallIsMadeUntilItIsNotInterrupted(t *testing.T) {
	for _, last := range []error{nil, unix.EAGAIN, unix.EIO, os.ErrClosed} {
		calls := 0
		call := func() (int, error) {
			if calls++; calls < 4 {
				return -1, unix.EINTR
			}
			return 7, last
		}
		if n, err := value(call); n != 7 || err != last || calls != 4 {
			t.Errorf("%v: got %d, %v after %d calls", last, n, err, calls)
		}
		calls = 0
		if err := only(func() error { _, err := call(); return err }); err != last || calls != 4 {
			t.Errorf("%v: got %v after %d calls", last, err, calls)
		}
	}
}

// TestEveryCallOfTheRoom: whatever is exported here makes its call again.
func TestEveryCallOfTheRoom(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			again, inside := false, ""
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					again = again || n.Name == "value" || n.Name == "only"
				case *ast.SelectorExpr:
					if pkg, ok := n.X.(*ast.Ident); ok && (pkg.Name == "unix" || pkg.Name == "syscall") && n.Sel.Name == f.Name.Name {
						inside = n.Sel.Name
					}
				}
				return true
			})
			if !again || inside == "" {
				t.Errorf("%s does not make its call again", f.Name.Name)
			}
		}
	}
}

// harass sends this thread signals, which a handler of Go's gets, until stop is called.
func harass(t *testing.T) (stop func()) {
	t.Helper()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	runtime.LockOSThread()
	thread := unix.Gettid()
	enough, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-enough:
				return
			default:
				unix.Tgkill(os.Getpid(), thread, syscall.SIGUSR2)
				time.Sleep(time.Millisecond)
			}
		}
	}()
	return func() {
		close(enough)
		<-ended
		runtime.UnlockOSThread()
		signal.Stop(signals)
	}
}

// The kernel restarts none of these after a handler has run; what is waited for is the
// same in all.
func TestInterruptedWaits(t *testing.T) {
	stop := harass(t)
	defer stop()
	const patience = 50 * time.Millisecond
	for {
		if _, err := unix.Poll(nil, int(patience.Milliseconds())); err == unix.EINTR {
			break
		}
	}
	for name, wait := range map[string]func() error{
		"poll":      func() error { _, err := Poll(nil, int(patience.Milliseconds())); return err },
		"nanosleep": func() error { return Nanosleep(unix.NsecToTimespec(int64(patience))) },
	} {
		began := time.Now()
		if err := wait(); err != nil || time.Since(began) < patience {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
}
