package daemonocle_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

const (
	module = "github.com/daemonocle/daemonocle"
	unixes = "golang.org/x/sys/unix"
	term   = "golang.org/x/term"
	cobra  = "github.com/spf13/cobra"
)

// houseRules say what each package may import besides the standard library. A
// package that is not here may import nothing; one that is here and does not
// exist any more is a mistake as well.
var houseRules = map[string]struct {
	may []string
	why string
}{
	"": {
		[]string{
			"internal/attempt",
			"internal/console",
			"internal/control",
			"internal/environ",
			"internal/fault",
			"internal/inside",
			"internal/launch",
			"internal/limits",
			"internal/options",
			"internal/outside",
			"internal/paths",
			"internal/pidfile",
			"internal/plan",
			"internal/privs",
			"internal/proc",
			"internal/program",
			"internal/pyjson",
			"internal/sdnotify",
			"internal/signals",
			"internal/sockets",
			"internal/systemd",
			"internal/template",
			"internal/timing",
			"internal/usercode",
		},
		"the root is the daemon; it stands on its rooms, which make the system calls, and brings its users no other module",
	},
	"internal/attempt": {[]string{"internal/fault", "internal/launch", "internal/paths", "internal/phase", "internal/plan", "internal/rights", "internal/signals", "internal/timing"},
		"launcher and daemon both make processes; so it belongs to neither, and knows neither their actions nor the program's functions"},
	"internal/console": {[]string{term, "internal/retried", unixes}, "it speaks; what it says is the callers' business"},
	"internal/control": {[]string{"internal/retried", "internal/timing", unixes}, "it carries a question and an answer; what they are about is the daemon's business"},
	"internal/environ": {[]string{"internal/retried", "internal/systemd", unixes}, "it judges where we are from the kernel's word alone; what a service's control group is called, one room knows"},
	"internal/fault":   {nil, "what went wrong is said by all rooms, so it stands on none"},
	"internal/fileid":  {[]string{"internal/retried", unixes}, "it compares files, whatever they are for"},
	"internal/limits":  {[]string{unixes}, "it changes this process, and must not know for what"},
	"internal/logtail": {[]string{"internal/paths", "internal/timing"}, "it reads files; whose they are, and who has begun to write to them, is the daemon's part"},
	"internal/options": {[]string{"internal/usercode"}, "it knows types and texts, not actions"},
	"internal/outside": {[]string{"internal/attempt", "internal/control", "internal/environ", "internal/fault", "internal/launch", "internal/logtail", "internal/paths", "internal/phase", "internal/pidfile", "internal/plan",
		"internal/proc", "internal/rights", "internal/sdnotify", "internal/signals", "internal/sockets", "internal/systemd", "internal/timing"},
		"it acts on a daemon that is another process: what a daemon does in its own is none of it"},
	"internal/paths": {[]string{"internal/retried", unixes}, "safe opening is needed before there is a process or an identity"},
	"internal/phase": {nil, "rules need no process, no time and no kernel; so a test can go through all of them"},
	"internal/plan": {[]string{"internal/fault", "internal/launch", "internal/paths", "internal/pidfile", "internal/privs", "internal/proc", "internal/signals", "internal/timing"},
		"it is what the settings say, and how what goes wrong with them is worded; nothing is done in it"},
	"internal/program": {[]string{"internal/attempt", "internal/fault", "internal/inside", "internal/launch", "internal/limits", "internal/paths", "internal/phase", "internal/pidfile",
		"internal/plan", "internal/proc", "internal/rights", "internal/sdnotify", "internal/signals", "internal/template", "internal/timing", "internal/usercode", "internal/users"},
		"the daemon's process becomes the program, and the launcher watches that: it is a worker of the one and a watch of the other, and neither knows it"},
	"internal/proc":     {[]string{"internal/fileid", "internal/retried", "internal/signals", "internal/timing", "internal/users", unixes}, "it asks the kernel, not our files"},
	"internal/privs":    {[]string{"internal/retried", "internal/users", unixes}, "what runs as root and then gives it up must fit into one head"},
	"internal/errand":   {[]string{"internal/privs", "internal/proc", "internal/retried", "internal/timing", unixes}, "it becomes somebody and signals a process, and must not know why"},
	"internal/pidfile":  {[]string{"internal/fileid", "internal/paths", "internal/proc", "internal/retried", "internal/timing", unixes}, "a PID file is a path and the process behind it"},
	"internal/pyjson":   {nil, "it knows values, not what they are about"},
	"internal/retried":  {[]string{unixes}, "it makes a call again, whatever that is for"},
	"internal/rights":   {[]string{"internal/errand", "internal/plan", "internal/privs", "internal/proc"}, "it decides who is signalled with whose rights, and must not know why"},
	"internal/sockets":  {[]string{"internal/fileid", "internal/paths", "internal/retried", "internal/timing", unixes}, "it knows sockets by their names, not what daemons are"},
	"internal/sdnotify": {[]string{"internal/retried", "internal/timing", unixes}, "it speaks a protocol; when to say what is the daemon's part"},
	"internal/signals":  {[]string{unixes}, "it knows signals by their numbers, and nobody who sends one"},
	"internal/systemd":  {[]string{"internal/proc", "internal/retried"}, "it asks a question; what follows from the answer is the daemon's part"},
	"internal/template": {nil, "it knows texts and numbers, not workers"},
	"internal/timing":   {nil, "it is a page of numbers"},
	"internal/users":    {nil, "it knows names and numbers, not who becomes whom"},
	"internal/usercode": {nil, "it calls a function, and must not know what for"},
	"internal/inside": {[]string{"internal/attempt", "internal/console", "internal/control", "internal/environ", "internal/fault", "internal/launch", "internal/limits",
		"internal/paths", "internal/phase", "internal/pidfile", "internal/plan", "internal/privs", "internal/proc", "internal/sdnotify", "internal/signals",
		"internal/sockets", "internal/timing", "internal/usercode"},
		"it is the daemon's process, and knows nothing of those who act on a daemon from outside"},
	"internal/launch": {[]string{"internal/fileid", "internal/proc", "internal/retried", "internal/timing", unixes}, "it makes processes; PID files and users are the daemon's part"},

	"internal/testkit":       {[]string{unixes}, "what tests the rooms must not stand on them"},
	"internal/testkit/early": {nil, "it comes first in a process because it imports nothing"},

	"cli": {[]string{"", cobra, "github.com/spf13/pflag"},
		"it stands on what everybody can use: if it could not, the public API would not be done"},

	"httpserver": {[]string{""}, "it is a convenience for one kind of worker, and needs no more than others can have"},

	"cmd/daemonocle": {[]string{"cmd/daemonocle/internal/app"}, "it only calls what can be tested and documented"},
	"cmd/daemonocle/internal/app": {[]string{"", "cli", "internal/console", "internal/fault", "internal/options", "internal/paths", "internal/retried", cobra, "github.com/spf13/pflag", unixes, term},
		"it is a user's program: what it needs of daemons everybody can have; paths it walks, times it reads and shows, and causes it names as the library does"},

	"examples/heartbeat":   {[]string{""}, "an example uses what its readers can use"},
	"examples/fileserver":  {[]string{"", "httpserver"}, "an example uses what its readers can use"},
	"examples/filewatcher": {[]string{""}, "an example uses what its readers can use"},
	"examples/short":       {[]string{"", "cli"}, "an example uses what its readers can use"},
	"examples/pool":        {[]string{"", "cli", "httpserver"}, "an example uses what its readers can use"},
	"examples/service":     {[]string{"", "cli", cobra}, "it is a program that has cobra commands already"},
	"examples":             {nil, "it is a test only, of programs that it builds"},
	"bench":                {nil, "it measures programs from outside"},
	"bench/program":        {nil, "it is a program that knows nothing of this library"},
	"bench/size":           {nil, "it is a program with or without this library"},
	"bench/subject":        {[]string{""}, "it is a user's program"},
}

// banned are packages of the standard library that must not be reachable from
// the root: everybody who imports the root would pay.
var banned = map[string]string{
	"text/template": "it switches off the linker's dead-code elimination: 1.8 MB in every user's program",
	"html/template": "as text/template",
	"encoding/gob":  "it keeps every exported method alive and is half a megabyte",
	"net/http":      "a daemon need not be a server, and it is 4 MB",
	"expvar":        "its import registers handlers",
	"flag":          "nothing in the core parses arguments",
	"os/exec":       "the core executes nothing but the program itself, without a shell's rules",
	"runtime/pprof": "a quarter of a megabyte, for stacks that runtime.Stack gives as well",
	"testing":       "its import changes a program's command line",
	"plugin":        "it switches off dead-code elimination",
}

// systems are built for in different ways; the graph is not the same.
var systems = []string{"linux", "darwin", "freebsd", "windows"}

func TestHouseRules(t *testing.T) {
	seen := map[string]bool{}
	for _, system := range systems {
		for _, p := range goList(t, system, "./...") {
			name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
			rule, ok := houseRules[name]
			if !ok {
				t.Errorf("%s: no rule says what this package may import", name)
			}
			seen[name] = true
			for _, imported := range p.Imports {
				own, isOwn := strings.CutPrefix(imported, module)
				own = strings.TrimPrefix(own, "/")
				if !isOwn {
					own = imported
				}
				if first, _, _ := strings.Cut(imported, "/"); !isOwn && !strings.Contains(first, ".") {
					continue // the standard library
				}
				if !slices.Contains(rule.may, own) {
					t.Errorf("%s, on %s: imports %s, but %s", name, system, imported, rule.why)
				}
			}
		}
	}
	for name := range houseRules {
		if !seen[name] {
			t.Errorf("there is a rule for %q, but no such package", name)
		}
	}
}

func TestCoreReachesNothingDear(t *testing.T) {
	for _, system := range systems {
		reached := map[string]bool{}
		for _, p := range goList(t, system, "-deps", ".") {
			reached[p.ImportPath] = true
			if p.Module != nil && p.Module.Path != module && p.Module.Path != path.Dir(unixes) && p.Module.Path != term {
				t.Errorf("on %s: the core reaches %s of the module %s", system, p.ImportPath, p.Module.Path)
			}
		}
		if !reached["os"] {
			t.Fatal("the list of what the core reaches does not even have os")
		}
		for name, why := range banned {
			if reached[name] {
				t.Errorf("on %s: the core reaches %s: %s", system, name, why)
			}
		}
	}
}

// TestOnlyServersLinkHTTP: net/http is for those who ask for it.
func TestOnlyServersLinkHTTP(t *testing.T) {
	for _, p := range []string{".", "./cli", "./cmd/daemonocle"} {
		for _, reached := range goList(t, "linux", "-deps", p) {
			if reached.ImportPath == "net/http" || reached.ImportPath == module+"/httpserver" {
				t.Errorf("%s reaches %s", p, reached.ImportPath)
			}
		}
	}
}

// TestDeadCodeIsEliminated looks at a real program. A call of
// reflect.Value.MethodByName with a name that is no constant, anywhere in it,
// makes the linker keep every exported method of every type.
func TestDeadCodeIsEliminated(t *testing.T) {
	graph := goCommand(t, "linux", "build", "-o", os.DevNull, "-ldflags=-dumpdep", "./examples/heartbeat")
	if !strings.Contains(graph, "main.main -> ") {
		t.Fatalf("the linker's output is no graph of what needs what: %.200s", graph)
	}
	for line := range strings.Lines(graph) {
		if strings.Contains(line, "<ReflectMethod>") {
			t.Fatalf("not any more; the first of the reasons: %s", line)
		}
	}
}

// TestLogicAsksForNoSystem: what differs between kernels is the same set of
// functions in files of their own, see docs/ARCHITECTURE.md.
func TestLogicAsksForNoSystem(t *testing.T) {
	eachGoFile(t, func(name string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != "GOOS" {
				return true
			}
			if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "runtime" {
				t.Errorf("%s asks for runtime.GOOS", name)
			}
			return true
		})
	})
}

// TestTheFaceStartsNoGoroutine: the root says what users can call, and the rooms do it.
func TestTheFaceStartsNoGoroutine(t *testing.T) {
	eachGoFile(t, func(name string, file *ast.File) {
		if filepath.Dir(name) != "." || strings.HasSuffix(name, "_test.go") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, calls := n.(*ast.SelectorExpr)
			if _, is := n.(*ast.GoStmt); is || calls && (s.Sel.Name == "Go" || s.Sel.Name == "AfterFunc") {
				t.Errorf("%s starts a goroutine", name)
			}
			return true
		})
	})
}

// TestMemoryIsLeftAlone: memory is the Go runtime's, the linker's or a C library's. To give
// a page back undoes what the dynamic linker has written into it, and with it every program
// that is position independent; it takes away a tracer's breakpoints as well.
func TestMemoryIsLeftAlone(t *testing.T) {
	calls := []string{"Madvise", "Mprotect", "Mmap", "Munmap", "Mremap", "Mlock", "Mlockall", "Munlock", "Munlockall", "ProcessMadvise",
		"MmapPtr", "MunmapPtr", "SYS_MADVISE", "SYS_MPROTECT", "SYS_MMAP", "SYS_MUNMAP", "SYS_MREMAP", "SYS_REMAP_FILE_PAGES",
		"SYS_PKEY_MPROTECT", "SYS_PROCESS_MADVISE", "SYS_BRK", "SYS_MSEAL", "PR_SET_MM", "FreeOSMemory"}
	eachGoFile(t, func(name string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(calls, s.Sel.Name) {
				t.Errorf("%s uses %s: no code of ours gives back, remaps or protects memory", name, s.Sel.Name)
			}
			return true
		})
	})
}

// interruptible are the calls that can end with EINTR: that wait, or have to do with files,
// whose server may be far away.
var interruptible = strings.Fields(`
	Accept Accept4 Access Chdir Chmod Chown Chroot ClockNanosleep Connect CopyFileRange Creat Dup2 Dup3 EpollPwait EpollWait
	Faccessat Faccessat2 Fallocate Fchdir Fchmod Fchmodat Fchown Fchownat FcntlFlock Fdatasync Flock Fstat Fstatat Fstatfs Fsync
	Ftruncate Futimes Futimesat Getdents Getrandom Getxattr Kevent Lchown Lgetxattr Link Linkat Lstat Mkdir Mkdirat Mkfifo
	Mkfifoat Mknod Mknodat Nanosleep Open Openat Openat2 Pause Poll Ppoll Pread Preadv Preadv2 Pselect Pwrite Pwritev Pwritev2
	Read ReadDirent Readlink Readlinkat Readv Recvfrom Recvmsg RecvmsgBuffers Rename Renameat Renameat2 Rmdir Select Sendfile
	Sendmsg SendmsgBuffers SendmsgN Sendto Setxattr Splice Stat Statfs Statx Symlink Symlinkat SyncFileRange Tee Truncate
	Unlink Unlinkat Utime Utimes UtimesNano UtimesNanoAt Wait4 Wait6 Waitid Write Writev`)

// TestHouseRulesForInterruptedCalls: a call that a signal can interrupt is made through
// internal/retried, which says why. Tests, and what only tests and benchmarks consist of,
// may do as they like.
func TestHouseRulesForInterruptedCalls(t *testing.T) {
	eachGoFile(t, func(name string, file *ast.File) {
		for _, dir := range []string{"internal/testkit/", "internal/retried/", "bench/"} {
			if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(filepath.ToSlash(name), dir) {
				return
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains(interruptible, s.Sel.Name) {
				return true
			}
			if pkg, ok := s.X.(*ast.Ident); ok && (pkg.Name == "unix" || pkg.Name == "syscall") {
				t.Errorf("%s makes the call %s.%s, which a signal can interrupt: internal/retried makes it again", name, pkg.Name, s.Sel.Name)
			}
			return true
		})
	})
}

func TestOnePackageComment(t *testing.T) {
	comments := map[string][]string{}
	eachGoFile(t, func(name string, file *ast.File) {
		dir := filepath.Dir(name)
		if comments[dir] == nil {
			comments[dir] = []string{}
		}
		if file.Doc != nil {
			comments[dir] = append(comments[dir], name)
		}
	})
	for dir, files := range comments {
		if len(files) != 1 {
			t.Errorf("the package in %s has %d package comments, want 1: %q", dir, len(files), files)
		}
	}
}

// TestPublicAPI shows every change of what users can call as a change of one
// file, which a reviewer sees.
func TestPublicAPI(t *testing.T) {
	for pkg, name := range map[string]string{".": "api.txt", "./httpserver": "api-httpserver.txt"} {
		file := filepath.Join("docs", name)
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := goCommand(t, "linux", "doc", "-all", pkg); got != string(want) {
			t.Errorf("the public API is not that of %s. If that is meant: go doc -all %s > %s", file, pkg, file)
		}
	}
}

// TestWhatIsNotCalledIsNotLinked: what a program links is what it calls, and what that needs.
func TestWhatIsNotCalledIsNotLinked(t *testing.T) {
	linked := []struct {
		what string
		by   string // the calls that need it, beside New
	}{
		{module + "/internal/logtail.Open", "do"},
		{module + "/internal/environ.Here", "start do"},
		{module + "/internal/console.Capitalize", "start do"},
		{module + "/internal/console.New", "start do"},
		{module + "/internal/sdnotify.Dial", "start do"},
		{module + "/internal/systemd.Show", "start do"},
		{module + "/internal/proc.Snapshot", "status do"},
		{unixes + ".anyToSockaddr", ""}, // every family of addresses
		{unixes + ".ParseDirent", ""},   // package os has another
		{"unicode.PrintRanges", ""},
		{"unicode.Lo", ""},
		{"os.StartProcess", ""},
		{"go:itab.os.dirFS,io/fs.FS", ""},
		{"errors.As", ""}, // reflection; errors.AsType does without
	}
	for _, call := range strings.Fields("none status start do") {
		graph := goCommand(t, "linux", "build", "-tags", "daemon "+call, "-o", os.DevNull, "-ldflags=-dumpdep", "./bench/size")
		if !strings.Contains(graph, "main.main -> ") {
			t.Fatalf("the linker's output is no graph of what needs what: %.200s", graph)
		}
		for _, l := range linked {
			want := slices.Contains(strings.Fields(l.by), call)
			if got := strings.Contains(graph, "-> "+l.what+"\n"); got != want {
				t.Errorf("%s: links %s: %t, want %t", call, l.what, got, want)
			}
		}
	}
}

// eachGoFile calls do for every file of the module that is no test.
func eachGoFile(t *testing.T, do func(name string, file *ast.File)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (d.Name()[0] == '.' || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		do(name, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		testkit.Skip(t, "source", "the module's files are not here")
	}
}

type listed struct {
	ImportPath string
	Imports    []string
	Module     *struct{ Path string }
}

func goList(t *testing.T, system string, args ...string) []listed {
	t.Helper()
	out := goCommand(t, system, append([]string{"list", "-json=ImportPath,Imports,Module"}, args...)...)
	var list []listed
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// canLoad reports why the go command cannot be used here.
var canLoad = sync.OnceValue(func() error { return exec.Command("go", "list", "-deps", ".").Run() })

// goAnswers has what the go command wrote, a func() (string, error) for each question.
var goAnswers sync.Map

// goCommand gives what the go command writes. A user who cannot use it, such as
// one who may not read the module cache, skips the test.
func goCommand(t *testing.T, system string, args ...string) string {
	t.Helper()
	testkit.Parallel(t)
	testkit.BuiltApart(t)
	if err := canLoad(); err != nil {
		testkit.Skip(t, "go", "the go command cannot load this module here: "+err.Error())
	}
	ask, _ := goAnswers.LoadOrStore(strings.Join(append(args, system), " "), sync.OnceValues(func() (string, error) {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+runtime.GOARCH, "CGO_ENABLED=0")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, &errs)
		}
		if slices.Contains(args, "-ldflags=-dumpdep") {
			return out.String() + errs.String(), nil
		}
		return out.String(), nil
	}))
	answer, err := ask.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
