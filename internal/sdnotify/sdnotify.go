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
	var b []byte
	valid := true
	for i, r := range text {
		before := valid
		valid = r != utf8.RuneError || strings.HasPrefix(text[i:], string(utf8.RuneError))
		switch {
		case !valid && before: // however many bytes there are, it is one mark
			b = append(b, '?')
		case !valid:
		case unicode.IsControl(r):
			b = append(b, ' ')
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	text = string(b)
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
