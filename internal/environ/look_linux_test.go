package environ

import (
	"os"
	"os/exec"
	"slices"
	"testing"
)

func TestSurveyHere(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("NOT TESTED: no /proc: ", err)
	}
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleep.Wait()
	defer sleep.Process.Kill()
	f := survey()
	f.lookAround()
	if f.cgroup == "" || f.parent.pid != os.Getppid() {
		t.Errorf("cgroup %q, parent %+v", f.cgroup, f.parent)
	}
	all := f.processes()
	at := func(pid int) process {
		if i := slices.IndexFunc(all, func(p process) bool { return p.pid == pid }); i >= 0 {
			return all[i]
		}
		t.Errorf("process %d is not seen", pid)
		return process{}
	}
	me, child := at(os.Getpid()), at(sleep.Process.Pid)
	if me.cgroup != f.cgroup || me.start == 0 || me.start > child.start || child.cgroup != f.cgroup {
		t.Errorf("got %+v and its child %+v, in %q", me, child, f.cgroup)
	}
}

func TestParseStat(t *testing.T) {
	rest := " 1 50 50 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 2 3"
	for text, want := range map[string]process{
		"50 (my app) S" + rest:           {pid: 50, start: 4711, name: "my app"},
		"50 () R 9 (x) S) S" + rest:      {pid: 50, start: 4711, name: ") R 9 (x) S"},
		"50 (systemd) Z" + rest:          {},
		"50 (x) S 1 50":                  {},
		"(x) S" + rest:                   {},
		"-5 (x) S" + rest:                {},
		"50 (x) S" + rest[:len(rest)-12]: {},
		"":                               {},
	} {
		if got, ok := parseStat([]byte(text)); got.pid != want.pid && ok || got.start != want.start && ok || got.name != want.name && ok || ok != (want.pid > 0) {
			t.Errorf("%q: got %+v, %v", text, got, ok)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("50 (my app) S 1 50 50 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 2 3\n"), "0::/system.slice/web.service\n")
	f.Fuzz(func(t *testing.T, stat []byte, cgroup string) {
		if p, ok := parseStat(stat); ok && p.pid <= 0 {
			t.Errorf("got %+v", p)
		}
		s := scene{container: true, cgroup: cgroup, others: []process{{pid: 1, cgroup: cgroup, name: string(stat)}}}
		s.facts().place()
	})
}
