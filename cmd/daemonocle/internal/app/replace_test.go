package app

import "testing"

// What comes to the same is the same daemon; everything else that is remembered tells two
// apart.
func TestCompare(t *testing.T) {
	base := func() definition {
		return definition{Version: 1, Name: "web", Program: "/bin/p", Args: words{"a"}, Directory: "/", Env: words{"A=1", "B=2"}}
	}
	const command, settings = "another command", "the same command with other settings"
	for name, tt := range map[string]struct {
		change func(d *definition)
		want   string
	}{
		"nothing":             {func(d *definition) {}, ""},
		"usual umask":         {func(d *definition) { d.Umask = "0022" }, ""},
		"usual signal":        {func(d *definition) { d.StopSignal = "15" }, ""},
		"usual reload signal": {func(d *definition) { d.ReloadSignal = "sighup" }, ""},
		"usual timeout":       {func(d *definition) { d.StopTimeout = "10s" }, ""},
		"order of variables":  {func(d *definition) { d.Env = words{"B=2", "A=1"} }, ""},
		"a variable twice":    {func(d *definition) { d.Env = words{"A=0", "B=2", "A=1"} }, ""},
		"program":             {func(d *definition) { d.Program = "/bin/q" }, command},
		"argument":            {func(d *definition) { d.Args = words{"b"} }, command},
		"one argument more":   {func(d *definition) { d.Args = words{"a", ""} }, command},
		"no argument":         {func(d *definition) { d.Args = nil }, command},
		"directory":           {func(d *definition) { d.Directory = "/tmp" }, settings},
		"variable":            {func(d *definition) { d.Env = words{"A=1", "B=3"} }, settings},
		"no variable":         {func(d *definition) { d.Env = nil }, settings},
		"variable removed":    {func(d *definition) { d.Env = words{"A=1", "B"} }, settings},
		"user":                {func(d *definition) { d.User = "www" }, settings},
		"group":               {func(d *definition) { d.Group = "www" }, settings},
		"umask":               {func(d *definition) { d.Umask = "027" }, settings},
		"nice":                {func(d *definition) { d.Nice = 1 }, settings},
		"signal":              {func(d *definition) { d.StopSignal = "INT" }, settings},
		"reload signal":       {func(d *definition) { d.ReloadSignal = "USR1" }, settings},
		"timeout":             {func(d *definition) { d.StopTimeout = "11" }, settings},
		"notify":              {func(d *definition) { d.Notify = true }, settings},
		"ready port":          {func(d *definition) { d.ReadyPort = "80" }, settings},
		"ready socket":        {func(d *definition) { d.ReadySocket = "/s" }, settings},
		"ready line":          {func(d *definition) { d.ReadyLine = "x" }, settings},
	} {
		its, mine := base(), base()
		tt.change(&mine)
		if got := mine.compare(&occupant{pid: 1, def: &its}); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		if got := its.compare(&occupant{pid: 1, def: &mine}); got != tt.want {
			t.Errorf("%s, the other way round: got %q, want %q", name, got, tt.want)
		}
	}
	a, b := base(), base()
	a.ReadyPort, b.ReadyPort = "80", "localhost:80"
	if got := a.compare(&occupant{pid: 1, def: &b}); got != "" {
		t.Errorf("the same port: %q", got)
	}
	// Of one that is not remembered there is what the kernel knows.
	for _, tt := range []struct {
		cmdline []string
		want    string
	}{
		{nil, ""},
		{[]string{"/bin/p", "a"}, ""},
		{[]string{"p", "a"}, ""},
		{[]string{"/bin/sh", "/bin/p", "a"}, ""},
		{[]string{"/bin/p"}, command},
		{[]string{"/bin/p", "b"}, command},
		{[]string{"a"}, command},
		{[]string{"p: serving"}, command},
	} {
		if got := a.compare(&occupant{pid: 1, cmdline: tt.cmdline}); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.cmdline, got, tt.want)
		}
	}
}
