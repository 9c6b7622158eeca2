package systemd

import (
	"os"
	"strings"
	"testing"
)

func TestServiceOf(t *testing.T) {
	self := os.Geteuid()
	for _, c := range []struct {
		name, cgroup string
		unit         string // empty: none
		scope        Scope
		restart      string // what is typed, without "systemctl "
	}{
		{"version 2", "0::/system.slice/web.service\n", "web.service", Scope{}, "restart web.service"},
		{"version 1", "12:pids:/system.slice/other.service\n1:name=systemd:/system.slice/web.service\n0::/\n", "web.service", Scope{}, "restart web.service"},
		{"both", "1:name=systemd:/system.slice/web.service\n0::/system.slice/web.service\n", "web.service", Scope{}, "restart web.service"},
		{"only version 2 is its own", "9:name=systemd:/\n0::/system.slice/web.service\n", "web.service", Scope{}, "restart web.service"},
		{"only part of version 1", "1:name=systemd:/user.slice\n0::/system.slice/web.service\n", "", Scope{}, ""},
		{"colon", "0::/a:b.service\n", "a:b.service", Scope{}, "restart a:b.service"},
		{"no line end", "0::/system.slice/web.service", "web.service", Scope{}, "restart web.service"},
		{"template", "0::/system.slice/system-pool.slice/pool@3.service\n", "pool@3.service", Scope{}, "restart pool@3.service"},
		{"escaped by systemd", `0::/system.slice/a\x2db.service` + "\n", `a\x2db.service`, Scope{}, `restart 'a\x2db.service'`},
		{"escaped for the kernel", "0::/system.slice/_memory.service\n", "memory.service", Scope{}, "restart memory.service"},
		{"dash", "0::/system.slice/-x.service\n", "-x.service", Scope{}, "restart -- -x.service"},
		{"outside of the reader's namespace", "0::/../../system.slice/web.service\n", "web.service", Scope{}, "restart web.service"},
		{"user's", "0::/user.slice/user-4711.slice/user@4711.service/app.slice/web.service\n", "web.service", Scope{User: true, UID: 4711}, "--user --machine=4711@.host restart web.service"},
		{"a user's manager itself", "0::/user.slice/user-4711.slice/user@4711.service\n", "user@4711.service", Scope{}, "restart user@4711.service"},
		{"below something like a manager", "0::/user@x.service/web.service\n", "web.service", Scope{}, "restart web.service"},

		{"cron's", "0::/system.slice/cron.service\n", "cron.service", Scope{}, "restart cron.service"},
		{"session", "0::/user.slice/user-1000.slice/session-3.scope\n", "", Scope{}, ""},
		{"slice", "0::/system.slice\n", "", Scope{}, ""},
		{"part of a service", "0::/system.slice/web.service/payload\n", "", Scope{}, ""},
		{"root", "0::/\n", "", Scope{}, ""},
		{"only controllers", "4:memory:/system.slice/web.service\n", "", Scope{}, ""},
		{"deleted", "0::/system.slice/web.service (deleted)\n", "", Scope{}, ""},
		{"no name", "0::/system.slice/.service\n", "", Scope{}, ""},
		{"no unit's name", "0::/system.slice/a b;c.service\n", "", Scope{}, ""},
		{"no path", "0::", "", Scope{}, ""},
		{"no file of that kind", "x", "", Scope{}, ""},
		{"empty", "", "", Scope{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ok := ServiceIn([]byte(c.cgroup))
			if ok != (c.unit != "") || s.Unit != c.unit || s.Scope != c.scope {
				t.Fatalf("got %+v, %v", s, ok)
			}
			if got := s.Command("restart"); ok && got != "systemctl "+c.restart {
				t.Errorf("got %q, want %q", got, c.restart)
			}
		})
	}
	if got, want := (Service{Scope: Scope{User: true, UID: self}, Unit: "web.service"}).Command("stop"), "systemctl --user stop web.service"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		group, of string
		want      bool
	}{
		{"/system.slice/web.service", "/system.slice/web.service", true},
		{"/system.slice/web.service/.control", "/system.slice/web.service", true},
		{"/system.slice/web.service2", "/system.slice/web.service", false},
		{"/system.slice", "/system.slice/web.service", false},
		{"", "", false},
		{"/", "", false},
	} {
		if got := within(c.group, c.of); got != c.want {
			t.Errorf("%q in %q: %v", c.group, c.of, got)
		}
	}
}

// FuzzServiceOf: what goes to systemctl and into a line that a person types is a unit's
// name and nothing else.
func FuzzServiceOf(f *testing.F) {
	f.Add([]byte("1:name=systemd:/a/user@7.service/b.service\n0::/x\n"))
	f.Add([]byte("0::/a:b/_c.service"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, ok := ServiceIn(data)
		if !ok {
			return
		}
		if !strings.HasSuffix(s.Unit, ".service") || strings.ContainsAny(s.Unit, "/\n '\"$`;&|") || s.Scope.UID < 0 {
			t.Errorf("%+v", s)
		}
		if !within(s.group, s.group) || !within(s.group+"/.control", s.group) {
			t.Errorf("%+v is not within itself", s)
		}
	})
}
