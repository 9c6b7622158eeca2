//go:build unix

// Package early holds a launched process up before anything else of the program
// runs, so that a test can kill a stage, which otherwise lives for less than a
// millisecond. A test binary imports it for its effect:
//
//	TESTKIT_EARLY=stage:/path/of/fifo
//
// makes each stage (or "daemon") wait there, with all of its package variables
// still zero, until somebody has opened the FIFO for writing and closed it.
//
// It comes before the library's own init because of what the Go specification
// says of package initialization: of the packages whose imports are initialized,
// the one with the first import path is next. This one needs only syscall, and
// sorts before golang.org/x/sys/unix, without which internal/launch cannot begin.
// Another import here would break that.
package early

import "syscall"

func init() {
	spec, _ := syscall.Getenv("TESTKIT_EARLY")
	for i := range len(spec) {
		if spec[i] == ':' {
			if launchedAs(spec[:i]) {
				pass(spec[i+1:])
			}
			return
		}
	}
}

// launchedAs reports whether this process was launched in the role.
func launchedAs(role string) bool {
	const variable = "DAEMONOCLE_LAUNCH_"
	for _, kv := range syscall.Environ() {
		if len(kv) < len(variable) || kv[:len(variable)] != variable {
			continue
		}
		for i := range len(kv) {
			if kv[i] == '=' {
				value := kv[i+1:]
				return len(value) > len(role) && value[:len(role)] == role && value[len(role)] == ':'
			}
		}
	}
	return false
}

func pass(fifo string) {
	for {
		fd, err := syscall.Open(fifo, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			panic("early: open " + fifo + ": " + err.Error())
		}
		var b [1]byte
		for {
			n, err := syscall.Read(fd, b[:])
			if n <= 0 && err != syscall.EINTR {
				break
			}
		}
		syscall.Close(fd)
		return
	}
}
