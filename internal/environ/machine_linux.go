package environ

import "os"

// initialPIDs is the PID namespace of the machine itself, in every kernel
// (PROC_PID_INIT_INO).
const initialPIDs = "pid:[4026531836]"

func machineID() string {
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if b, err := os.ReadFile(path); err == nil {
			if id := parseMachineID(string(b)); id != "" {
				return id
			}
		}
	}
	return ""
}

func pidNamespace() string {
	ns, err := os.Readlink("/proc/self/ns/pid")
	if ns == initialPIDs {
		return ""
	}
	if err != nil {
		ns = "unknown"
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return ns + string(boot)
}
