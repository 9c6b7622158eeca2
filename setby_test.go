package daemonocle_test

import (
	"context"
	"errors"
	"go/ast"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
)

// settings are the fields of Config, and what an operator could have in their places.
func settings() (fields []string, setBy map[string]string) {
	setBy = map[string]string{}
	for f := range reflect.TypeFor[daemonocle.Config]().Fields() {
		fields = append(fields, f.Name)
		setBy[f.Name] = "--op-" + strings.ToLower(f.Name)
	}
	return fields, setBy
}

// No text that people read names a field of Config by itself: Daemon.setting does it, in the
// reader's words. A field's name of several words is none in English; one of a
// single word is taken for the field behind a verb that settings have. PIDFile= is
// systemd's.
func TestHouseRulesForSettingsInTexts(t *testing.T) {
	fields, _ := settings()
	var long, short []string
	for _, f := range fields {
		if regexp.MustCompile(`^[A-Z][a-z]+$`).MatchString(f) {
			short = append(short, f)
		} else {
			long = append(long, f)
		}
	}
	verbs := `(?i:set|leave|raise|lower|without|change|give|use)`
	named := regexp.MustCompile(`\b(` + strings.Join(long, "|") + `)\b([^=]|$)|\b` + verbs + ` (` + strings.Join(short, "|") + `)\b|\b(Config|Hooks|Program)\.[A-Z]`)
	literals := 0
	eachGoFile(t, func(name string, file *ast.File) {
		path := filepath.ToSlash(name)
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "examples/") || strings.HasPrefix(path, "bench/") || strings.HasPrefix(path, "internal/testkit/") {
			return
		}
		tags := map[*ast.BasicLit]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				tags[n.Tag] = true
			case *ast.BasicLit:
				text, err := strconv.Unquote(n.Value)
				if n.Kind != token.STRING || err != nil || tags[n] || !strings.Contains(text, " ") {
					break
				}
				literals++
				if m := named.FindString(text); m != "" {
					t.Errorf("%s: %q names a setting: %q", path, text, m)
				}
			}
			return true
		})
	})
	if literals < 500 {
		t.Errorf("only %d texts were read", literals)
	}
}

// What New says about any setting names what the operator has in its place, and nothing else
// that only who writes the program knows.
func TestErrorsOfNewNameWhatTheOperatorSets(t *testing.T) {
	fields, setBy := settings()
	dir := t.TempDir()
	mask := fs.FileMode(0o1777)
	worker := func(context.Context) error { return nil }
	lines := &daemonocle.Program{Name: "/bin/true", Ready: daemonocle.ReadyLine(regexp.MustCompile("up"))}
	private := func(string) (daemonocle.Paths, error) {
		return daemonocle.Paths{Private: dir, PIDFile: filepath.Join(dir, "x.pid")}, nil
	}
	fhs := daemonocle.FHS("/usr", "")
	for setting, c := range map[string]daemonocle.Config{
		"Name":         {Name: "a/b"},
		"Layout":       {Layout: func(string) (daemonocle.Paths, error) { return daemonocle.Paths{}, errors.New("banana") }},
		"PIDFile":      {PIDFile: dir + "/"},
		"WorkDir":      {WorkDir: filepath.Join(dir, "none")},
		"StdoutFile":   {StdoutFile: dir + "/."},
		"StderrFile":   {StderrFile: filepath.Join(dir, "x.pid"), PIDFile: filepath.Join(dir, "x.pid")},
		"ChrootDir":    {ChrootDir: dir, Layout: private},
		"User":         {User: "no-such-user"},
		"Group":        {Group: "no-such-group"},
		"Umask":        {Umask: &mask},
		"StopSignal":   {StopSignal: syscall.Signal(99), Worker: worker},
		"StopTimeout":  {StopTimeout: -time.Second},
		"StartTimeout": {StartTimeout: -time.Second},
		"StartWindow":  {StartWindow: -time.Second},
		"AbandonAfter": {AbandonAfter: -time.Second},
		"RequireReady": {RequireReady: true, Worker: daemonocle.Exec("/bin/true")},
		"Worker":       {Worker: lines.Worker()},
		"Foreground":   {Name: "banana", Foreground: true, Layout: fhs},
		"Actions":      {Actions: []daemonocle.Action{{}}},
	} {
		for _, operator := range []bool{false, true} {
			if c.Name == "" {
				c.Name = "banana"
			}
			want := "setting " + setting
			if operator {
				c.SetBy, want = setBy, "option "+setBy[setting]
			}
			_, err := daemonocle.New(c)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not name %q", setting, err, want)
				continue
			}
			_, err = daemonocle.NewGroup(c, 1)
			if err == nil || c.PIDFile != "" && !strings.Contains(err.Error(), want) {
				t.Errorf("%s in a group: %v does not name %q", setting, err, want)
			}
			for _, f := range fields {
				if word := regexp.MustCompile(`\b` + f + `\b`); operator && err != nil && len(f) > 5 && word.MatchString(err.Error()) {
					t.Errorf("%s: %v names the field %s", setting, err, f)
				}
			}
		}
	}
	if _, err := daemonocle.New(daemonocle.Config{Name: "banana", SetBy: map[string]string{"Bananas": "--bananas"}}); err == nil || !strings.Contains(err.Error(), "Bananas") {
		t.Errorf("a field that is none: %v", err)
	}
}
