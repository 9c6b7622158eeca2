package environ

import (
	"bytes"
	"os"
	"strings"
)

// container looks for evidence, the most particular first: Kubernetes runs on
// containerd, CRI-O or Docker, ECS on Docker, and their names say more.
func container(in root, getenv func(string) string) string {
	switch {
	case getenv("KUBERNETES_SERVICE_HOST") != "":
		return "kubernetes"
	case getenv("ECS_CONTAINER_METADATA_URI_V4") != "", getenv("ECS_CONTAINER_METADATA_URI") != "":
		return "ecs"
	}
	// With a cgroup namespace of our own the first says only "/", but the mounts
	// still tell.
	cgroups := min(
		cgroup(in.read("proc/self/cgroup")),
		cgroup(in.read("proc/1/cgroup")))
	mounts := mountinfo(in.read("proc/self/mountinfo"))
	if found := min(cgroups, mounts); found < none {
		return found.String()
	}
	if in.exists("run/.containerenv") {
		return podman.String()
	}
	if in.exists(".dockerenv") && !leftover(in) {
		return docker.String()
	}
	// https://systemd.io/CONTAINER_INTERFACE: the variable is PID 1's, which
	// only root may read; systemd as PID 1 writes it down for everybody.
	for _, name := range []string{
		variable(in.read("proc/1/environ"), "container"),
		string(in.read("run/systemd/container")),
		string(in.read("run/host/container-manager")),
		getenv("container"),
	} {
		if name = strings.TrimSpace(name); name != "" {
			return word(name)
		}
	}
	return ""
}

// kind is ordered by how particular it is.
type kind int

const (
	kubernetes kind = iota
	ecs
	podman
	docker
	lxc
	crio
	containerd
	none
)

func (k kind) String() string {
	return [...]string{"kubernetes", "ecs", "podman", "docker", "lxc", "cri-o", "containerd", ""}[k]
}

// cgroup judges a /proc/PID/cgroup file, of version 1 or 2.
func cgroup(data []byte) kind {
	found := none
	for line := range bytes.Lines(data) {
		// hierarchy:controllers:path; the path may have colons of its own.
		f := strings.SplitN(strings.TrimRight(string(line), "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		for element := range strings.SplitSeq(f[2], "/") {
			found = min(found, cgroupElement(element))
		}
	}
	return found
}

// cgroupElement judges whole elements and not substrings: the engines' own
// services (docker.service, cri-dockerd.service, lxcfs.service), their monitors
// (libpod-conmon-ID.scope, lxc.monitor.NAME) and the scope of a podman command
// (podman-1234.scope) are on the host.
func cgroupElement(e string) kind {
	e = strings.ToLower(e)
	switch {
	case strings.HasSuffix(e, ".service"), strings.HasSuffix(e, ".socket"), strings.HasSuffix(e, ".mount"),
		strings.Contains(e, "conmon"):
		return none
	case strings.HasPrefix(e, "kubepods"):
		return kubernetes
	case e == "ecs", strings.HasPrefix(e, "ecstasks"):
		return ecs
	case strings.HasPrefix(e, "libpod-"), e == "libpod_parent", named(e, "podman"):
		return podman
	case e == "docker", named(e, "docker"):
		return docker
	case e == "lxc", e == "lxc.payload", strings.HasPrefix(e, "lxc.payload."):
		return lxc
	case named(e, "crio"):
		return crio
	case e == "containerd", strings.HasPrefix(e, "cri-"), strings.Contains(e, ":cri-containerd:"), named(e, "nerdctl"):
		return containerd
	}
	return none
}

// named reports whether e is engine-ID or engine-ID.scope with an ID as engines
// make them: hexadecimal and long, unlike the PID in podman-1234.scope.
func named(e, engine string) bool {
	id, ok := strings.CutPrefix(e, engine+"-")
	return ok && isID(strings.TrimSuffix(id, ".scope"))
}

func isID(s string) bool { return len(s) >= 12 && strings.Trim(s, "0123456789abcdef") == "" }

// mountinfo judges a /proc/PID/mountinfo file. A host that runs containers
// mounts their file systems, too, so only those mounts count that an engine makes
// over a container's own files.
func mountinfo(data []byte) kind {
	found := none
	for line := range bytes.Lines(data) {
		// id parent device root point options [tags...] - type source super
		before, after, ok := bytes.Cut(line, []byte(" - "))
		if !ok {
			continue
		}
		f, super := strings.Fields(string(before)), strings.Fields(string(after))
		if len(f) < 6 || len(super) < 1 {
			continue
		}
		source, point, fstype := f[3], f[4], super[0]
		switch point {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf":
			found = min(found, ownFile(source))
		case "/":
			if fstype == "overlay" && len(super) >= 3 {
				found = min(found, ownRoot(super[2]))
			}
		case "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/uptime":
			if fstype == "fuse.lxcfs" {
				found = min(found, lxc)
			}
		}
	}
	return found
}

// ownFile judges where one of the three files that every engine writes for a
// container comes from.
func ownFile(source string) kind {
	switch {
	case strings.Contains(source, "/kubelet/pods/"):
		return kubernetes
	case strings.Contains(source, "-containers/") && strings.Contains(source, "/userdata/"):
		return podman // and CRI-O: they share containers/storage
	case strings.Contains(source, "/containers/storage/"):
		return podman
	case strings.Contains(source, "/nerdctl/"), strings.Contains(source, "/io.containerd."):
		return containerd
	case strings.Contains(source, "/docker/containers/"):
		return docker
	}
	// Docker with a data directory of one's own: .../containers/ID/hosts.
	if f := strings.Split(source, "/"); len(f) >= 3 && f[len(f)-3] == "containers" && isID(f[len(f)-2]) {
		return docker
	}
	return none
}

// ownRoot judges the layers of an overlay that is our root directory: no host
// boots from an engine's storage.
func ownRoot(layers string) kind {
	switch {
	case strings.Contains(layers, "/containers/storage/overlay/"):
		return podman
	case strings.Contains(layers, "/docker/overlay2/"):
		return docker
	case strings.Contains(layers, "/io.containerd.snapshotter."):
		return containerd
	}
	return none
}

// leftover reports whether /.dockerenv came with an image that was turned into
// a machine: we are in the kernel's first PID namespace, whose inode is a
// constant (PROC_PID_INIT_INO), and no container's files are mounted. A
// container that shares its host's PID namespace has those mounts, and was found
// by them.
func leftover(in root) bool {
	ns, err := os.Readlink(string(in) + "proc/self/ns/pid")
	return err == nil && ns == "pid:[4026531836]"
}

// variable finds one in an environ file.
func variable(environ []byte, name string) string {
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(v, []byte(name+"=")); ok {
			return string(value)
		}
	}
	return ""
}

// word lets only what can be a name into messages.
func word(s string) string {
	const fine = "abcdefghijklmnopqrstuvwxyz0123456789-_."
	if len(s) > 32 || strings.Trim(s, fine) != "" {
		return "container"
	}
	return s
}

// root is the directory that everything is looked for below, with a slash at its end: "/",
// but for a test. An fs.FS would add 15 KB to whatever starts a daemon.
type root string

func (r root) read(name string) []byte {
	data, err := os.ReadFile(string(r) + name)
	if err != nil {
		return nil // not there or not for us: no evidence
	}
	return data
}

func (r root) exists(name string) bool {
	_, err := os.Stat(string(r) + name)
	return err == nil
}
