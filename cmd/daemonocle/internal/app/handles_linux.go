package app

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// handles reports whether the process has a handler for the signal, as proc(5)
// tells; where that cannot be read it is trusted to.
func handles(pid int, sig syscall.Signal) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return true
	}
	return caught(string(b), sig)
}

// caught looks for the signal in the text of a status file, which is trusted if it does
// not say.
func caught(status string, sig syscall.Signal) bool {
	for line := range strings.Lines(status) {
		if mask, ok := strings.CutPrefix(line, "SigCgt:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err != nil || n&(1<<(sig-1)) != 0
		}
	}
	return true
}
