// Package httpserver serves HTTP in a daemon, and says goodbye in a way that loses no
// request that HTTP can keep: on a stop, and on a reload, where another process serves
// already.
//
//	Worker: func(ctx context.Context) error {
//		return httpserver.Serve(ctx, "tcp", ":8080", &http.Server{Handler: handler})
//	},
//
// [Serve] listens by daemonocle.Listen, says that the daemon is ready, and serves until
// the context ends. Then, in this order,
//
//   - it accepts no more connections: after a reload the new process does, at the same
//     socket;
//   - it answers what was asked and what is asked on connections that are open, and
//     says "Connection: close" with each answer, so that clients do not ask there again;
//   - it closes a connection on which nothing is asked when that has lasted for as long
//     as [Site.Linger] says, and one that has not asked at all yet when it is five seconds
//     old as well;
//   - HTTP/2 clients are told to go (GOAWAY) with their next answer, or when no HTTP/1
//     connection is left that may ask; what they have asked by then is answered, and what
//     they ask later is known to them as not heard;
//   - it waits for its handlers to return, also for those that have hijacked their
//     connection.
//
// All of that may take four fifths of [daemonocle.Daemon.Goodbye], which is 8 s unless the
// settings say otherwise. What is open then is cut off: [ErrCutOff].
//
// # What HTTP cannot promise
//
// A server that closes an idle connection cannot know that no request is on its way
// there. Clients send such a request again on another connection, but only if that
// is harmless: a POST is lost. So is one, here as with any server, on a connection that has
// idled for longer than Linger when the daemon ends. Linger is for those that ask
// more often. An answer that takes longer than the goodbye is cut off, and what a daemon
// holds that is stopped and not reloaded, nobody serves until it is started again.
//
// # Handlers that do not end by themselves
//
// The context of a request is not ended by the daemon's end, or no answer could be
// finished. Handlers of event streams, long polls and hijacked connections, such as
// web sockets, look at the worker's context and return, or hear of it by
// [http.Server.RegisterOnShutdown]. A hijacked connection whose handler has returned is
// not waited for.
package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/daemonocle/daemonocle"
)

// ErrCutOff: the goodbye was over before all was answered.
var ErrCutOff = errors.New("answers were cut off")

// Site is a server and the address that it serves. A server may be at several.
type Site struct {
	// Network and Address are those of daemonocle.Listen: tcp, tcp4, tcp6 with host:port,
	// unix with a path, fdname with a service manager's name.
	Network, Address string

	// Server speaks TLS, and HTTP/2, if its TLSConfig has a certificate: Certificates,
	// GetCertificate or GetConfigForClient. It is this package's while it serves: Handler,
	// ConnState and ConnContext are replaced by functions that call them, and BaseContext, if
	// it is nil, by the worker's context without its end, so that daemonocle.From and
	// daemonocle.Generation know a request's context. All timeouts are Server's own.
	Server *http.Server

	// Linger is how long a connection without a request stays open after the end of
	// the worker's context, or after its last answer if that is later. 0: 1 s.
	// Negative: it is closed at once.
	Linger time.Duration
}

// Serve serves one address; see ServeAll.
func Serve(ctx context.Context, network, address string, srv *http.Server) error {
	return ServeAll(ctx, Site{Network: network, Address: address, Server: srv})
}

// ServeAll listens at all the addresses, calls daemonocle.Ready, and serves until ctx
// ends and the goodbye is over. ctx is a worker's; it bounds the serving, and the
// goodbye is bounded as the package comment says.
//
// The error is then context.Cause(ctx), which a worker may return for a good end;
// it wraps ErrCutOff as well if the goodbye was cut short, and is nevertheless a good end. Before
// that, it is what kept one of the addresses from being listened at, a listener's own
// error, which ends all of them at once, or http.ErrServerClosed if somebody
// else has shut a server down: then the goodbye was said as well.
//
// It is called by one goroutine, once for each server, since an http.Server serves no more
// once it was shut down.
func ServeAll(ctx context.Context, sites ...Site) error {
	d := daemonocle.From(ctx)
	if d == nil {
		return errors.New("httpserver: the context is not a worker's")
	}
	if len(sites) == 0 {
		return errors.New("httpserver: there is nothing to serve")
	}
	var listeners []net.Listener
	closeAll := func() {
		for _, l := range listeners {
			l.Close()
		}
	}
	for _, s := range sites {
		l, err := listen(ctx, s)
		if err != nil {
			closeAll()
			return err
		}
		listeners = append(listeners, l)
	}

	h := newHost(ctx, sites)
	defer h.close()
	served := make(chan error, len(sites))
	for _, f := range serving(sites, listeners) {
		go func() { served <- f() }()
	}
	// Whoever connects from now on is served: a daemon that is reloading may go.
	err := daemonocle.Ready(ctx)
	if err != nil {
		closeAll()
		return err
	}
	select {
	case err = <-served:
		served <- err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	h.leave() // before it can be seen that nobody listens any more
	closeAll()
	for range sites { // then no connection comes any more
		<-served
	}
	if ctx.Err() == nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("httpserver: %w", err)
	}
	limit := d.Goodbye() * 4 / 5
	if !h.sayGoodbye(limit) {
		return &cutOff{err, limit}
	}
	return err
}

// cutOff is the end of a worker's context with another fact.
type cutOff struct {
	cause error
	after time.Duration
}

func (e *cutOff) Error() string {
	return fmt.Sprintf("httpserver: %v: some answers took longer than %v and were cut off", e.cause, e.after)
}

func (e *cutOff) Unwrap() []error { return []error{e.cause, ErrCutOff} }

func listen(ctx context.Context, s Site) (net.Listener, error) {
	if s.Server == nil {
		return nil, fmt.Errorf("httpserver: the site %s has no server", s.Address)
	}
	return daemonocle.Listen(ctx, s.Network, s.Address)
}

// serving gives what serves each of the sites. A server that serves has other settings
// than before: all are looked at first.
func serving(sites []Site, listeners []net.Listener) (list []func() error) {
	for i, s := range sites {
		f := func() error { return s.Server.Serve(listeners[i]) }
		if speaksTLS(s.Server.TLSConfig) {
			f = func() error { return s.Server.ServeTLS(listeners[i], "", "") }
		}
		list = append(list, f)
	}
	return list
}

func speaksTLS(c *tls.Config) bool {
	return c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil)
}

// host is the servers of one call, with all that is open there.
type host struct {
	servers []*http.Server

	mu       sync.Mutex
	leaving  time.Time // when the goodbye began; zero: not yet
	conns    map[net.Conn]*conn
	handlers int
	changed  chan struct{} // has room for one word: something has been closed or said
}

// conn is a connection. Its fields are guarded by host.mu.
type conn struct {
	net    net.Conn
	linger time.Duration
	state  http.ConnState
	since  time.Time // when it got there
	opened time.Time
	parted bool // the client was told not to ask here again
	http2  bool
	timer  *time.Timer // closes it; nil: nothing does
}

// mayAsk: the client has no reason not to ask here again, and cannot tell an unheard
// request from a heard one.
func (c *conn) mayAsk() bool { return !c.http2 && !c.parted }

type connKey struct{}

const (
	usualLinger = time.Second
	// newborn is how old a connection is whose client may be expected to have asked:
	// the same as in http.Server.Shutdown.
	newborn = 5 * time.Second
)

func newHost(ctx context.Context, sites []Site) *host {
	h := &host{conns: map[net.Conn]*conn{}, changed: make(chan struct{}, 1)}
	known := map[*http.Server]bool{}
	for _, s := range sites {
		if !known[s.Server] {
			known[s.Server] = true
			h.servers = append(h.servers, s.Server)
			h.adopt(ctx, s)
		}
	}
	return h
}

// adopt puts the host between the server and what the user has set.
func (h *host) adopt(ctx context.Context, s Site) {
	srv, linger := s.Server, s.Linger
	if linger == 0 {
		linger = usualLinger
	}
	if srv.BaseContext == nil {
		base := context.WithoutCancel(ctx)
		srv.BaseContext = func(net.Listener) context.Context { return base }
	}
	enrich := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, n net.Conn) context.Context {
		if enrich != nil {
			ctx = enrich(ctx, n)
		}
		return context.WithValue(ctx, connKey{}, h.opened(n, linger))
	}
	hear := srv.ConnState
	srv.ConnState = func(n net.Conn, s http.ConnState) {
		if hear != nil {
			hear(n, s)
		}
		h.became(n, s)
	}
	handler := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next := handler
		if next == nil {
			next = http.DefaultServeMux
		}
		h.handle(next, w, r)
	})
}

func (h *host) opened(n net.Conn, linger time.Duration) *conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	c := &conn{net: n, linger: linger, since: now, opened: now}
	h.conns[n] = c
	return c
}

func (h *host) became(n net.Conn, s http.ConnState) {
	http2 := false
	if t, ok := n.(*tls.Conn); ok && (s == http.StateActive || s == http.StateIdle) { // hands are shaken
		http2 = t.ConnectionState().NegotiatedProtocol == "h2"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.conns[n]
	if c == nil {
		return
	}
	c.state, c.since, c.http2 = s, time.Now(), c.http2 || http2
	if s == http.StateClosed || s == http.StateHijacked {
		delete(h.conns, n)
	}
	if !h.leaving.IsZero() {
		h.expect(c)
		h.note()
	}
}

// expect gives a connection on which nothing is asked its time. h.mu is held, and the
// goodbye has begun.
func (h *host) expect(c *conn) {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if c.http2 || c.state != http.StateIdle && c.state != http.StateNew {
		return
	}
	from := c.since
	if from.Before(h.leaving) {
		from = h.leaving
	}
	end := from.Add(max(c.linger, 0))
	if young := c.opened.Add(newborn); c.state == http.StateNew && c.linger >= 0 && young.After(end) {
		end = young
	}
	since := c.since
	c.timer = time.AfterFunc(time.Until(end), func() {
		h.mu.Lock()
		still := c.since.Equal(since) && h.conns[c.net] == c
		h.mu.Unlock()
		if still {
			c.net.Close() // which its server notices
		}
	})
}

// note wakes up sayGoodbye.
func (h *host) note() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// handle calls a handler, and sees to it that the answer says what is to be said.
func (h *host) handle(next http.Handler, w http.ResponseWriter, r *http.Request) {
	c, _ := r.Context().Value(connKey{}).(*conn)
	h.mu.Lock()
	h.handlers++
	if c != nil && r.ProtoMajor == 2 {
		c.http2 = true
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.handlers--
		h.note()
		h.mu.Unlock()
	}()
	full, ok := w.(http1)
	if !ok { // HTTP/2, where the server makes GOAWAY of it
		h.part(c, w.Header())
		next.ServeHTTP(w, r)
		return
	}
	a := &answer{http1: full, host: h, conn: c}
	next.ServeHTTP(a, r)
	a.begin(http.StatusOK)
}

// part says goodbye in the header of an answer, if it is time.
func (h *host) part(c *conn, header http.Header) {
	h.mu.Lock()
	leaving := !h.leaving.IsZero()
	if leaving && c != nil {
		c.parted = true
		h.note()
	}
	h.mu.Unlock()
	if leaving {
		header.Set("Connection", "close")
	}
}

// leave begins the goodbye.
func (h *host) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaving = time.Now()
	for _, c := range h.conns {
		h.expect(c)
	}
}

// sayGoodbye returns when nothing is open any more: true, or when the time is over.
func (h *host) sayGoodbye(limit time.Duration) bool {
	over := time.NewTimer(limit)
	defer over.Stop()
	shut, stop := context.WithCancel(context.Background())
	defer stop()
	told := false
	for {
		open, answering, asking := h.count()
		if asking == 0 && !told {
			// It would hang up on clients that may be about to ask: now there is none.
			told = true
			for _, srv := range h.servers {
				go srv.Shutdown(shut)
			}
		}
		if open == 0 {
			return true
		}
		select {
		case <-h.changed:
		case <-over.C:
			return answering == 0
		}
	}
}

// count says how much is open, how much of that is being answered, and how many
// connections another request may come on that would be lost without an answer.
func (h *host) count() (open, answering, asking int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	answering = h.handlers
	for _, c := range h.conns {
		if c.state == http.StateActive {
			answering++
		}
		if c.mayAsk() {
			asking++
		}
	}
	return len(h.conns) + h.handlers, answering, asking
}

// close hangs up on whoever is left.
func (h *host) close() {
	for _, srv := range h.servers {
		srv.Close()
	}
}
