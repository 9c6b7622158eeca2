package daemonocle_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promise is one thing that a document says: an item of a list, a row of a table or a
// paragraph, in one line.
type promise struct{ section, text string }

// promisesIn are those of a document, from the section on, or of all sections.
func promisesIn(t *testing.T, file, only string) (list []promise) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	section, code := "", false
	var paragraph []string
	end := func() {
		if len(paragraph) > 0 && (only == "" || section == only) {
			list = append(list, promise{file + ": " + section, strings.Join(strings.Fields(strings.Join(paragraph, " ")), " ")})
		}
		paragraph = nil
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "```"):
			end()
			code = !code
		case code:
		case strings.HasPrefix(line, "#"):
			end()
			section = strings.TrimLeft(line, "# ")
		case strings.HasPrefix(line, "|"):
			end()
			head := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---")
			if !head && !strings.HasPrefix(line, "|---") {
				paragraph = []string{line}
			}
			end()
		case strings.HasPrefix(line, "* "):
			end()
			paragraph = []string{line}
		case line == "":
			end()
		default:
			paragraph = append(paragraph, line)
		}
	}
	end()
	return list
}

// scripts are where those lie that promises.txt names as DIRECTORY/NAME.
var scripts = map[string]string{"script": ".", "cli": "cli", "cmd": "cmd/daemonocle"}

// TestEveryPromiseIsHeld: testdata/promises.txt says by which tests each promise of the
// README and of the contract is held. A line is the beginning of a promise, " => ", and the
// names of tests, of scripts as in scripts, or "-" and why there is nothing to test.
func TestEveryPromiseIsHeld(t *testing.T) {
	documents(t)
	promises := append(promisesIn(t, "README.md", "What is promised"), promisesIn(t, "docs/CONTRACT.md", "")...)
	tests := testNames(t)
	text, err := os.ReadFile("testdata/promises.txt")
	if err != nil {
		t.Fatal(err)
	}
	held := make([]int, len(promises))
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "# "); ok || line == "" {
			section = name
			continue
		}
		begin, by, ok := strings.Cut(line, " => ")
		if !ok {
			t.Errorf("%q says no test", line)
			continue
		}
		found := 0
		for i, p := range promises {
			if p.section == section && strings.HasPrefix(p.text, begin) {
				held[i]++
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s: %d promises begin with %q, want 1", section, found, begin)
		}
		if reason, ok := strings.CutPrefix(by, "- "); ok && reason != "" {
			continue
		}
		for name := range strings.FieldsSeq(by) {
			if dir, script, ok := strings.Cut(name, "/"); ok {
				if _, err := os.Stat(filepath.Join(scripts[dir], "testdata", "script", script+".txt")); err != nil {
					t.Error(err)
				}
			} else if !tests[name] {
				t.Errorf("%q is held by %s, which is no test", begin, name)
			}
		}
	}
	for i, p := range promises {
		if held[i] != 1 {
			t.Errorf("held by %d lines: # %s\n%s", held[i], p.section, p.text)
		}
	}
}

// TestNamedTestsExist: where a document says which test holds something, there is one.
func TestNamedTestsExist(t *testing.T) {
	tests, names, found := testNames(t), regexp.MustCompile(`\b(Test|Fuzz)[A-Z][A-Za-z0-9]*\b`), 0
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		prose := goBlock.ReplaceAll(text, nil) // what is in those is the reader's
		for _, name := range names.FindAllString(string(prose), -1) {
			found++
			if !tests[name] {
				t.Errorf("%s names %s, which is no test", file, name)
			}
		}
	}
	if found == 0 {
		t.Error("no document names a test")
	}
}

// testNames are the tests of all packages.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
