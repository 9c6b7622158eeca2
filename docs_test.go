package daemonocle_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

// documents are what people read; paths are relative to the module.
func documents(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat("go.mod"); err != nil {
		testkit.Skip(t, "source", "the module's files are not here")
	}
	list, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(list, "README.md", "CONTRIBUTING.md")
}

var goBlock = regexp.MustCompile("(?s)\n```go\n(.*?)```")

// packages are those that a snippet without a package clause can name.
var packages = []string{"context", "crypto/tls", "errors", "fmt", "log", "log/slog", "net", "net/http", "os", "sync", "sync/atomic", "time", module, module + "/cli", module + "/httpserver"}

// TestSnippetsCompile builds every block of Go in the documents. One that
// begins with a package clause is a file. Any other is the body of a function in
// which there are a context ctx, a *daemonocle.Daemon d, a *daemonocle.Group g and a
// function work. All are built by one call of the go command, to which they seem to be
// packages of this module.
func TestSnippetsCompile(t *testing.T) {
	dir := testkit.TempDir(t)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay := map[string]string{} // seen as, and where it is
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range goBlock.FindAllStringSubmatch(string(text), -1) {
			code := m[1]
			if !strings.HasPrefix(code, "package ") {
				code = wrap(code)
			}
			if strings.Contains(code, `"`+module+"/internal/") {
				t.Errorf("snippet %d of %s imports what its readers cannot", i+1, doc)
			}
			name := fmt.Sprintf("%s-%d", filepath.Base(doc), i+1)
			file := filepath.Join(dir, name+".go")
			if err := os.WriteFile(file, []byte(code), 0o666); err != nil {
				t.Fatal(err)
			}
			overlay[filepath.Join(here, "snippets", name, name+".go")] = file
		}
	}
	if len(overlay) == 0 {
		t.Fatal("there is no snippet in any document")
	}
	plan, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, plan, 0o666); err != nil {
		t.Fatal(err)
	}
	// To ask for what the compiler exports is to compile, without to link.
	built := goCommand(t, "linux", "list", "-export", "-f", "{{.Export}}", "-overlay", file, "./snippets/...")
	if n := strings.Count(built, "\n"); n != len(overlay) {
		t.Errorf("%d of %d snippets were compiled", n, len(overlay))
	}
}

func wrap(code string) string {
	var b strings.Builder
	b.WriteString("package snippet\n\n")
	for _, p := range packages {
		if regexp.MustCompile(`\b` + filepath.Base(p) + `\.`).MatchString(code + "daemonocle.") {
			fmt.Fprintf(&b, "import %q\n", p)
		}
	}
	if !strings.Contains(b.String(), `"context"`) {
		b.WriteString("import \"context\"\n")
	}
	fmt.Fprintf(&b, "\nfunc work(context.Context) error { return nil }\n"+
		"\nfunc _(ctx context.Context, d *daemonocle.Daemon, g *daemonocle.Group) error {\n%sreturn nil\n}\n", code)
	return b.String()
}

// TestArchitectureNamesWhatExists: each `name` in the document is a file, a
// package, or an identifier that the code uses; system calls have a capital
// letter there. The file x.go can be a family x_linux.go, x_other.go and so on.
// What has a blank in it is a command, what begins with a slash the system's.
func TestArchitectureNamesWhatExists(t *testing.T) {
	documents(t)
	text, err := os.ReadFile("docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{} // in lower case
	eachGoFile(t, func(_ string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				used[strings.ToLower(n.Name)] = true
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					used[strings.ToLower(s)] = true
				}
			}
			return true
		})
	})
	names := regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(string(text), -1)
	if len(names) == 0 {
		t.Fatal("the document names nothing")
	}
	for _, m := range names {
		name := strings.ToLower(strings.TrimPrefix(m[1], "*"))
		if strings.Contains(name, " ") || used[name] || strings.HasPrefix(name, "/") || exists(m[1]) {
			continue
		}
		// package.Function
		if parts := strings.Split(name, "."); len(parts) == 2 && !slices.ContainsFunc(parts, func(s string) bool { return !used[s] }) {
			continue
		}
		t.Errorf("`%s` is no file, no package and no identifier of this module", m[1])
	}
}

func exists(name string) bool {
	if _, err := os.Stat(name); err == nil {
		return true
	}
	if _, err := os.Stat(filepath.Join("docs", name)); err == nil {
		return true
	}
	family, isGo := strings.CutSuffix(name, ".go")
	if !isGo {
		return false
	}
	list, err := filepath.Glob(family + "_*.go")
	return err == nil && len(list) > 0
}

// TestLinksLead: what a document links to, or shows as a picture, is there, and has the heading.
func TestLinksLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]*)#?([^)]*)\)`)
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file := filepath.Join(filepath.Dir(doc), m[1])
			if m[1] == "" {
				file = doc
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", doc, err)
			} else if m[2] != "" && !slices.Contains(anchors(t, file), m[2]) {
				t.Errorf("%s: %s has no heading %q", doc, file, m[2])
			}
		}
	}
}

// anchors are what links call the headings of a document.
func anchors(t *testing.T, file string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		words := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(words, " ", "-"))
	}
	return list
}

// TestReadmeIsShort: it says what this is and where to read on; all else has a page.
func TestReadmeIsShort(t *testing.T) {
	documents(t)
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 220 {
		t.Errorf("README.md has %d lines", lines)
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if !strings.Contains(string(text), "]("+filepath.ToSlash(page)+")") {
			t.Errorf("README.md does not lead to %s", page)
		}
	}
}

// TestContractNamesWhatIsRead: variables that the core reads, and fields that a
// status can have.
func TestContractNamesWhatIsRead(t *testing.T) {
	documents(t)
	text, err := os.ReadFile("docs/CONTRACT.md")
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`^(TERM|CLICOLOR|[A-Z0-9]+(_[A-Z0-9]+)+)$`)
	names := daemonocle.StatusFields()
	eachGoFile(t, func(name string, file *ast.File) {
		dir, _, _ := strings.Cut(filepath.ToSlash(name), "/")
		if dir == "bench" || dir == "examples" || strings.Contains(name, "testkit") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && variable.MatchString(s) {
					names = append(names, s)
				}
			}
			return true
		})
	})
	if !slices.Contains(names, "NO_COLOR") {
		t.Fatalf("found only %q", names)
	}
	for _, name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/CONTRACT.md does not name %s", name)
		}
	}
}

var unitBlock = regexp.MustCompile("(?s)\n```ini\n(.*?)```")

// TestUnitsTakeAnAbandonedWorker: what AbandonAfter has ended by SIGTERM is no failure of
// the service, in no unit that somebody may copy.
func TestUnitsTakeAnAbandonedWorker(t *testing.T) {
	units := 0
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range unitBlock.FindAllStringSubmatch(string(text), -1) {
			if !regexp.MustCompile(`(?m)^ExecStart=.* start\b`).MatchString(m[1]) {
				continue
			}
			units++
			if !strings.Contains(m[1], "\nSuccessExitStatus=143\n") {
				t.Errorf("%s: without SuccessExitStatus=143:\n%s", doc, m[1])
			}
		}
	}
	if units == 0 {
		t.Error("there is no unit in any document")
	}
}
