package environ

import (
	"fmt"
	"strings"
	"testing"
)

func (p Place) String() string {
	return [...]string{"Shell", "Unseen", "Init", "First", "Socket", "Systemd", "Forking", "Supervisor"}[p]
}

// scene is this process, with the number me, and all that /proc shows. The start time of
// a process is its place in the list.
type scene struct {
	ppid      int
	container bool
	env       map[string]string
	socket    bool
	leads     bool // its session and its process group
	hidden    bool // /proc shows nothing of others
	cgroup    string
	others    []process // those older than this one, then those younger, by their numbers
	me        int
}

func (s scene) facts() *facts {
	if s.me == 0 {
		s.me = 50
	}
	f := &facts{pid: s.me, ppid: s.ppid, socket: s.socket, cgroup: s.cgroup, session: 40, group: 40,
		getenv:    func(name string) (string, bool) { v, set := s.env[name]; return v, set },
		container: func() bool { return s.container }, processes: func() []process { return nil }}
	if s.leads {
		f.session, f.group = s.me, s.me
	}
	if s.hidden {
		return f
	}
	all := append([]process{{pid: s.me, cgroup: s.cgroup, name: "myapp"}}, s.others...)
	for i := range all {
		all[i].start = uint64(all[i].pid)
		if all[i].pid == s.ppid {
			f.parent = all[i]
		}
	}
	f.processes = func() []process { return all }
	return f
}

const (
	ours = "0::/\n"
)

// other is a process as "pid name" in our cgroup, or as "pid name@cgroup".
func others(list ...string) (all []process) {
	for _, text := range list {
		var p process
		text, where, elsewhere := strings.Cut(text, "@")
		p.cgroup = ours
		if elsewhere {
			p.cgroup = where + "\n"
		}
		f := strings.Fields(text)
		fmt.Sscan(f[0], &p.pid)
		p.name, p.args = f[1], f[2:]
		all = append(all, p)
	}
	return all
}

// The rows of the table in docs/ARCHITECTURE.md, "Where a start is", and what is near
// them.
func TestPlace(t *testing.T) {
	in := func(ppid int, list ...string) scene {
		return scene{container: true, cgroup: ours, ppid: ppid, others: others(list...)}
	}
	env := func(kv ...string) map[string]string {
		m := map[string]string{}
		for _, s := range kv {
			k, v, _ := strings.Cut(s, "=")
			m[k] = v
		}
		return m
	}
	const session, service = "0::/user.slice/user-1000.slice/session-3.scope\n", "0::/system.slice/web.service\n"
	const userService = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n"
	const userManager = "30 systemd /lib/systemd/systemd --user@0::/user.slice/user-1000.slice/user@1000.service/init.scope"
	const one = "1 systemd /sbin/init@0::/init.scope"
	tests := []struct {
		name string
		scene
		want Place
	}{
		// Outside of containers.
		{"shell", scene{ppid: 49, cgroup: session, others: others(one, "49 bash@0::/user.slice/user-1000.slice/session-3.scope")}, Shell},
		{"orphan", scene{ppid: 1, cgroup: session, others: others(one)}, Shell},
		{"orphan that leads its session", scene{ppid: 1, cgroup: session, leads: true, others: others(one)}, Shell},
		{"orphan that leads its session, of a service's script", scene{ppid: 1, cgroup: service, leads: true, others: others(one),
			env: env("SYSTEMD_EXEC_PID=44", "INVOCATION_ID=x")}, Shell},
		{"orphan of a service's script, before 248", scene{ppid: 1, cgroup: service, others: others(one), env: env("INVOCATION_ID=x")}, Shell},
		{"orphan of a user's session", scene{ppid: 30, cgroup: session, leads: true, others: others(one, userManager)}, Shell},
		{"orphan on a desktop, before 248", scene{ppid: 30, cgroup: "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n", leads: true,
			others: others(one, userManager), env: env("INVOCATION_ID=x")}, Shell},
		{"init without systemd", scene{ppid: 1, cgroup: "0::/\n", leads: true, others: others("1 init")}, Shell},
		{"/proc hidden", scene{ppid: 1, cgroup: session, hidden: true}, Shell},
		{"no /proc", scene{ppid: 49, hidden: true}, Shell},

		// Service managers.
		{"systemd", scene{ppid: 1, cgroup: service, leads: true, others: others(one), env: env("SYSTEMD_EXEC_PID=50", "INVOCATION_ID=x")}, Systemd},
		{"systemd, /proc hidden", scene{ppid: 1, hidden: true, env: env("SYSTEMD_EXEC_PID=50")}, Systemd},
		{"systemd of a user", scene{ppid: 30, cgroup: userService, leads: true, others: others(one, userManager), env: env("SYSTEMD_EXEC_PID=50", "INVOCATION_ID=x")}, Systemd},
		{"child of a service", scene{ppid: 49, cgroup: service, others: others(one, "49 web@0::/system.slice/web.service"), env: env("SYSTEMD_EXEC_PID=49", "INVOCATION_ID=x")}, Shell},
		{"number that only begins with ours", scene{ppid: 1, cgroup: service, leads: true, env: env("SYSTEMD_EXEC_PID=501", "INVOCATION_ID=x")}, Shell},
		{"number that only ends with ours", scene{ppid: 1, cgroup: service, leads: true, env: env("SYSTEMD_EXEC_PID=150", "INVOCATION_ID=x")}, Shell},
		{"number with a space", scene{ppid: 1, cgroup: service, leads: true, env: env("SYSTEMD_EXEC_PID= 50", "INVOCATION_ID=x")}, Shell},
		{"empty number", scene{ppid: 1, cgroup: service, leads: true, env: env("SYSTEMD_EXEC_PID=", "INVOCATION_ID=x")}, Shell},
		{"systemd before 248", scene{ppid: 1, cgroup: service, leads: true, others: others(one), env: env("INVOCATION_ID=x")}, Systemd},
		{"systemd before 248, version 1", scene{ppid: 1, cgroup: "12:pids:/system.slice/web.service\n1:name=systemd:/system.slice/web.service\n0::/system.slice/web.service\n", leads: true, env: env("INVOCATION_ID=x")}, Systemd},
		{"systemd before 248, another hierarchy only", scene{ppid: 1, cgroup: "12:pids:/system.slice/web.service\n1:name=systemd:/user.slice\n", leads: true, env: env("INVOCATION_ID=x")}, Shell},
		{"systemd before 248, /proc hidden", scene{ppid: 1, cgroup: service, leads: true, hidden: true, env: env("INVOCATION_ID=x")}, Systemd},
		{"systemd before 248, no invocation", scene{ppid: 1, cgroup: service, leads: true, others: others(one)}, Shell},
		{"systemd before 248, child", scene{ppid: 49, cgroup: service, leads: true, others: others(one, "49 sh@0::/system.slice/web.service"), env: env("INVOCATION_ID=x")}, Shell},
		{"systemd of a user, before 248", scene{ppid: 30, cgroup: userService, leads: true, others: others(one, userManager), env: env("INVOCATION_ID=x")}, Systemd},
		{"child of another's systemd", scene{ppid: 30, cgroup: userService, leads: true, others: others(one, "30 systemd /lib/systemd/systemd@0::/x"), env: env("INVOCATION_ID=x")}, Shell},
		{"launchd", scene{ppid: 1, leads: true, hidden: true, env: env("XPC_SERVICE_NAME=com.example.web")}, Supervisor},
		{"terminal on macOS", scene{ppid: 1, leads: true, hidden: true, env: env("XPC_SERVICE_NAME=0")}, Shell},
		{"program of a macOS desktop", scene{ppid: 1, leads: true, hidden: true, env: env("XPC_SERVICE_NAME=application.com.example.1")}, Shell},
		{"orphan of a launchd job", scene{ppid: 1, hidden: true, env: env("XPC_SERVICE_NAME=com.example.web")}, Shell},
		{"child of a launchd job", scene{ppid: 49, leads: true, hidden: true, env: env("XPC_SERVICE_NAME=com.example.web")}, Shell},
		{"supervise-daemon", scene{ppid: 49, cgroup: "0::/openrc.web\n", others: others("1 init@0::/", "49 supervise-daemo@0::/openrc.web"), env: env("RC_SVCNAME=web")}, Supervisor},
		{"OpenRC's start-stop-daemon", scene{ppid: 49, cgroup: "0::/openrc.web\n", others: others("1 init@0::/", "49 start-stop-daem@0::/openrc.web"), env: env("RC_SVCNAME=web")}, Shell},
		{"super-server", scene{ppid: 49, socket: true, others: others("49 inetd")}, Socket},
		{"super-server is systemd", scene{ppid: 1, socket: true, cgroup: service, leads: true, env: env("SYSTEMD_EXEC_PID=50")}, Socket},

		// Containers: plain.
		{"plain", scene{me: 1, container: true, cgroup: ours}, Init},
		{"plain, /proc hidden", scene{me: 1, container: true, hidden: true}, Init},
		{"plain, stdin is a socket", scene{me: 1, container: true, socket: true}, Init},
		{"plain, exec", in(0, "1 web"), Shell},
		{"plain, exec, orphan", in(1, "1 web"), Shell},
		{"plain, exec of a shell", in(49, "1 web", "49 sh"), Shell},
		{"plain, sh -c 'x; myapp start'", in(1, "1 sh"), Shell},
		{"plain, sh -c '(myapp start &); x'", in(1, "1 sh", "51 sleep"), Shell},
		{"plain, a supervisor of one's own", in(1, "1 runsvdir"), Shell},
		{"plain, docker, no cgroup namespace", scene{container: true, ppid: 1, cgroup: "0::/docker/" + id64 + "\n", others: others("1 sh@0::/docker/" + id64)}, Shell},
		{"/proc hidden", scene{container: true, ppid: 1, cgroup: ours, hidden: true}, Unseen},
		{"PID 1 hidden", in(0, "40 sh"), Unseen},
		{"no /proc in a container", scene{container: true, ppid: 1, hidden: true}, Unseen},

		// With an init.
		{"tini", in(1, "1 tini"), First},
		{"tini-static", in(1, "1 tini-static"), First},
		{"dumb-init", in(1, "1 dumb-init"), First},
		{"catatonit", in(1, "1 catatonit"), First},
		{"docker-init", in(1, "1 docker-init /sbin/docker-init -- myapp start"), First},
		{"podman-init", in(1, "1 podman-init /run/podman-init -- myapp start"), First},
		{"podman's /dev/init", in(1, "1 init /dev/init -- myapp start"), First},
		{"init, docker, no cgroup namespace", scene{container: true, ppid: 1, cgroup: "0::/docker/" + id64 + "\n", others: others("1 tini@0::/docker/" + id64)}, First},
		{"init, with children of ours", in(1, "1 tini", "51 sleep"), First},
		{"init, exec", in(0, "1 tini", "7 web"), Shell},
		{"init, exec, orphan", in(1, "1 tini", "7 web"), Shell},
		{"init, exec of a shell, orphan", in(1, "1 tini", "7 web", "49 sh"), Shell},
		{"init, exec of an init", in(49, "1 tini", "7 web", "49 tini"), Shell},
		{"init, sh -c 'x; myapp start'", in(7, "1 tini", "7 sh"), Shell},
		{"init, sh -c '(myapp start &); x'", in(1, "1 tini", "7 sh"), Shell},
		{"another init as PID 1", in(1, "1 init /sbin/init"), Shell},

		// In the PID namespace of another container, of a pod, or of the host.
		{"shared", in(0, "1 pause@0::/../pause", "7 web@0::/../web"), First},
		{"shared, parent is conmon", in(33, "1 web@0::/../web", "33 conmon@0::/../conmon"), First},
		{"shared, exec", in(0, "1 pause@0::/../pause", "7 web"), Shell},
		{"shared, exec of a shell", in(49, "1 pause@0::/../pause", "7 web", "49 sh"), Shell},
		{"shared, sh -c 'x; myapp start'", in(49, "1 pause@0::/../pause", "49 sh"), Shell},
		{"shared, sh -c '(myapp start &); x'", in(1, "1 pause@0::/../pause", "49 sh"), Shell},
		{"shared, other's init is PID 1", in(0, "1 tini@0::/../web", "7 web@0::/../web"), First},
		{"shared, an init of its own", in(49, "1 pause@0::/../pause", "49 tini"), First},
		{"shared with the host", in(0, "1 systemd /sbin/init@0::/../../init.scope", "900 cron@0::/../../system.slice/cron.service"), First},
		{"shared with the host, exec", in(0, "1 systemd /sbin/init@0::/../../init.scope", "7 web"), Shell},
		{"shared with the host, no cgroup namespace", scene{container: true, cgroup: "0::/system.slice/docker-" + id64 + ".scope\n",
			others: others(one, "900 dockerd@0::/system.slice/docker.service")}, First},
		{"shared, beyond the root itself", in(0, "1 systemd /sbin/init@0::/.."), First},

		// A service manager as PID 1 of the container.
		{"systemd inside, exec", scene{container: true, cgroup: ours, others: others(one)}, Shell},
		{"systemd inside, exec, no cgroup namespace", scene{container: true, cgroup: "0::/docker/" + id64 + "\n", others: others("1 systemd@0::/docker/" + id64 + "/init.scope")}, Shell},
		{"systemd inside, its service", scene{container: true, ppid: 1, cgroup: service, leads: true, others: others(one), env: env("SYSTEMD_EXEC_PID=50")}, Systemd},
		{"systemd inside, its service, before 248", scene{container: true, ppid: 1, cgroup: service, leads: true, others: others(one), env: env("INVOCATION_ID=x")}, Systemd},
		{"systemd inside, login", scene{container: true, ppid: 49, cgroup: session, others: others(one, "49 bash@"+strings.TrimSpace(session))}, Shell},
		{"systemd inside, orphan of a script", scene{container: true, ppid: 1, cgroup: service, leads: true, others: others(one), env: env("SYSTEMD_EXEC_PID=44")}, Shell},
		{"OpenRC inside, its service", scene{container: true, ppid: 1, cgroup: "0::/openrc.web\n", others: others("1 init /sbin/init")}, Shell},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.facts().place(); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Whatever a snapshot says, these hold. All combinations of what the judgement asks.
func TestPlaceInvariants(t *testing.T) {
	for _, me := range []int{1, 50} {
		for _, ppid := range []int{0, 1, 49} {
			for bits := range 1 << 7 {
				is := func(n int) bool { return bits>>n&1 == 1 }
				s := scene{me: me, ppid: ppid, container: is(0), socket: is(1), leads: is(2), hidden: is(3), cgroup: ours, env: map[string]string{}}
				if is(4) {
					s.env["SYSTEMD_EXEC_PID"] = fmt.Sprint(me)
				}
				if is(5) {
					s.env["INVOCATION_ID"], s.cgroup = "x", "0::/system.slice/web.service\n"
				}
				if me != 1 {
					s.others = others("1 tini")
				}
				if is(6) {
					s.others = append(s.others, others("49 sh")...)
				}
				got := s.facts().place()
				switch {
				case (got == Init) != (me == 1):
					t.Errorf("%+v: %v", s, got)
				case got == Socket && !s.socket, got == Systemd && !is(4) && !is(5), got == Supervisor, got == Forking:
					t.Errorf("%+v: %v", s, got)
				case (got == First || got == Unseen) && !s.container:
					t.Errorf("%+v: %v outside of a container", s, got)
				case got == First && s.hidden:
					t.Errorf("%+v: %v, but nothing is to be seen", s, got)
				}
			}
		}
	}
}

// The first of two that began in the same tick is the one with the lower number.
func TestOldestInOneTick(t *testing.T) {
	f := scene{container: true, cgroup: ours}.facts()
	for _, tt := range []struct {
		other int
		want  Place
	}{{49, Shell}, {51, First}} {
		f.processes = func() []process {
			return []process{{pid: 1, cgroup: ours, name: "tini"}, {pid: tt.other, cgroup: ours, name: "sleep"}, {pid: 50, cgroup: ours, name: "myapp"}}
		}
		if got := f.place(); got != tt.want {
			t.Errorf("beside %d: got %v, want %v", tt.other, got, tt.want)
		}
	}
}
