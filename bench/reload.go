//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// reloads replaces a file server many times, each of them ready first, while clients ask
// it for a file all the time and somebody looks who has the lock.
func (b *subjects) reloads(times int) (_ []figure, err error) {
	const name = "fileserver"
	if err := b.buildPackage(name, "examples/"+name, ""); err != nil {
		return nil, err
	}
	// A free port, which nobody else is going to be given at once.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := free.Addr().String()
	dir := b.path("served")
	if err := errors.Join(free.Close(), os.Mkdir(dir, 0o700), os.WriteFile(dir+"/file", make([]byte, 1000), 0o600)); err != nil {
		return nil, err
	}
	run := func(action string) error {
		cmd := exec.Command(b.path(name), action)
		cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+dir, "XDG_RUNTIME_DIR="+dir, "FILESERVER_ADDR="+addr, "FILESERVER_DIR="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", name, action, err, out)
		}
		return nil
	}
	if err := run("start"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run("stop")) }()

	over, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	defer wait.Wait()
	defer stop()
	files, err := filepath.Glob(dir + "/" + name + "/@*/" + name + ".pid")
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("the PID file: %v, %w", files, err)
	}
	look := &lookout{path: files[0]}
	made, kept, posted := &requests{}, &requests{keep: true}, &requests{keep: true, post: true}
	for range 16 { // who mostly wait
		wait.Go(func() { posted.send(over, "http://"+addr+"/file") })
	}
	for range 2 {
		wait.Go(func() { made.send(over, "http://"+addr+"/file") })
		wait.Go(func() { kept.send(over, "http://"+addr+"/file") })
	}
	wait.Go(func() { look.watch(over) })
	began := time.Now()
	for range times {
		if err := run("reload"); err != nil {
			return nil, err
		}
	}
	took := time.Since(began)
	stop()
	wait.Wait()
	if look.err != nil {
		return nil, look.err
	}
	return []figure{
		made.figure(fmt.Sprintf("requests lost in %d reloads, new connections", times)),
		kept.figure(fmt.Sprintf("requests lost in %d reloads, kept connections", times)),
		posted.figure(fmt.Sprintf("POSTs lost in %d reloads, kept connections", times)),
		{what: "times that nobody held the lock", got: float64(look.free),
			detail: fmt.Sprintf("%d looks in %.1f s; %d found it held and nobody named yet", look.looks, took.Seconds(), look.unnamed)},
	}, nil
}

// requests are those of one kind of client.
type requests struct {
	keep bool // the connection
	post bool // which is not sent again

	sent, again, lost atomic.Int64
	first             atomic.Value // the first that was lost: why
}

// send asks until ctx ends. A GET that was sent on a connection that the server closed while
// it was idle is sent once more, on another one, by net/http: that is what HTTP/1.1 says.
func (r *requests) send(ctx context.Context, url string) {
	t := &http.Transport{DisableKeepAlives: !r.keep}
	defer t.CloseIdleConnections()
	client := &http.Client{Transport: t, Timeout: 30 * time.Second}
	for ctx.Err() == nil {
		tries := 0
		traced := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { tries++ }})
		if r.post { // so that the connection is idle for a while, in all phases of a reload
			time.Sleep(rand.N(10 * time.Millisecond))
		}
		err := r.fetch(traced, client, url)
		r.sent.Add(1)
		if tries > 1 {
			r.again.Add(1)
		}
		if err != nil {
			r.lost.Add(1)
			r.first.CompareAndSwap(nil, err.Error())
		}
	}
}

func (r *requests) fetch(ctx context.Context, client *http.Client, url string) error {
	method, body := http.MethodGet, io.Reader(nil)
	if r.post {
		method, body = http.MethodPost, strings.NewReader("what is said")
	}
	ask, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	answer, err := client.Do(ask)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || n != 1000) {
		err = fmt.Errorf("%s, %d bytes", answer.Status, n)
	}
	return err
}

func (r *requests) figure(what string) figure {
	f := figure{what: what, got: float64(r.lost.Load()), detail: fmt.Sprintf("of %d; %d sent again", r.sent.Load(), r.again.Load())}
	if why := r.first.Load(); why != nil {
		f.detail += fmt.Sprintf("; the first: %v", why)
	}
	return f
}

// lookout looks at the PID file from outside.
type lookout struct {
	path                 string
	looks, free, unnamed int
	err                  error
}

func (l *lookout) watch(ctx context.Context) {
	f, err := os.Open(l.path)
	if err != nil {
		l.err = err
		return
	}
	defer f.Close()
	opened, err := f.Stat()
	if err != nil {
		l.err = err
		return
	}
	// The bytes that are locked: see Identity in docs/ARCHITECTURE.md.
	const who, running = 0, 1
	held := func(at int64) bool {
		lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: at, Len: 1}
		l.err = errors.Join(l.err, syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock))
		return lock.Type != syscall.F_UNLCK
	}
	for ctx.Err() == nil && l.err == nil {
		l.looks++
		there, err := os.Stat(l.path)
		if !held(running) || err != nil || !os.SameFile(opened, there) {
			l.free++
		} else if !held(who) {
			l.unnamed++
		}
	}
}
