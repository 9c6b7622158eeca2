package attempt

import (
	"slices"
	"strings"
	"testing"
)

// The beginnings and ends of what Go's runtime and the C library really write.
func TestExplain(t *testing.T) {
	registers := "rax    0x0\nrbx    0x1\nrip    0x409a6e\nrflags 0x212\ncs     0x33\nfs     0x0\ngs     0x0\n"
	stack := "goroutine 1 gp=0xc000002380 m=0 mp=0x5a0c40 [running]:\nmain.main()\n\t/src/main.go:9 +0x1d\n"
	long := strings.Repeat("main.f()\n\t/src/main.go:7 +0x2\n", 40)
	for _, tt := range []struct{ name, text, reason string }{
		{"nothing", "", ""},
		{"words", "cannot open the database\n", ""},
		{"panic", "panic: boom\n\ngoroutine 1 [running]:\n" + long, "panic: boom"},
		{"panic of an error", "panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4a]\n\n" + stack,
			"panic: runtime error: invalid memory address or nil pointer dereference"},
		{"abort", "SIGABRT: abort\nPC=0x409a6e m=0 sigcode=0\n\n" + stack + registers, "SIGABRT: abort"},
		{"signal from outside", "starting\nSIGQUIT: quit\nPC=0x409a6e m=0 sigcode=0\n\n" + stack + registers, "SIGQUIT: quit"},
		{"fault in C", "fatal error: unexpected signal during runtime execution\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4]\n\n" + stack,
			"fatal error: unexpected signal during runtime execution"},
		{"fault", "SIGSEGV: segmentation violation\nPC=0x4 m=0 sigcode=1 addr=0x0\nsignal arrived during cgo execution\n\n" + stack + registers, "SIGSEGV: segmentation violation"},
		{"no threads, cgo", "runtime/cgo: pthread_create failed: Resource temporarily unavailable\nSIGABRT: abort\nPC=0x7f m=0 sigcode=18446744073709551610\n\n" + stack + registers,
			"runtime/cgo: pthread_create failed: Resource temporarily unavailable"},
		{"no threads", "runtime: failed to create new OS thread (have 5 already; errno=11)\nruntime: may need to increase max user processes (ulimit -u)\nfatal error: newosproc\n\n" + long,
			"runtime: failed to create new OS thread (have 5 already; errno=11)"},
		{"no memory", "fatal error: runtime: cannot allocate memory\n\n" + long, "fatal error: runtime: cannot allocate memory"},
		{"no memory, with its size", "runtime: out of memory: cannot allocate 4194304-byte block (3997696 in use)\nfatal error: out of memory\n\n" + long,
			"runtime: out of memory: cannot allocate 4194304-byte block (3997696 in use)"},
		{"stack", "runtime: goroutine stack exceeds 1000000000-byte limit\nruntime: sp=0xc0200e0388 stack=[0xc0200e0000, 0xc0400e0000]\nfatal error: stack overflow\n\n" + long,
			"runtime: goroutine stack exceeds 1000000000-byte limit"},
		{"maps", "fatal error: concurrent map writes\n\n" + stack, "fatal error: concurrent map writes"},
		{"deadlock", "fatal error: all goroutines are asleep - deadlock!\n\n" + stack, "fatal error: all goroutines are asleep - deadlock!"},
		{"assertion", "prog: lib.c:7: check: Assertion `n > 0' failed.\nSIGABRT: abort\nPC=0x7f m=0 sigcode=18446744073709551610\n\n" + stack + registers,
			"prog: lib.c:7: check: Assertion `n > 0' failed."},
		{"heap", "free(): invalid pointer\nSIGABRT: abort\nPC=0x7f m=0 sigcode=18446744073709551610\n\n" + stack + registers, "free(): invalid pointer"},
		{"not a report", "panicking: no\nSIGHUP: Reload\nfatal: no\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reason, lines := explain(tt.text)
			if reason != tt.reason {
				t.Errorf("got reason %q, want %q", reason, tt.reason)
			}
			if len(lines) > shown || reason != "" && lines[0] != reason {
				t.Errorf("got lines %q", lines)
			}
			if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "rip ") || strings.HasPrefix(line, "gs ") }) {
				t.Errorf("registers are shown: %q", lines)
			}
		})
	}
}

func FuzzExplain(f *testing.F) {
	f.Add("a\nruntime: x\nfatal error: newosproc\nrax 0x0\n")
	f.Add("SIGABRT: abort\nrax    0x0\n\n")
	f.Add("runtime/cgo: ")
	f.Fuzz(func(t *testing.T, text string) {
		reason, lines := explain(text)
		if len(lines) > shown {
			t.Errorf("%d lines", len(lines))
		}
		if !strings.Contains(text, reason) || reason != "" && lines[0] != reason {
			t.Errorf("reason %q of %q", reason, lines)
		}
		for _, line := range lines {
			if !strings.Contains(text, line) || strings.Contains(line, "\n") {
				t.Errorf("line %q", line)
			}
		}
	})
}
