package httpserver

import (
	"io"
	"net/http"
	"time"
)

// http1 is what net/http's own writer of HTTP/1 answers can do. To put a smaller one in
// its place would take that from the handlers.
type http1 interface {
	http.ResponseWriter
	http.Hijacker
	io.ReaderFrom
	io.StringWriter
	CloseNotify() <-chan bool // deprecated, and used
	Flush()
	FlushError() error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	EnableFullDuplex() error
}

// answer decides at the last moment what the header says: whether it comes after the
// end of the daemon's context.
type answer struct {
	http1
	host  *host
	conn  *conn
	begun bool // the header is out of our hands
}

func (a *answer) begin(code int) {
	if a.begun || code < 200 && code != http.StatusSwitchingProtocols {
		return
	}
	a.begun = true
	if code != http.StatusSwitchingProtocols {
		a.host.part(a.conn, a.Header())
	}
}

func (a *answer) WriteHeader(code int) {
	a.begin(code)
	a.http1.WriteHeader(code)
}

func (a *answer) Write(b []byte) (int, error) {
	a.begin(http.StatusOK)
	return a.http1.Write(b)
}

func (a *answer) WriteString(s string) (int, error) {
	a.begin(http.StatusOK)
	return a.http1.WriteString(s)
}

func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	a.begin(http.StatusOK)
	return a.http1.ReadFrom(r)
}

func (a *answer) Flush() {
	a.begin(http.StatusOK)
	a.http1.Flush()
}

func (a *answer) FlushError() error {
	a.begin(http.StatusOK)
	return a.http1.FlushError()
}
