package attempt

import (
	"slices"
	"strings"
)

// shown is how many lines of a daemon's stderr are shown of one that has died.
const shown = 10

func linesOf(text string) []string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// explain reads what a process wrote to stderr before it died: the line that says why, if
// Go's runtime or the C library wrote a report, and the lines to show, which are that
// report's beginning. Its end is a long stack, or registers. Without a report there is no
// reason, and the last lines are shown.
func explain(text string) (reason string, lines []string) {
	all := linesOf(text)
	at := slices.IndexFunc(all, fatal)
	if at < 0 {
		return "", all[max(len(all)-shown, 0):]
	}
	// What is said just before is why: "fatal error: newosproc" comes last.
	for at > 0 && saysMore(all[at-1]) {
		at--
	}
	lines = all[at:]
	if strings.HasPrefix(lines[0], "runtime/cgo: ") || abort(lines[0]) || strings.HasPrefix(lines[0], "SIG") {
		lines = append(lines[:1:1], slices.DeleteFunc(slices.Clone(lines[1:]), register)...)
	}
	return all[at], lines[:min(len(lines), shown)]
}

// fatal is a line with which a report begins.
func fatal(line string) bool {
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "runtime/cgo: ") {
		return true
	}
	// As in "SIGABRT: abort", of the runtime.
	name, what, found := strings.Cut(line, ": ")
	return found && what != "" && what == strings.ToLower(what) && len(name) > 4 && strings.HasPrefix(name, "SIG") &&
		strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// saysMore is a line that says more than the one of the report that follows.
func saysMore(line string) bool {
	return strings.HasPrefix(line, "runtime: ") || strings.HasPrefix(line, "runtime/cgo: ") || abort(line)
}

// abort is a line of a C or C++ library that calls abort(3) next.
func abort(line string) bool {
	for _, beginning := range []string{"terminate called ", "free(): ", "malloc(): ", "malloc_consolidate(): ", "realloc(): ", "double free ", "munmap_chunk(): ",
		"corrupted ", "*** ", "Fatal glibc error: "} {
		if strings.HasPrefix(line, beginning) {
			return true
		}
	}
	return strings.Contains(line, "Assertion ") && strings.HasSuffix(line, " failed.")
}

// register is a line such as "rip    0x409a6e".
func register(line string) bool {
	f := strings.Fields(line)
	return len(f) == 2 && len(f[0]) <= 6 && strings.HasPrefix(f[1], "0x") && !strings.HasPrefix(line, "\t")
}
