//go:build unix

package plan

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/launch"
)

// TestCheckName goes through all single bytes, alone and within a name.
func TestCheckName(t *testing.T) {
	for b := range 256 {
		c := string([]byte{byte(b)})
		for _, name := range []string{c, "a" + c + "b"} {
			bad := c == "/" || b < 0x20 || b == 0x7f || name == "."
			if err := CheckName(name); (err != nil) != bad {
				t.Errorf("%q: got %v", name, err)
			}
		}
	}
	for name, bad := range map[string]bool{"": true, "..": true, "...": false, "é": false, "a\u0085b": true, "my app": false} {
		if err := CheckName(name); (err != nil) != bad {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

// TestFailureTravels: what the launcher makes of a set-up's message is what the daemon has said:
// the words, the hint, which failure it is, and whose words they are.
func TestFailureTravels(t *testing.T) {
	p := &Plan{Name: "foo"}
	for _, is := range []error{nil, fault.ErrAlreadyRunning, fault.ErrBlocked} {
		for _, errno := range []error{nil, syscall.EACCES, syscall.ENOSPC} {
			for _, capital := range []bool{true, false} {
				for _, hint := range []string{"", "eat a banana"} {
					for _, pid := range []int{0, 7} {
						var kinds []error
						for _, err := range []error{is, errno} {
							if err != nil {
								kinds = append(kinds, err)
							}
						}
						f := p.Fail("start", fault.Say("banana", kinds...))
						f.Capital, f.Hint, f.PID = capital, hint, pid
						got := p.Failure("start", FailureMessage(fmt.Errorf("in words of its own: %w", f)))
						at := fmt.Sprintf("%v, %v, capital %v, hint %q, PID %d", is, errno, capital, hint, pid)
						if got.Err.Error() != "banana" || got.PID != pid || hint != "" && got.Hint != hint {
							t.Errorf("%s: got %+v", at, got)
						}
						if errno != nil && !errors.Is(got, errno) {
							t.Errorf("%s: the system call's error is lost", at)
						}
						// Who says that another daemon runs names it, whose words are the program's does not
						// begin with ours.
						running, blocked := is == fault.ErrAlreadyRunning, is == fault.ErrBlocked && capital
						if errors.Is(got, fault.ErrAlreadyRunning) != running || errors.Is(got, fault.ErrBlocked) != blocked {
							t.Errorf("%s: it is another failure: %v", at, got)
						}
						if got.Capital != (capital && !running) {
							t.Errorf("%s: whose words these are is lost", at)
						}
					}
				}
			}
		}
	}
	for kind, want := range map[launch.Kind]error{launch.Held: fault.ErrAlreadyRunning, launch.Blocked: fault.ErrBlocked, launch.Failed: nil, launch.Refused: nil} {
		got := p.Failure("start", launch.Message{Kind: kind, Text: " \n"})
		if got.Err.Error() == "" || want != nil && !errors.Is(got, want) {
			t.Errorf("without words: got %v, want %v", got, want)
		}
	}
}

func TestSettingIsNamedByWhoeverSetsIt(t *testing.T) {
	p := &Plan{SetBy: map[string]string{"User": "--user", "Group": "--group", "Stdout": "--log", "Stderr": "--log"}}
	for want, fields := range map[string][]string{
		"--user": {"User"}, "Umask": {"Umask"}, "--user and --group": {"User", "Group"}, "--log": {"Stdout", "Stderr"},
		"--user, Umask and --log": {"User", "Umask", "Stdout", "Stderr"},
	} {
		if got := p.Setting(fields...); got != want {
			t.Errorf("%v: got %q, want %q", fields, got, want)
		}
	}
}

// TestGoodbye: the worker has the time of a stop, or less if it is abandoned before.
func TestGoodbye(t *testing.T) {
	for _, tt := range []struct{ stop, abandon, want time.Duration }{{10, 0, 10}, {10, 3, 3}, {10, 30, 10}} {
		p := &Plan{StopTimeout: tt.stop, AbandonAfter: tt.abandon}
		if got := p.Goodbye(); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

// TestRegistry: a daemon may be described twice, and two may not be taken for each other.
func TestRegistry(t *testing.T) {
	const one, other, noWorker = 1, 2, 0
	a, b := launch.Key{Name: "a", PIDFile: "/run/a"}, launch.Key{Name: "b", PIDFile: "/run/a"}
	type add struct {
		key  launch.Key
		code uintptr
		ok   bool
	}
	for name, list := range map[string][]add{
		"the same twice":             {{a, one, true}, {a, one, true}},
		"another worker":             {{a, one, true}, {a, other, false}, {a, one, true}},
		"without a worker":           {{a, noWorker, true}, {a, one, true}, {a, noWorker, true}, {a, other, false}},
		"another name for the file":  {{a, one, true}, {b, one, false}, {b, other, false}},
		"a member of a group":        {{a, one, true}, {launch.Key{Name: "a", PIDFile: "/run/a", Member: "2"}, one, false}},
		"without files":              {{launch.Key{Name: "a"}, one, true}, {launch.Key{Name: "b"}, other, true}},
		"members with their own":     {{launch.Key{Name: "a", PIDFile: "/1", Member: "1"}, one, true}, {launch.Key{Name: "a", PIDFile: "/2", Member: "2"}, other, true}},
		"the same name, other files": {{a, one, true}, {launch.Key{Name: "a", PIDFile: "/run/b"}, other, true}},
	} {
		var r registry
		for i, x := range list {
			if err := r.add(x.key, x.code); (err == nil) != x.ok {
				t.Errorf("%s, %d: got %v", name, i, err)
			}
		}
	}
}
