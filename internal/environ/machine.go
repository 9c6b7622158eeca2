package environ

import (
	"hash/fnv"
	"os"
	"strconv"
	"strings"
)

// Machine is a name for all processes that can name each other by their PIDs, for
// files in a place that several machines and containers may share. It is the same
// after a restart of the machine and with another host name, where the machine has an
// identity (machine-id(5), which is not to be published: this is a hash).
//
// A container with PIDs of its own counts as another machine. Its identity is often
// that of its image, or none, so that the running kernel and the PID namespace are
// part of the name.
func Machine() string {
	host, _ := os.Hostname()
	return machineName(machineID(), host, pidNamespace())
}

// machineName: the host name, which changes with the network, counts only where there is
// no better one. namespace is empty for that of the machine itself.
func machineName(id, host, namespace string) string {
	if id == "" {
		id = host
	}
	h := fnv.New64a()
	h.Write([]byte("daemonocle\x00" + id + "\x00" + namespace))
	s := strconv.FormatUint(h.Sum64(), 16)
	return strings.Repeat("0", 16-len(s)) + s
}

// parseMachineID: while a machine is being installed there is another word.
func parseMachineID(text string) string {
	id := strings.TrimSpace(text)
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}
