package privs

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const someStatus = "Name:\tweb\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\n" +
	"Uid:\t33\t33\t33\t33\nGid:\t34\t34\t34\t34\nFDSize:\t64\nGroups:\t4 34 \n" +
	"CapInh:\t0000000000000000\nCapPrm:\t0000000000000400\nCapEff:\t0000000000000000\n" +
	"CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nSeccomp:\t0\n"

func TestParseStatus(t *testing.T) {
	st, err := parseStatus([]byte(someStatus))
	if err != nil {
		t.Fatal(err)
	}
	if st.uid != [4]int{33, 33, 33, 33} || st.gid != [4]int{34, 34, 34, 34} || !slices.Equal(st.groups, []int{4, 34}) ||
		st.permitted != 1<<10 || st.effective != 0 || st.ambient != 0 {
		t.Errorf("got %+v", st)
	}
	if _, err := parseStatus([]byte(strings.Replace(someStatus, "CapAmb:\t0000000000000000\n", "", 1))); err != nil {
		t.Errorf("without CapAmb: %v", err)
	}
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	if _, err := parseStatus(data); err != nil {
		t.Errorf("our own: %v", err)
	}
}

func TestParseStatusRefuses(t *testing.T) {
	for _, r := range [][2]string{
		{"Uid:\t33\t33\t33\t33\n", ""},
		{"Groups:\t4 34 \n", ""},
		{"CapEff:\t0000000000000000\n", ""},
		{"Uid:\t33\t33\t33\t33\n", "Uid:\t33\t33\t33\n"},
		{"Uid:\t33\t33\t33\t33\n", "Uid:\t33\t33\t33\t33\t33\n"},
		{"Uid:\t33\t33\t33\t33\n", "Uid:\t33\t33\t33\t-1\n"},
		{"Uid:\t33\t33\t33\t33\n", "Uid:\t33\t33\t33\t33\nUid:\t33\t33\t33\t33\n"},
		{"Groups:\t4 34 \n", "Groups:\t4 adm\n"},
		{"CapPrm:\t0000000000000400\n", "CapPrm:\t\n"},
		{"CapPrm:\t0000000000000400\n", "CapPrm:\tnone\n"},
	} {
		changed := strings.Replace(someStatus, r[0], r[1], 1)
		if changed == someStatus {
			t.Fatalf("%q is not in the sample", r[0])
		}
		if st, err := parseStatus([]byte(changed)); err == nil {
			t.Errorf("%q for %q: got %+v", r[1], r[0], st)
		}
	}
}

func TestCheck(t *testing.T) {
	four := func(n int) [4]int { return [4]int{n, n, n, n} }
	want := credentials{uid: all(33), gid: all(34), groups: []int{34, 4}}
	ok := func() status { return status{uid: four(33), gid: four(34), groups: []int{4, 34}} }
	tests := []struct {
		name     string
		change   func(*status)
		fromRoot bool
		want     string // in the error; empty: none
	}{
		{"as wanted", func(*status) {}, true, ""},
		{"without its own group in the list", func(s *status) { s.groups = []int{4} }, true, ""},
		{"saved uid", func(s *status) { s.uid[2] = 0 }, true, "uids are 33, 33, 0 and 33"},
		{"file system uid", func(s *status) { s.uid[3] = 0 }, true, "uids are"},
		{"saved gid", func(s *status) { s.gid[2] = 0 }, true, "gids are"},
		{"file system gid", func(s *status) { s.gid[3] = 0 }, true, "gids are"},
		{"group too many", func(s *status) { s.groups = []int{0, 4, 34} }, true, `groups are "0, 4 and 34", not "34 and 4"`},
		{"group missing", func(s *status) { s.groups = nil }, true, `groups are ""`},
		{"permitted", func(s *status) { s.permitted = 1 << 10 }, true, "capabilities 0x400 are left"},
		{"effective", func(s *status) { s.effective = 1 << 10 }, true, "capabilities"},
		{"ambient", func(s *status) { s.ambient = 1 << 10 }, true, "capabilities"},
		{"given to an ordinary user", func(s *status) { s.permitted = 1 << 10 }, false, ""},
		{"CAP_SETUID of an ordinary user", func(s *status) { s.permitted = 1 << 7 }, false, "become somebody else"},
		{"CAP_SETGID of an ordinary user", func(s *status) { s.ambient = 1 << 6 }, false, "become somebody else"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := ok()
			tt.change(&st)
			err := st.check(want, tt.fromRoot)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	root := status{uid: four(0), gid: four(4), groups: []int{4}, permitted: 1<<41 - 1, effective: 1<<41 - 1}
	if err := root.check(credentials{uid: all(0), gid: all(4), groups: []int{4}}, true); err != nil {
		t.Errorf("root with another group: %v", err)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte(someStatus))
	f.Add([]byte("Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t \nCapPrm:\t0\nCapEff:\t0\n"))
	f.Add([]byte("Uid:\nUid"))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := parseStatus(data)
		if err != nil {
			return
		}
		for _, key := range []string{"Uid:", "Gid:", "Groups:", "CapPrm:", "CapEff:"} {
			if !strings.Contains(string(data), key) {
				t.Errorf("read from %q, which has no %s", data, key)
			}
		}
		// Whatever it is, a thread with root's uid never passes for another.
		if st.uid[1] == 0 && st.check(credentials{uid: all(33), gid: all(33), groups: []int{33}}, true) == nil {
			t.Errorf("%q passes", data)
		}
	})
}
