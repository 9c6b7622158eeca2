// Package sdnotify tells a service manager how its service is (sd_notify(3)), or a
// supervisor, by a newline, that it is ready; and it hears what others tell.
//
// A Conn's socket is connected once, so that it can be used from within a chroot, and
// is close-on-exec: what the service starts has no say.
package sdnotify

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// States that Send can send.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Watchdog = "WATCHDOG=1"
)

// maxStatus: a message of more than 4096 bytes is ignored as a whole.
const maxStatus = 2048

// Status describes the service in words. What would end the field, or make the
// manager ignore it, is replaced.
func Status(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxStatus {
		text = text[:maxStatus]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
	}
	return "STATUS=" + text
}

// mainPID hands the service over to another of its processes.
func mainPID(pid int) string { return "MAINPID=" + strconv.Itoa(pid) }
