package cli_test

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// If the commands could not be written on the public API, that would not be
// done.
func TestTheCommandsStandOnThePublicAPI(t *testing.T) {
	may := []string{"github.com/daemonocle/daemonocle", "github.com/spf13/cobra", "github.com/spf13/pflag"}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		testkit.Skip(t, "source", "the package's files are not here")
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !slices.Contains(may, path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}

// goCommand gives what the go command writes in the module's directory.
func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	testkit.BuiltApart(t)
	if out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput(); err != nil {
		testkit.Skip(t, "go", "the go command cannot load this module here: "+err.Error()+": "+string(out))
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestWhoDoesNotImportTheCommandsDoesNotPayForThem(t *testing.T) {
	core := strings.Fields(goCommand(t, "list", "-deps", "."))
	if !slices.Contains(core, "os") {
		t.Fatalf("the list of what the core needs is not one: %q", core)
	}
	for _, path := range core {
		if strings.HasPrefix(path, "github.com/spf13/") || path == "flag" {
			t.Errorf("a program that imports only the core links %s", path)
		}
	}
	commands := strings.Fields(goCommand(t, "list", "-deps", "./cli"))
	if !slices.Contains(commands, "github.com/spf13/cobra") {
		t.Fatalf("the list of what the commands need is not one: %q", commands)
	}
	for _, path := range commands {
		if strings.HasPrefix(path, "github.com/spf13/cobra/") || strings.Contains(path, "md2man") {
			t.Errorf("a program with a command line links %s, which makes manuals", path)
		}
	}
}

// A call of reflect.Value.MethodByName with a name that is no constant, anywhere
// in a program, makes the linker keep every exported method of every type.
func TestDeadCodeIsEliminated(t *testing.T) {
	graph := goCommand(t, "build", "-o", os.DevNull, "-ldflags=-dumpdep", "./examples/service")
	if !strings.Contains(graph, "main.main -> ") {
		t.Fatalf("the linker's output is no graph of what needs what: %.200s", graph)
	}
	for line := range strings.Lines(graph) {
		if strings.Contains(line, "<ReflectMethod>") {
			t.Fatalf("not any more; the first of the reasons: %s", line)
		}
	}
}

// Fifteen lines have the whole command line.
func TestAProgramIsShort(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "examples", "short", "main.go"))
	if err != nil {
		testkit.Skip(t, "source", "the example is not here")
	}
	lines := 0
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	if lines > 15 {
		t.Errorf("the shortest program has %d lines of code, want at most 15", lines)
	}
}
