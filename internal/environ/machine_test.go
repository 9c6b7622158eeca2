package environ

import "testing"

func TestMachineName(t *testing.T) {
	const a, b = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	type what struct{ id, host, namespace string }
	same := func(x, y what) bool {
		return machineName(x.id, x.host, x.namespace) == machineName(y.id, y.host, y.namespace)
	}
	for _, tt := range []struct {
		x, y what
		same bool
	}{
		{what{a, "home", ""}, what{a, "office", ""}, true}, // a laptop
		{what{a, "home", ""}, what{b, "home", ""}, false},  // two machines with one home
		{what{"", "home", ""}, what{"", "office", ""}, false},
		{what{a, "home", ""}, what{a, "home", "pid:[1]boot"}, false}, // machine and container
		{what{a, "home", "pid:[1]boot"}, what{a, "home", "pid:[2]boot"}, false},
		{what{a, "home", "pid:[1]boot"}, what{a, "home", "pid:[1]reboot"}, false}, // two nodes of a cluster
	} {
		if got := same(tt.x, tt.y); got != tt.same {
			t.Errorf("%v, %v: the same is %t", tt.x, tt.y, got)
		}
	}
	if got := Machine(); len(got) != 16 || got != Machine() {
		t.Errorf("got %q", got)
	}
}

func TestParseMachineID(t *testing.T) {
	for text, want := range map[string]string{
		"0123456789abcdef0123456789abcdef\n": "0123456789abcdef0123456789abcdef",
		"":                                   "",
		"uninitialized\n":                    "",
		"00000000000000000000000000000000\n": "",
		"0123456789ABCDEF0123456789ABCDEF\n": "",
	} {
		if got := parseMachineID(text); got != want {
			t.Errorf("%q: got %q", text, got)
		}
	}
}
