package httpserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/httpserver"
	"github.com/daemonocle/daemonocle/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m, nil) }

// forever is longer than any of the tests.
const forever = time.Hour

// site is a server of a test, on a port of its own.
type site struct {
	httpserver.Site
	t    *testing.T
	end  context.CancelFunc // of the worker's context
	over chan error         // what ServeAll has returned
}

var daemons int

// serve runs a daemon that serves the handler until the test, or end, ends it. The
// settings may be changed before.
func serve(t *testing.T, handler http.HandlerFunc, set ...func(*daemonocle.Config, *site)) *site {
	t.Helper()
	s := &site{t: t, over: make(chan error, 1)}
	s.Network, s.Address = "tcp", "127.0.0.1:"+testkit.FreePort(t)
	s.Server, s.Linger = &http.Server{Handler: handler}, forever
	daemons++
	c := daemonocle.Config{Name: fmt.Sprintf("web%d", daemons), WorkDir: ".", StopTimeout: forever}
	for _, change := range set {
		change(&c, s)
	}
	c.Worker = func(ctx context.Context) error {
		err := httpserver.ServeAll(ctx, s.Site)
		s.over <- err
		return err
	}
	d, err := daemonocle.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.end = stop
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		s.Server.Close()
		select {
		case <-ended:
		case <-time.After(testkit.Patience):
			t.Error("the daemon does not end")
		}
	})
	testkit.WaitFor(t, "the server to listen", func() bool {
		conn, err := net.Dial(s.Network, s.Address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return s
}

// ended gives the error of ServeAll, once it has returned.
func (s *site) ended() error {
	s.t.Helper()
	select {
	case err := <-s.over:
		s.over <- err
		return err
	case <-time.After(testkit.Patience):
		s.t.Fatal("it serves still")
		return nil
	}
}

// leaves ends the worker's context, and returns when the server knows it: it does not
// listen any more.
func (s *site) leaves() {
	s.t.Helper()
	s.end()
	testkit.WaitFor(s.t, "the server to accept nothing", func() bool {
		conn, err := net.Dial(s.Network, s.Address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

// client is one connection.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (s *site) dial() *client {
	s.t.Helper()
	conn, err := net.Dial(s.Network, s.Address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testkit.Patience))
	return &client{conn, s.t, bufio.NewReader(conn)}
}

// ask sends a POST, which no client sends a second time by itself.
func (c *client) ask(path string) {
	c.t.Helper()
	if _, err := io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one, and reports whether it says that the connection ends.
func (c *client) answer(want string) (closes bool) {
	c.t.Helper()
	a, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(a.Body)
	if err != nil || string(body) != want {
		c.t.Errorf("got %q, %v, want %q", body, err, want)
	}
	return a.Close
}

// hangsUp waits until the server has closed the connection.
func (c *client) hangsUp() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Errorf("got %q after the last answer", b)
	} else if errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timeout") {
		c.t.Error("the connection stays open")
	}
}

func hello(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }

// A connection that is idle when the daemon ends gets one more answer, which says that it
// is the last one. A connection that has not asked yet gets its first.
func TestIdleConnectionsAreAnswered(t *testing.T) {
	s := serve(t, hello)
	kept, fresh := s.dial(), s.dial()
	kept.ask("/")
	if kept.answer("hello") {
		t.Error("the connection is closed, long before the end")
	}
	fresh.ask("/") // so that it has been accepted
	if fresh.answer("hello") {
		t.Error("the connection is closed, long before the end")
	}
	s.leaves()
	for _, c := range []*client{kept, fresh} {
		c.ask("/")
		if !c.answer("hello") {
			t.Error("the last answer does not say Connection: close")
		}
		c.hangsUp()
	}
	if err := s.ended(); !errors.Is(err, context.Canceled) || errors.Is(err, httpserver.ErrCutOff) {
		t.Errorf("got %v", err)
	}
}

// What was asked before the end and is answered after it says so, too, however the
// handler writes.
func TestAnswersOnTheirWaySayClose(t *testing.T) {
	ways := map[string]func(w http.ResponseWriter){
		"/nothing": func(http.ResponseWriter) {},
		"/write":   func(w http.ResponseWriter) { w.Write([]byte("x")) },
		"/string":  func(w http.ResponseWriter) { io.WriteString(w, "x") },
		"/header":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"/hint":    func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) },
		"/copy":    func(w http.ResponseWriter) { io.Copy(w, strings.NewReader("x")) },
		"/from":    func(w http.ResponseWriter) { w.(io.ReaderFrom).ReadFrom(strings.NewReader("x")) },
		"/flush":   func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"/control": func(w http.ResponseWriter) { http.NewResponseController(w).Flush() },
		"/kept":    func(w http.ResponseWriter) { w.Header().Set("Connection", "keep-alive") },
	}
	var asked sync.WaitGroup
	proceed := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Done()
		<-proceed
		ways[r.URL.Path](w)
	})
	clients := map[string]*client{}
	for way := range ways {
		asked.Add(1)
		clients[way] = s.dial()
		clients[way].ask(way)
	}
	asked.Wait()
	s.leaves()
	close(proceed)
	for way, c := range clients {
		a, err := http.ReadResponse(c.r, nil)
		if err != nil || !a.Close {
			t.Errorf("%s: got %v, %v, want Connection: close", way, a, err)
		}
	}
	s.ended()
}

// An answer that began before the end has promised that the connection stays: then there
// may be another request, however long the first one took.
func TestPromiseOfAnEarlierHeaderIsKept(t *testing.T) {
	proceed := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2")
		io.WriteString(w, "a")
		http.NewResponseController(w).Flush()
		<-proceed
		io.WriteString(w, "b")
	})
	c := s.dial()
	c.ask("/")
	a, err := http.ReadResponse(c.r, nil)
	if err != nil || a.Close {
		t.Fatalf("got %v, %v", a, err)
	}
	s.leaves()
	close(proceed)
	if body, err := io.ReadAll(a.Body); err != nil || string(body) != "ab" {
		t.Errorf("got %q, %v", body, err)
	}
	c.ask("/")
	if !c.answer("ab") {
		t.Error("the last answer does not say Connection: close")
	}
	s.ended()
}

// After Linger an idle connection is closed, and no sooner.
func TestIdleConnectionsAreClosedAfterAWhile(t *testing.T) {
	const linger = 300 * time.Millisecond
	s := serve(t, hello, func(_ *daemonocle.Config, s *site) { s.Linger = linger })
	c := s.dial()
	c.ask("/")
	c.answer("hello")
	began := time.Now()
	s.end()
	c.hangsUp()
	if took := time.Since(began); took < linger {
		t.Errorf("it was closed after %v, want at least %v", took, linger)
	}
	if err := s.ended(); errors.Is(err, httpserver.ErrCutOff) {
		t.Errorf("got %v, and nothing was cut off", err)
	}
}

// The goodbye bounds all: Linger, without a word, and an answer, with one.
func TestGoodbyeIsBounded(t *testing.T) {
	short := func(c *daemonocle.Config, _ *site) { c.StopTimeout = 100 * time.Millisecond }
	t.Run("idle", func(t *testing.T) {
		s := serve(t, hello, short)
		c := s.dial()
		c.ask("/")
		c.answer("hello")
		s.end()
		c.hangsUp()
		if err := s.ended(); !errors.Is(err, context.Canceled) || errors.Is(err, httpserver.ErrCutOff) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("answer", func(t *testing.T) {
		asked := make(chan struct{})
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			close(asked)
			<-r.Context().Done() // by the server's hanging up
		}, func(c *daemonocle.Config, _ *site) { c.StopTimeout, c.AbandonAfter = forever, 100*time.Millisecond })
		c := s.dial()
		c.ask("/")
		<-asked
		s.end()
		err := s.ended()
		if !errors.Is(err, context.Canceled) || !errors.Is(err, httpserver.ErrCutOff) {
			t.Errorf("got %v", err)
		}
		const text = "httpserver: context canceled: some answers took longer than 80ms and were cut off"
		if err.Error() != text {
			t.Errorf("got %q, want %q", err, text)
		}
	})
}

// The request's context knows the daemon, and does not end with the worker's.
func TestRequestsOutliveTheWorkersContext(t *testing.T) {
	asked, proceed := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-proceed
		fmt.Fprint(w, daemonocle.From(r.Context()).Name(), " ", daemonocle.Generation(r.Context()), " ", r.Context().Err())
	})
	c := s.dial()
	c.ask("/")
	<-asked
	s.leaves()
	close(proceed)
	c.answer(fmt.Sprintf("web%d 1 <nil>", daemons))
	s.ended()
}

// Who has taken the connection over has it until his handler returns, and hears of the
// end by what http.Server has for it.
func TestHijackedConnectionsAreWaitedFor(t *testing.T) {
	asked, told := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		close(asked)
		<-told
		io.WriteString(conn, "bye")
	}, func(_ *daemonocle.Config, s *site) { s.Server.RegisterOnShutdown(func() { close(told) }) })
	c := s.dial()
	c.ask("/")
	<-asked
	s.end()
	if b, err := io.ReadAll(c.r); err != nil || string(b) != "bye" {
		t.Errorf("got %q, %v", b, err)
	}
	s.ended()
}

// HTTP/2 clients are sent away without a loss, busy or idle.
func TestHTTP2(t *testing.T) {
	for _, busy := range []bool{true, false} {
		t.Run(fmt.Sprintf("busy=%v", busy), func(t *testing.T) {
			secure := httptest.NewUnstartedServer(nil)
			secure.StartTLS() // for its certificate
			defer secure.Close()
			var mu sync.Mutex
			heard := 0
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				heard++
				mu.Unlock()
				fmt.Fprint(w, r.Proto)
			}, func(_ *daemonocle.Config, s *site) {
				s.Server.TLSConfig = &tls.Config{Certificates: secure.TLS.Certificates}
				s.Linger = 0
			})
			transport := secure.Client().Transport.(*http.Transport).Clone()
			transport.ForceAttemptHTTP2 = true
			defer transport.CloseIdleConnections()
			c := &http.Client{Transport: transport, Timeout: testkit.Patience}
			post := func() error {
				a, err := c.Post("https://"+s.Address, "text/plain", strings.NewReader("x"))
				if err != nil {
					return err
				}
				defer a.Body.Close()
				if b, err := io.ReadAll(a.Body); err != nil || string(b) != "HTTP/2.0" {
					t.Errorf("got %q, %v", b, err)
				}
				return nil
			}
			if err := post(); err != nil {
				t.Fatal(err)
			}
			answered := 1
			s.end()
			for busy {
				err := post()
				if err != nil { // refused, since nobody listens any more; or else it was lost
					if !strings.Contains(err.Error(), "refused") {
						t.Error(err)
					}
					break
				}
				answered++
			}
			s.ended()
			if heard != answered {
				t.Errorf("%d requests were heard, and %d answered", heard, answered)
			}
		})
	}
}

// The handler can do with its writer what it can without this package.
func TestWriterHasAllThatItHad(t *testing.T) {
	missing := make(chan string, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var list []string
		note := func(what string, ok bool) {
			if !ok {
				list = append(list, what)
			}
		}
		_, ok := w.(http.Flusher)
		note("Flusher", ok)
		_, ok = w.(http.Hijacker)
		note("Hijacker", ok)
		_, ok = w.(io.ReaderFrom)
		note("ReaderFrom", ok)
		_, ok = w.(io.StringWriter)
		note("StringWriter", ok)
		_, ok = w.(interface{ CloseNotify() <-chan bool })
		note("CloseNotifier", ok)
		control := http.NewResponseController(w)
		note("SetReadDeadline", control.SetReadDeadline(time.Time{}) == nil)
		note("SetWriteDeadline", control.SetWriteDeadline(time.Time{}) == nil)
		note("EnableFullDuplex", control.EnableFullDuplex() == nil)
		missing <- strings.Join(list, " ")
	})
	c := s.dial()
	c.ask("/")
	c.answer("")
	if list := <-missing; list != "" {
		t.Errorf("the writer lacks %s", list)
	}
}

// The user's own hooks are called as ever.
func TestHooksOfTheServerAreCalled(t *testing.T) {
	type key struct{}
	states := make(chan http.ConnState, 16)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Context().Value(key{})) },
		func(_ *daemonocle.Config, s *site) {
			s.Server.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, key{}, "mine") }
			s.Server.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateActive || state == http.StateIdle {
					states <- state
				}
			}
		})
	c := s.dial()
	c.ask("/")
	c.answer("mine")
	if first, second := <-states, <-states; first != http.StateActive || second != http.StateIdle {
		t.Errorf("got %v, %v", first, second)
	}
}

// Several addresses begin and end together.
func TestServeAll(t *testing.T) {
	path := filepath.Join(testkit.TempDir(t), "socket")
	s := serve(t, hello)
	two := make(chan error, 1)
	d, err := daemonocle.New(daemonocle.Config{Name: "two", WorkDir: ".", Worker: func(ctx context.Context) error {
		srv := &http.Server{Handler: http.HandlerFunc(hello)}
		err := httpserver.ServeAll(ctx, httpserver.Site{Network: "unix", Address: path, Server: srv},
			httpserver.Site{Network: "tcp", Address: s.Address, Server: srv})
		two <- err
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(context.Background()); err == nil || !strings.Contains((<-two).Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		t.Error("the first address is served, without the second")
	}
}

// One server at two addresses, of which one is a Unix socket.
func TestServerAtTwoAddresses(t *testing.T) {
	path := filepath.Join(testkit.TempDir(t), "socket")
	addr := "127.0.0.1:" + testkit.FreePort(t)
	ctx, end := context.WithCancel(context.Background())
	over := make(chan error, 1)
	d, err := daemonocle.New(daemonocle.Config{Name: "both", WorkDir: ".", Worker: func(ctx context.Context) error {
		srv := &http.Server{Handler: http.HandlerFunc(hello)}
		return httpserver.ServeAll(ctx, httpserver.Site{Network: "unix", Address: path, Server: srv},
			httpserver.Site{Network: "tcp", Address: addr, Server: srv})
	}})
	if err != nil {
		t.Fatal(err)
	}
	go func() { over <- d.Run(ctx) }()
	for _, a := range []httpserver.Site{{Network: "unix", Address: path}, {Network: "tcp", Address: addr}} {
		s := &site{Site: a, t: t}
		testkit.WaitFor(t, "the server to listen", func() bool {
			conn, err := net.Dial(a.Network, a.Address)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		c := s.dial()
		c.ask("/")
		c.answer("hello")
		c.Close()
	}
	end()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// A server that somebody else shuts down says goodbye as well.
func TestShutdownByOthers(t *testing.T) {
	asked, proceed := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-proceed
		io.WriteString(w, "hello")
	})
	c := s.dial()
	c.ask("/")
	<-asked
	shut := make(chan error, 1)
	go func() { shut <- s.Server.Shutdown(context.Background()) }()
	testkit.WaitFor(t, "the server to accept nothing", func() bool {
		conn, err := net.Dial(s.Network, s.Address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(proceed)
	c.answer("hello")
	if err := s.ended(); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("got %v", err)
	}
	<-shut
}

func TestMistakes(t *testing.T) {
	if err := httpserver.Serve(context.Background(), "tcp", "127.0.0.1:0", &http.Server{}); err == nil || err.Error() != "httpserver: the context is not a worker's" {
		t.Errorf("got %v", err)
	}
	for want, sites := range map[string][]httpserver.Site{
		"httpserver: there is nothing to serve":          nil,
		"httpserver: the site 127.0.0.1:0 has no server": {{Network: "tcp", Address: "127.0.0.1:0"}},
	} {
		daemons++
		d, err := daemonocle.New(daemonocle.Config{Name: fmt.Sprintf("web%d", daemons), WorkDir: ".",
			Worker: func(ctx context.Context) error { return httpserver.ServeAll(ctx, sites...) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Run(context.Background()); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
