//go:build unix

package examples_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// load is clients that ask for a file again and again: with a connection for each
// request, with one that they keep, and by POST on one that they keep. A GET on a connection
// that the server has closed while it was idle is sent again, on another connection: that is
// HTTP/1.1 (RFC 9112, 9.3.1), and net/http's own affair. A POST is not.
type load struct {
	t    *testing.T
	url  string
	want string
	end  chan struct{}
	wait sync.WaitGroup

	mu      sync.Mutex
	answers map[string]int // by the header Server
	lost    []string
}

const clients = 3 // of each kind

func (e *example) load(url, want string) *load {
	l := &load{t: e.t, url: url, want: want, end: make(chan struct{}), answers: map[string]int{}}
	for range clients {
		l.wait.Add(3)
		go l.ask(&http.Transport{DisableKeepAlives: true}, http.MethodGet)
		go l.ask(&http.Transport{}, http.MethodGet)
		go l.ask(&http.Transport{}, http.MethodPost)
	}
	return l
}

// promised is how long a connection may idle on which a POST is not lost: half of what
// the server grants, since the request needs time to arrive.
const promised = 500 * time.Millisecond

func (l *load) ask(t *http.Transport, method string) {
	defer l.wait.Done()
	defer t.CloseIdleConnections()
	client := &http.Client{Transport: t, Timeout: testkit.Patience}
	for {
		select {
		case <-l.end:
			return
		case <-time.After(time.Millisecond): // leave the server some of the machine
		}
		idled := time.Duration(0)
		traced := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { idled = c.IdleTime }})
		began := time.Now()
		server, got, err := send(traced, client, method, l.url)
		idled += time.Since(began) // until it failed, which is longer than until it was sent
		l.mu.Lock()
		switch {
		case err != nil && method == http.MethodPost && idled > promised:
			l.t.Logf("a POST was lost on a connection that had idled for up to %v", idled)
		case err != nil:
			l.lost = append(l.lost, err.Error())
		case got != l.want:
			l.lost = append(l.lost, fmt.Sprintf("%d bytes, want %d", len(got), len(l.want)))
		default:
			l.answers[server]++
		}
		l.mu.Unlock()
	}
}

func get(client *http.Client, url string) (server, body string, err error) {
	return send(context.Background(), client, http.MethodGet, url)
}

func send(ctx context.Context, client *http.Client, method, url string) (server, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return answer.Header.Get("Server"), string(b), err
}

// more waits until that version of the server has given as many answers as there are
// clients, and more.
func (l *load) more(server string) {
	l.t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.answers[server]
	}
	before := count()
	testkit.WaitFor(l.t, "answers of "+server, func() bool { return count() > before+4*clients })
}

// stop ends the load and reports what was lost.
func (l *load) stop() {
	l.t.Helper()
	close(l.end)
	l.wait.Wait()
	l.t.Logf("answers: %v", l.answers)
	if len(l.lost) > 0 {
		l.t.Errorf("%d requests were lost; the first: %s", len(l.lost), l.lost[0])
	}
}

// serving starts the file server for a directory of two files, one of them big.
func serving(t *testing.T) (e *example, url string) {
	testkit.Parallel(t)
	addr := "127.0.0.1:" + testkit.FreePort(t)
	e = build(t, "fileserver", "FILESERVER_ADDR="+addr)
	e.env = append(e.env, "FILESERVER_DIR="+e.dir)
	for name, size := range map[string]int{"small": 1000, "big": big} {
		if err := os.WriteFile(filepath.Join(e.dir, name), make([]byte, size), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	e.expect("start", `Starting fileserver \.\.\. OK`, 0)
	return e, "http://" + addr
}

// big is more than what the kernel keeps of a connection that nobody reads.
const big = 64 << 20

// reload replaces the daemon, and returns when the old one is gone as well.
func (e *example) reload() {
	e.t.Helper()
	before := e.pid()
	e.expect("reload", `Reloading fileserver \.\.\. OK`, 0)
	if e.pid() == before {
		e.t.Error("the process is the same after a reload")
	}
	testkit.WaitGone(e.t, before)
}

func TestFileserverReloadsUnderLoad(t *testing.T) {
	e, url := serving(t)
	l := e.load(url+"/small", string(make([]byte, 1000)))
	for range 10 {
		l.more("fileserver/1")
		e.reload()
	}
	l.more("fileserver/1")
	l.stop()
	e.expect("stop", `Stopping fileserver \.\.\. OK`, 0)
}

// An answer that is on its way is sent to its end.
func TestFileserverFinishesAnswers(t *testing.T) {
	e, url := serving(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	answer, err := client.Get(url + "/big")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	before := e.pid()
	e.expect("reload", `Reloading fileserver \.\.\. OK`, 0)
	if _, _, err := get(client, url+"/small"); err != nil {
		t.Error(err)
	}
	if testkit.Gone(before) {
		t.Error("the old process is gone, with an answer half way")
	}
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != big {
		t.Errorf("got %d bytes, %v, want %d", n, err, big)
	}
	testkit.WaitGone(t, before)
	e.expect("stop", `Stopping fileserver \.\.\. OK`, 0)
}

func TestFileserverUpgradesUnderLoad(t *testing.T) {
	e, url := serving(t)
	l := e.load(url+"/small", string(make([]byte, 1000)))
	l.more("fileserver/1")
	for _, version := range []string{"2", "3"} {
		e.compile(e.path+".new", "-ldflags=-X main.version="+version)
		if err := os.Rename(e.path+".new", e.path); err != nil {
			t.Fatal(err)
		}
		e.reload()
		l.more("fileserver/" + version)
	}
	l.stop()
	e.expect("stop", `Stopping fileserver \.\.\. OK`, 0)
}

// Releases are directories, and a symbolic link says which is the present one.
func TestFileserverFollowsTheLink(t *testing.T) {
	e, url := serving(t)
	e.expect("stop", `Stopping fileserver \.\.\. OK`, 0)
	current := filepath.Join(e.dir, "current")
	release := func(version string) {
		t.Helper()
		dir := filepath.Join(e.dir, "releases", version)
		e.compile(filepath.Join(dir, e.name), "-ldflags=-X main.version="+version)
		if err := errors.Join(os.Symlink(dir, current+".new"), os.Rename(current+".new", current)); err != nil {
			t.Fatal(err)
		}
	}
	release("8")
	e.path = filepath.Join(current, e.name)
	e.expect("start", `Starting fileserver \.\.\. OK`, 0)
	release("9")
	if err := os.RemoveAll(filepath.Join(e.dir, "releases", "8")); err != nil {
		t.Fatal(err)
	}
	e.reload()
	if server, _, err := get(http.DefaultClient, url+"/small"); err != nil || server != "fileserver/9" {
		t.Errorf("got %q, %v", server, err)
	}
	e.expect("stop", `Stopping fileserver \.\.\. OK`, 0)
}
