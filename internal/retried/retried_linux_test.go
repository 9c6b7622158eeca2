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

// TestEveryCallOfTheRoom: whatever is exported here makes the call of its name in a loop
// without an end, which it leaves by the one return that an interrupted call does not reach.
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
			if loop, ok := f.Body.List[len(f.Body.List)-1].(*ast.ForStmt); !ok || loop.Cond != nil || !leaves(loop, f.Name.Name) || returns(f) != 1 {
				t.Errorf("%s does not make its call again", f.Name.Name)
			}
		}
	}
}

// leaves reports whether the loop begins with: if ..., err = unix.NAME(...); err != unix.EINTR { return ... }
func leaves(loop *ast.ForStmt, name string) bool {
	is := func(e ast.Expr, pkg, name string) bool {
		s, ok := e.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		x, ok := s.X.(*ast.Ident)
		return ok && x.Name == pkg && s.Sel.Name == name
	}
	first, ok := loop.Body.List[0].(*ast.IfStmt)
	if !ok || returns(first) != 1 {
		return false
	}
	made, ok := first.Init.(*ast.AssignStmt)
	if !ok {
		return false
	}
	call, ok := made.Rhs[0].(*ast.CallExpr)
	if !ok || !is(call.Fun, "unix", name) && !is(call.Fun, "syscall", name) {
		return false
	}
	last, ok := made.Lhs[len(made.Lhs)-1].(*ast.Ident)
	cond, ok2 := first.Cond.(*ast.BinaryExpr)
	if !ok || !ok2 || last.Name != "err" || cond.Op != token.NEQ || !is(cond.Y, "unix", "EINTR") {
		return false
	}
	judged, ok := cond.X.(*ast.Ident)
	return ok && judged.Name == "err"
}

func returns(in ast.Node) (n int) {
	ast.Inspect(in, func(node ast.Node) bool {
		if _, is := node.(*ast.ReturnStmt); is {
			n++
		}
		return true
	})
	return n
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
