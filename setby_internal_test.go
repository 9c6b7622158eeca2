//go:build unix

package daemonocle

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/pidfile"
	"github.com/daemonocle/daemonocle/internal/privs"
)

func TestSettingNamesAreTheFieldsOfConfig(t *testing.T) {
	var fields []string
	for f := range reflect.TypeFor[Config]().Fields() {
		fields = append(fields, f.Name)
	}
	if !slices.Equal(settingNames, fields) {
		t.Errorf("got %q, want %q", settingNames, fields)
	}
}

// Every hint that speaks of a setting names what the operator has in its place, and the field
// where there is nothing.
func TestHintsNameWhatTheOperatorSets(t *testing.T) {
	setBy := map[string]string{}
	for f := range reflect.TypeFor[Config]().Fields() {
		setBy[f.Name] = "--op-" + strings.ToLower(f.Name)
	}
	file := filepath.Join(t.TempDir(), "x.pid")
	refused := &privs.Error{Step: "setuid", Err: syscall.EPERM}
	for _, operator := range []bool{false, true} {
		c := Config{Name: "hinting", PIDFile: file}
		if operator {
			c.SetBy = setBy
		}
		d, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		odd := &paths.UnsafeError{Path: "/x", UID: 1, Mode: fs.ModeDir | 0o777}
		link := &paths.LinkError{Path: "/x", UID: 1}
		for i, tt := range []struct {
			hint     string
			settings []string
		}{
			{d.plan.PIDFileFault("start", &pidfile.UntrustedError{}).Hint, []string{"PIDFile"}},
			{d.plan.PIDFileFault("start", &pidfile.BusyError{Report: &pidfile.Report{State: pidfile.Blocked, PID: 1}}).Hint, []string{"PIDFile"}},
			{d.plan.PIDFileFault("start", odd).Hint, []string{"PIDFile"}},
			{d.plan.PIDFileFault("start", link).Hint, []string{"PIDFile"}},
			{d.plan.PIDFileFault("start", fmt.Errorf("open: %w", fs.ErrPermission)).Hint, []string{"PIDFile"}},
			{d.plan.Unsafe("start", odd, "StdoutFile").Hint, []string{"StdoutFile"}},
			{d.plan.LinkHint("WorkDir"), []string{"WorkDir"}},
			{d.plan.LinkHint("ChrootDir"), []string{"ChrootDir"}},
			{refused.Hint(d.plan.Setting("User", "Group")), []string{"User", "Group"}},
		} {
			for _, s := range tt.settings {
				want := s
				if operator {
					want = setBy[s]
				}
				if !strings.Contains(tt.hint, want) {
					t.Errorf("%d: %q does not name %s", i, tt.hint, want)
				}
				if operator && regexp.MustCompile(`\b`+s+`\b`).MatchString(tt.hint) {
					t.Errorf("%d: %q names the field %s", i, tt.hint, s)
				}
			}
		}
		if got := d.plan.Setting("PIDFile", "PIDFile"); strings.Contains(got, " and ") {
			t.Errorf("named twice: %q", got)
		}
	}
	if e := (&ConfigError{Setting: "PIDFile", Value: "/x", Err: errors.New("is odd"), SetBy: "XDG_STATE_HOME"}); e.Error() != `XDG_STATE_HOME "/x": is odd` {
		t.Errorf("a variable: %v", e)
	}
}
