//go:build linux

package daemonocle_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/internal/testkit"
	"golang.org/x/sys/unix"
)

func init() {
	helpers["linked"] = func() {
		c := progConfig()
		if path := os.Getenv("D_LISTEN"); path != "" {
			c.Hooks.Privileged = func(ctx context.Context) error {
				_, err := daemonocle.Listen(ctx, "unix", path)
				return err
			}
		}
		d, err := daemonocle.New(c)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
	}
	helpers["swapper"] = func() {
		for {
			if err := unix.Renameat2(unix.AT_FDCWD, os.Args[1], unix.AT_FDCWD, os.Args[2], unix.RENAME_EXCHANGE); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
}

// linkable are the settings that lead below srv, a directory of the service's own
// user, with what a start then calls what it cannot do. %s is the path of the link.
var linkable = []struct{ variable, path, text string }{
	{"D_PIDFILE", "srv/x/foo.pid", "use PID file %s/foo.pid"},
	{"D_PIDFILE", "srv/x/sub/foo.pid", "use PID file %s/sub/foo.pid"},
	{"D_STDOUT", "srv/x/out.log", "open log file %s/out.log"},
	{"D_STDOUT", "srv/x/sub/out.log", "open log file %s/sub/out.log"},
	{"D_STDERR", "srv/x/sub/sub/err.log", "open log file %s/sub/sub/err.log"},
	{"D_WORKDIR", "srv/x", "change working directory"},
	{"D_CHROOT", "srv/x", "/dev/null"},
	{"D_LISTEN", "srv/x/foo.sock", "isten unix %s/foo.sock"},
}

// linkRig is a daemon of root's that becomes another user, with one of linkable.
func linkRig(t *testing.T, variable, path string) (r *rig, x, secret string) {
	who := ordinary(t)
	r = newRig(t, "D_USER="+strconv.Itoa(int(who.Uid)))
	r.helper = "linked"
	srv := filepath.Join(r.dir, "srv")
	x, secret = filepath.Join(srv, "x"), filepath.Join(testkit.TempDir(t), "secret")
	mkdir(t, srv)
	mkdir(t, secret)
	must(t, os.Mkdir(filepath.Join(secret, "dev"), 0o755), unix.Mknod(secret+"/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	chown(t, int(who.Uid), int(who.Gid), srv)
	r.env = append(r.env, variable+"="+filepath.Join(r.dir, path))
	if variable == "D_PIDFILE" {
		r.pidFile = filepath.Join(r.dir, path)
	}
	return r, x, secret
}

// The link may lead to where root alone may create anything. No start follows it,
// whatever is behind it, and nothing changes there.
func TestStartFollowsNoLinkOfTheServicesUser(t *testing.T) {
	testkit.Parallel(t)
	for _, tt := range linkable {
		t.Run(tt.variable+" "+tt.path, func(t *testing.T) {
			r, x, secret := linkRig(t, tt.variable, tt.path)
			uid, _ := testkit.Unprivileged(t)
			must(t, os.Symlink(secret, x), os.Lchown(x, uid, uid))
			before := tree(t, secret)
			got := r.do("start")
			text := tt.text
			if strings.Contains(text, "%s") {
				text = fmt.Sprintf(text, x)
			}
			why := "symbolic link " + x + " belongs to user " + username(t, uid)
			if tt.variable == "D_CHROOT" {
				text, why = "", x
			}
			if got.code != 1 || !strings.Contains(got.err, text) || !strings.Contains(got.err, why) {
				t.Errorf("got %v; want %q, %q", got, text, why)
			}
			if after := tree(t, secret); !slices.Equal(after, before) {
				t.Errorf("behind the link there was %v, and is %v", before, after)
			}
			// Root's own link is followed.
			if tt.variable == "D_CHROOT" {
				return
			}
			must(t, os.Lchown(x, 0, 0))
			if got := r.do("start"); got.code != 0 {
				t.Errorf("with root's own link: got %v", got)
			}
			r.do("stop")
		})
	}
}

// The service's user exchanges a directory for the link, and back, while starts run.
func TestLinkThatComesAndGoesWhileItStarts(t *testing.T) {
	testkit.Parallel(t)
	for _, tt := range linkable {
		t.Run(tt.variable+" "+tt.path, func(t *testing.T) {
			r, x, secret := linkRig(t, tt.variable, tt.path)
			who := ordinary(t)
			uid, gid := int(who.Uid), int(who.Gid)
			must(t, os.MkdirAll(x+"/dev", 0o755), unix.Mknod(x+"/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
				os.Symlink(secret, x+".link"), os.Lchown(x, uid, gid), os.Lchown(x+".link", uid, gid))
			before := tree(t, secret)
			swapper := testkit.Helper(t, "swapper", x, x+".link")
			swapper.Path, swapper.SysProcAttr = "/proc/self/exe", &syscall.SysProcAttr{Credential: who}
			must(t, swapper.Start())
			defer func() { swapper.Process.Kill(); swapper.Wait() }()
			for range 12 {
				if got := r.do("start"); got.code != 0 && got.code != 1 {
					t.Errorf("got %v", got)
				}
				r.killAll() // stop may not find the PID file
			}
			if after := tree(t, secret); !slices.Equal(after, before) {
				t.Errorf("behind the link there was %v, and is %v", before, after)
			}
		})
	}
}

// What a failed start has created is taken back where it was created, not where the
// service's user has made its path lead meanwhile.
func TestTakingBackFollowsNoLink(t *testing.T) {
	r, x, secret := linkRig(t, "D_STDOUT", "srv/x/out.log")
	uid, _ := testkit.Unprivileged(t)
	must(t, os.Mkdir(x, 0o755), os.Lchown(x, uid, uid))
	put(t, secret+"/out.log", "")
	script := fmt.Sprintf("mv %s %s.old && ln -s %s %s && exit 3", x, x, secret, x)
	r.env = append(r.env, "D_WORKER=shell:"+script)
	r.helper = "shellworker"
	if got := r.do("start"); got.code != 3 {
		t.Errorf("got %v", got)
	}
	if missing(secret + "/out.log") {
		t.Error("an empty file of root's is gone")
	}
}

func init() {
	helpers["shellworker"] = func() {
		script := strings.TrimPrefix(os.Getenv("D_WORKER"), "shell:")
		os.Setenv("D_WORKER", "")
		c := progConfig()
		c.Worker = daemonocle.Exec("/bin/sh", "-c", script)
		d, err := daemonocle.New(c)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
	}
}

// Whoever owns the directory of the PID file, or the one in which that is, can take
// the file away from a running daemon.
func TestPIDFileInADirectoryOfAThirdUser(t *testing.T) {
	testkit.Parallel(t)
	testkit.RequireRoot(t)
	service, third := 12345, 23456
	for _, tt := range []struct {
		name          string
		owner, parent int
		as            int // who starts; the daemon becomes service if that is root
		refused       string
	}{
		{"all root's", 0, 0, 0, ""},
		{"the daemon's", service, 0, 0, ""},
		{"the daemon's in the daemon's", service, service, 0, ""},
		{"a third user's", third, 0, 0, "run"},
		{"in a third user's", 0, third, 0, "."},
		{"the daemon's in a third user's", service, third, 0, "."},
		{"one's own", service, service, service, ""},
		{"one's own in root's", service, 0, service, ""},
		{"a third user's, for an ordinary user", third, 0, service, "run"},
		{"one's own in a third user's", service, third, service, "."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			run := filepath.Dir(r.pidFile)
			mkdir(t, run)
			must(t, os.Chmod(run, 0o777)) // or an ordinary user could not write there at all
			if tt.owner != third {
				must(t, os.Chmod(run, 0o755))
			}
			must(t, os.Lchown(run, tt.owner, tt.owner), os.Lchown(r.dir, tt.parent, tt.parent))
			t.Cleanup(func() { os.Lchown(r.dir, 0, 0) })
			if tt.as != 0 {
				r.user = &syscall.Credential{Uid: uint32(tt.as), Gid: uint32(tt.as)}
			} else {
				r.env = append(r.env, fmt.Sprint("D_USER=", service), fmt.Sprint("D_GROUP=", service))
			}
			if tt.refused == "" {
				r.start()
				r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
				return
			}
			dir := filepath.Join(r.dir, tt.refused)
			got := r.do("start")
			if got.code != 1 || !strings.Contains(got.err, "ERROR: Unable to use directory "+dir+" (") || !strings.Contains(got.err, "23456") {
				t.Errorf("got %v", got)
			}
			if !missing(r.pidFile) {
				t.Error("the file was created")
			}
			// One that runs already is found all the same.
			r.expect(r.do("status"), result{out: "foo -- not running\n", code: 1})
		})
	}
}

// The path of a socket in a directory that can be exchanged is still the one that was
// asked for, to those who connect.
func TestSocketBelowADirectoryOfTheServicesUser(t *testing.T) {
	r, x, _ := linkRig(t, "D_LISTEN", "srv/x/foo.sock")
	must(t, os.Mkdir(x, 0o755))
	for range 2 {
		r.start()
		if info, err := os.Lstat(x + "/foo.sock"); err != nil || info.Mode().Type() != os.ModeSocket {
			t.Errorf("got %v, %v", info, err)
		}
		r.expect(r.do("stop"), result{out: "Stopping foo ... OK\n"})
	}
}
