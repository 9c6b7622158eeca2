package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	// family starts a member of its group that lives, one that is a zombie
	// and one that has left the group, and says their numbers.
	helpers["family"] = func([]string) {
		var in []io.Closer
		child := func(attr *syscall.SysProcAttr) *exec.Cmd {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), helperVar+"=wait")
			cmd.SysProcAttr = attr
			w, err1 := cmd.StdinPipe()
			r, err2 := cmd.StdoutPipe()
			if err := errors.Join(err1, err2, cmd.Start()); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			r.Read(make([]byte, 1))
			in = append(in, w)
			return cmd
		}
		alive, dead, away := child(nil), child(nil), child(&syscall.SysProcAttr{Setpgid: true})
		h, err := Open(dead.Process.Pid)
		if err == nil {
			in[1].Close()
			err = h.Wait(context.Background())
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(alive.Process.Pid, dead.Process.Pid, away.Process.Pid)
		io.Copy(io.Discard, os.Stdin)
	}
}

func numbers(t *testing.T, s string) (n []int) {
	t.Helper()
	for _, f := range strings.Fields(s) {
		i, err := strconv.Atoi(f)
		if err != nil {
			t.Fatalf("helper said %q", s)
		}
		n = append(n, i)
	}
	return n
}

func TestGroup(t *testing.T) {
	p := command(t, "family")
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	n := numbers(t, p.start())
	alive, dead, away := n[0], n[1], n[2]

	want := []int{p.pid(), alive}
	slices.Sort(want)
	if got, err := Group(p.pid()); err != nil || !slices.Equal(got, want) {
		t.Errorf("Group(%d) = %v, %v, want %v", p.pid(), got, err, want)
	}
	if got, err := Group(away); err != nil || !slices.Equal(got, []int{away}) {
		t.Errorf("Group(%d) = %v, %v, want itself", away, got, err)
	}
	if got, err := Group(dead); err != nil || len(got) != 0 {
		t.Errorf("Group(%d) = %v, %v, want none", dead, got, err)
	}
	// A census says the same, also of a group that is not in it.
	for _, c := range []Census{Groups(), nil} {
		for pgid, want := range map[int][]int{p.pid(): want, away: {away}, dead: nil} {
			if got, err := c.Members(pgid); err != nil || !slices.Equal(got, want) {
				t.Errorf("Members(%d) = %v, %v, want %v", pgid, got, err, want)
			}
		}
	}
	for _, pid := range []int{p.pid(), alive, dead} {
		pgid, sid, err := GroupID(pid)
		if self, _ := unix.Getsid(0); err != nil || pgid != p.pid() || sid != self {
			t.Errorf("GroupID(%d) = %d, %d, %v, want %d, %d", pid, pgid, sid, err, p.pid(), self)
		}
	}
	if Alive(dead) || !Alive(alive) || !Alive(away) {
		t.Error("Alive: a zombie is not, the others are")
	}
	want = []int{alive, dead, away}
	slices.Sort(want)
	if got, err := Children(p.pid()); err != nil || !slices.Equal(got, want) {
		t.Errorf("Children(%d) = %v, %v, want %v", p.pid(), got, err, want)
	}
	if _, err := StartTime(dead); err != nil {
		t.Errorf("StartTime of a zombie: %v", err)
	}

	// The group outlives its leader.
	p.zombie()
	if got, err := Group(p.pid()); err == nil && slices.Contains(got, p.pid()) {
		t.Errorf("Group(%d) = %v: a zombie leader", p.pid(), got)
	}
	wide := 40 // bits; too many for a constant on small machines
	for _, pgid := range []int{0, -1, 1 << wide} {
		if got, err := Group(pgid); err == nil {
			t.Errorf("Group(%d) = %v, want an error", pgid, got)
		}
	}
	// kill(-1) would be everybody.
	if got, err := Group(1); err != nil || slices.ContainsFunc(got, func(pid int) bool {
		pgid, _ := unix.Getpgid(pid)
		return pgid != 1
	}) {
		t.Errorf("Group(1) = %v, %v", got, err)
	}
}

func TestGoneFacts(t *testing.T) {
	p := run(t, "wait")
	p.zombie()
	p.Wait()
	_, errTime := StartTime(p.pid())
	_, _, errID := GroupID(p.pid())
	_, errKids := Children(p.pid())
	_, errSnap := Snapshot(p.pid(), FieldNames())
	for name, err := range map[string]error{"StartTime": errTime, "GroupID": errID, "Children": errKids, "Snapshot": errSnap} {
		if !errors.Is(err, ErrGone) {
			t.Errorf("%s of a reaped process: %v, want ErrGone", name, err)
		}
	}
	for _, pid := range []int{0, -1} {
		_, errTime := StartTime(pid)
		_, _, errID := GroupID(pid)
		_, errKids := Children(pid)
		_, errSnap := Snapshot(pid, nil)
		for name, err := range map[string]error{"StartTime": errTime, "GroupID": errID, "Children": errKids, "Snapshot": errSnap} {
			if err == nil || errors.Is(err, ErrGone) {
				t.Errorf("%s(%d): %v, want an error that is not ErrGone", name, pid, err)
			}
		}
	}
}

func TestStartTime(t *testing.T) {
	p := run(t, "wait")
	got, err := StartTime(p.pid())
	if err != nil {
		t.Fatal(err)
	}
	// Our names have no blanks, so that awk can count fields.
	out, err := exec.Command("awk", "{print $22}", fmt.Sprintf("/proc/%d/stat", p.pid())).Output()
	if err != nil {
		t.Skipf("no awk to ask: %v", err)
	}
	if want := strings.TrimSpace(string(out)); strconv.FormatUint(got, 10) != want {
		t.Errorf("StartTime = %d, want %s", got, want)
	}
}

func TestUsername(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skipf("who am I: %v", err)
	}
	if got := Username(os.Getuid()); got != me.Username {
		t.Errorf("Username(%d) = %q, want %q", os.Getuid(), got, me.Username)
	}
	if got := Username(1999999999); got != "1999999999" {
		t.Errorf("Username of nobody = %q", got)
	}
}

func BenchmarkGroup(b *testing.B) {
	pgid := unix.Getpgrp()
	n := 0
	eachPID(func(int) { n++ })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Group(pgid); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n), "processes")
}
