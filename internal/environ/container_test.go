package environ

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	id64 = "4c01db0b339c4a1f2e3d4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796"
	pod  = "pod2b8e3c1a_91d4_4a0e_9e5f_7b1c2d3e4f50"
)

// machine is a root directory. Without anything else it is a host's: PID 1 is
// systemd, and we are in a login session.
type machine struct {
	self, one, mounts string // proc/self/cgroup, proc/1/cgroup, proc/self/mountinfo
	init              string // proc/1/environ
	pidns             string
	files             map[string]string
	env               map[string]string
}

const (
	hostCgroup = "0::/user.slice/user-1000.slice/session-3.scope\n"
	hostInit   = "0::/init.scope\n"
	hostMounts = "22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw\n" +
		"27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard\n"
	firstPIDNS = "pid:[4026531836]"
	otherPIDNS = "pid:[4026532599]"
)

// in writes the files below a directory.
func (m machine) in(t *testing.T, dir string) root {
	t.Helper()
	dir += "/"
	file := func(name, data string) {
		err := os.MkdirAll(filepath.Dir(dir+name), 0o755)
		if err == nil {
			err = os.WriteFile(dir+name, []byte(data), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file("proc/self/cgroup", m.self)
	file("proc/1/cgroup", m.one)
	file("proc/self/mountinfo", m.mounts)
	file("proc/1/environ", m.init)
	if m.pidns != "" {
		err := os.MkdirAll(dir+"proc/self/ns", 0o755)
		if err == nil {
			err = os.Symlink(m.pidns, dir+"proc/self/ns/pid")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range m.files {
		file(name, data)
	}
	return root(dir)
}

func (m machine) getenv(name string) string { return m.env[name] }

// etc is the mounts of an engine over the three files, from a directory of its
// own, below a root directory.
func etc(root, dir string) string {
	return root +
		"701 690 259:1 " + dir + "/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/nvme0n1p1 rw\n" +
		"702 690 259:1 " + dir + "/hostname /etc/hostname rw,relatime - ext4 /dev/nvme0n1p1 rw\n" +
		"703 690 259:1 " + dir + "/hosts /etc/hosts rw,relatime master:12 propagate_from:3 - ext4 /dev/nvme0n1p1 rw\n"
}

const (
	plainRoot  = "690 600 0:71 / / rw,relatime - btrfs /dev/sda2 rw,subvol=/x\n"
	dockerRoot = "690 600 0:71 / / rw,relatime master:281 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A:/var/lib/docker/overlay2/l/B,upperdir=/var/lib/docker/overlay2/9f/diff,workdir=/var/lib/docker/overlay2/9f/work\n"
)

func TestContainer(t *testing.T) {
	tests := []struct {
		name string
		machine
		want string
	}{
		{"nothing to read", machine{}, ""},
		{"host", machine{self: hostCgroup, one: hostInit, mounts: hostMounts, pidns: firstPIDNS}, ""},
		{"host, cgroup v1", machine{self: "12:pids:/user.slice/user-1000.slice/session-3.scope\n1:name=systemd:/user.slice\n0::/user.slice\n", one: "12:pids:/init.scope\n"}, ""},
		{"host that runs containers", machine{self: hostCgroup, one: hostInit, pidns: firstPIDNS, mounts: hostMounts +
			"900 27 0:80 / /var/lib/docker/overlay2/9f/merged rw,relatime shared:400 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A,upperdir=/var/lib/docker/overlay2/9f/diff,workdir=/var/lib/docker/overlay2/9f/work\n" +
			"901 27 0:81 / /var/lib/containers/storage/overlay/77/merged rw - overlay overlay rw,lowerdir=/var/lib/containers/storage/overlay/l/C\n" +
			"902 27 0:82 / /run/containerd/io.containerd.runtime.v2.task/k8s.io/" + id64 + "/rootfs rw - overlay overlay rw,lowerdir=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs\n" +
			"903 27 0:83 / /var/lib/kubelet/pods/2b8e/volumes/kubernetes.io~projected/token rw - tmpfs tmpfs rw\n" +
			"904 27 0:84 / /var/lib/lxcfs rw - fuse.lxcfs lxcfs rw\n" +
			"905 27 0:4 net:[4026532600] /run/docker/netns/1a2b rw - nsfs nsfs rw\n"}, ""},
		{"host whose resolv.conf is a mount", machine{self: hostCgroup, mounts: hostMounts + "77 27 0:25 /resolvconf/resolv.conf /etc/resolv.conf rw - tmpfs tmpfs rw\n"}, ""},

		{"torn mounts", machine{mounts: "1 2 - overlay overlay rw\n1 2 3 4 / 6 - overlay\n1 2 3 4 / 6 -\n"}, ""},

		{"dockerd itself", machine{self: "0::/system.slice/docker.service\n", one: hostInit}, ""},
		{"containerd itself", machine{self: "0::/system.slice/containerd.service\n"}, ""},
		{"cri-dockerd itself", machine{self: "0::/system.slice/cri-dockerd.service\n"}, ""},
		{"lxcfs itself", machine{self: "0::/system.slice/lxcfs.service\n"}, ""},
		{"ecs agent's unit", machine{self: "0::/system.slice/ecs.service\n"}, ""},
		{"podman command", machine{self: "0::/user.slice/user-1000.slice/user@1000.service/user.slice/podman-123456.scope\n"}, ""},
		{"conmon", machine{self: "0::/machine.slice/libpod-conmon-" + id64 + ".scope\n"}, ""},
		{"crio's conmon", machine{self: "0::/system.slice/crio-conmon-" + id64 + ".scope\n"}, ""},
		{"lxc's monitor", machine{self: "0::/lxc.monitor.web\n"}, ""},
		{"unit called docker-something", machine{self: "0::/system.slice/docker-compose-app.service\n"}, ""},
		{"directory that has docker in it", machine{self: "0::/user.slice/mydocker/x\n"}, ""},
		{"libvirt's machine", machine{self: "0::/machine.slice/machine-qemu\\x2d1\\x2ddebian.scope\n"}, ""},

		{"docker, cgroup v1", machine{self: "12:pids:/docker/" + id64 + "\n1:name=systemd:/docker/" + id64 + "\n0::/system.slice/containerd.service\n"}, "docker"},
		{"docker, systemd's cgroups", machine{self: "0::/system.slice/docker-" + id64 + ".scope\n"}, "docker"},
		{"docker, moved by a systemd in it", machine{self: "0::/system.slice/app.service\n", one: "0::/docker/" + id64 + "/init.scope\n"}, "docker"},
		{"docker in docker", machine{self: "4:cpu:/docker/" + id64 + "/docker/" + id64 + "\n"}, "docker"},
		{"docker, own cgroup namespace", machine{self: "0::/\n", one: "0::/\n", pidns: otherPIDNS, mounts: etc(dockerRoot, "/var/lib/docker/containers/"+id64)}, "docker"},
		{"docker, /var/lib/docker a disk of its own", machine{self: "0::/\n", mounts: etc(plainRoot, "/docker/containers/"+id64)}, "docker"},
		{"docker, data directory of one's own", machine{self: "0::/\n", mounts: etc(plainRoot, "/srv/data/containers/"+id64)}, "docker"},
		{"docker with the host's PIDs", machine{self: "0::/\n", one: hostInit, pidns: firstPIDNS, mounts: etc(dockerRoot, "/var/lib/docker/containers/"+id64), files: map[string]string{".dockerenv": ""}}, "docker"},
		{"docker, image build", machine{self: "0::/\n", mounts: dockerRoot}, "docker"},
		{"docker by its file", machine{self: "0::/\n", pidns: otherPIDNS, files: map[string]string{".dockerenv": ""}}, "docker"},
		{"docker without /proc", machine{files: map[string]string{".dockerenv": ""}}, "docker"},
		{"machine made of a docker image", machine{self: "9:name=systemd:/\n4:memory:/process_api/5196cd1c1afd3b5557c2a4e17aa24a65\n0::/\n", one: "9:name=systemd:/\n0::/\n", mounts: hostMounts, pidns: firstPIDNS, files: map[string]string{".dockerenv": ""}}, ""},

		{"podman by its file", machine{self: "0::/\n", files: map[string]string{"run/.containerenv": "engine=\"podman-4.3.1\"\n"}}, "podman"},
		{"podman, cgroup", machine{self: "0::/machine.slice/libpod-" + id64 + ".scope/container\n"}, "podman"},
		{"podman, cgroupfs", machine{self: "11:devices:/libpod_parent/libpod-" + id64 + "\n"}, "podman"},
		{"podman, quadlet", machine{self: "0::/system.slice/web.service/libpod-payload-" + id64 + "\n"}, "podman"},
		{"podman, mounts", machine{self: "0::/\n", mounts: etc(plainRoot, "/containers/storage/overlay-containers/"+id64+"/userdata")}, "podman"},
		{"podman, mounts, rootless", machine{self: "0::/\n", mounts: etc(plainRoot, "/containers/overlay-containers/"+id64+"/userdata")}, "podman"},
		{"podman by its variable", machine{self: "0::/\n", env: map[string]string{"container": "podman"}}, "podman"},

		{"kubernetes by its variable", machine{env: map[string]string{"KUBERNETES_SERVICE_HOST": "10.96.0.1"}}, "kubernetes"},
		{"kubernetes, systemd's cgroups", machine{self: "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-" + pod + ".slice/cri-containerd-" + id64 + ".scope\n"}, "kubernetes"},
		{"kubernetes, cgroupfs", machine{self: "11:cpu,cpuacct:/kubepods/besteffort/" + pod + "/" + id64 + "\n"}, "kubernetes"},
		{"kubernetes, both mixed up", machine{self: "0::/system.slice/containerd.service/kubepods-burstable-" + pod + ".slice:cri-containerd:" + id64 + "\n"}, "kubernetes"},
		{"kubernetes on docker", machine{self: "9:pids:/kubepods/" + pod + "/" + id64 + "\n", files: map[string]string{".dockerenv": ""}}, "kubernetes"},
		{"kubernetes, mounts", machine{self: "0::/\n", mounts: etc(plainRoot, "/run/containerd/io.containerd.grpc.v1.cri/sandboxes/"+id64) +
			"704 690 259:1 /var/lib/kubelet/pods/2b8e3c1a/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"}, "kubernetes"},
		{"kubernetes on docker, mounts", machine{self: "0::/\n", mounts: etc(plainRoot, "/var/lib/docker/containers/"+id64) +
			"704 690 259:1 /var/lib/kubelet/pods/2b8e3c1a/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"}, "kubernetes"},

		{"ecs on ec2", machine{self: "9:pids:/ecs/0a1b2c3d4e5f40718293a4b5c6d7e8f9/" + id64 + "\n", files: map[string]string{".dockerenv": ""}}, "ecs"},
		{"ecs, systemd's cgroups", machine{self: "0::/ecstasks.slice/ecstasks-0a1b2c3d4e5f40718293a4b5c6d7e8f9.slice/docker-" + id64 + ".scope\n"}, "ecs"},
		{"fargate", machine{self: "0::/\n", env: map[string]string{"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/x"}}, "ecs"},

		{"lxc 3", machine{self: "9:pids:/lxc/web/init.scope\n"}, "lxc"},
		{"lxc 4", machine{self: "0::/lxc.payload.web/system.slice/app.service\n"}, "lxc"},
		{"lxc, own cgroup namespace", machine{self: "0::/system.slice/app.service\n", one: "0::/init.scope\n", mounts: plainRoot + "120 111 0:47 /proc/cpuinfo /proc/cpuinfo rw,nosuid,nodev,relatime - fuse.lxcfs lxcfs rw\n"}, "lxc"},
		{"lxc by PID 1's variable", machine{init: "TERM=linux\x00container=lxc\x00"}, "lxc"},
		{"lxc by systemd's file", machine{files: map[string]string{"run/systemd/container": "lxc"}}, "lxc"},

		{"cri-o", machine{self: "0::/system.slice/crio-" + id64 + ".scope\n"}, "cri-o"},
		{"containerd's cri", machine{self: "0::/system.slice/cri-containerd-" + id64 + ".scope\n"}, "containerd"},
		{"containerd's cri, both mixed up", machine{self: "0::/system.slice:cri-containerd:" + id64 + "\n"}, "containerd"},
		{"nerdctl, cgroup", machine{self: "0::/system.slice/nerdctl-" + id64 + ".scope\n"}, "containerd"},
		{"nerdctl, mounts", machine{self: "0::/\n", mounts: etc(plainRoot, "/var/lib/nerdctl/1935db59/containers/default/"+id64)}, "containerd"},
		{"ctr", machine{self: "0::/\n", mounts: "690 600 0:71 / / rw - overlay overlay rw,lowerdir=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs\n"}, "containerd"},

		{"nspawn", machine{self: "0::/system.slice/app.service\n", files: map[string]string{"run/host/container-manager": "systemd-nspawn\n"}}, "systemd-nspawn"},
		{"nspawn by PID 1's variable", machine{init: "container=systemd-nspawn\x00container_uuid=1\x00"}, "systemd-nspawn"},
		{"a name nobody should print", machine{env: map[string]string{"container": "\x1b[31mboo"}}, "container"},
		{"another variable of that ending", machine{init: "mycontainer=lxc\x00"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := container(tt.in(t, t.TempDir()), tt.getenv); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What this machine is is not known here, but what it says must be a word.
func TestContainerHere(t *testing.T) {
	got := Container()
	if !name.MatchString(got) {
		t.Errorf("got %q", got)
	}
	t.Logf("container: %q", got)
	for _, f := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Lstat(f); err == nil {
			t.Logf("%s is there", f)
		}
	}
}

var name = regexp.MustCompile(`^[a-z0-9._-]{0,32}$`)

func FuzzContainer(f *testing.F) {
	f.Add([]byte(hostCgroup), []byte(hostMounts), []byte("container=lxc\x00"), "")
	f.Add([]byte("0::/docker/"+id64+"\n"), []byte(dockerRoot), []byte{}, "podman")
	f.Add([]byte("::\n0:\n\n1:a:b:c\n"), []byte(" - \n1 2 3 4 / 6 - overlay\n1 2 3 / /etc/hosts 6 -  \n"), []byte("container"), "\x00")
	f.Add([]byte("0::/"), []byte(etc(plainRoot, "/containers/"+id64)), []byte("container=\x00container=a"), "A B")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, cgroup, mounts, init []byte, env string) {
		m := machine{self: string(cgroup), mounts: string(mounts), init: string(init), env: map[string]string{"container": env}}
		got := container(m.in(t, dir), m.getenv)
		if !name.MatchString(got) {
			t.Errorf("got %q", got)
		}
		// Nothing comes from nothing.
		all := strings.ToLower(m.self + m.mounts + m.init + env)
		if got != "" && strings.TrimSpace(env) == "" {
			evidence := false
			for _, w := range []string{"docker", "libpod", "podman", "kube", "ecs", "lxc", "cri", "containerd", "nerdctl", "containers/", "container="} {
				evidence = evidence || strings.Contains(all, w)
			}
			if !evidence {
				t.Errorf("%q from %q", got, all)
			}
		}
	})
}
