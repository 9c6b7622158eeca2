// Command fileserver serves the current directory over HTTP on the loopback
// interface, and logs requests to its stdout file:
//
//	fileserver start
//	fileserver status
//	curl http://127.0.0.1:8080/README.md
//	fileserver reload
//	fileserver stop
//
// A reload loses no request: a new process serves beside the old one before that stops
// to accept connections, answers what it has accepted, and goes. What is executed is what
// the program's file is by then, so a reload is an upgrade as well:
//
//	go build -ldflags '-X main.version=2' -o fileserver.new ./examples/fileserver
//	mv fileserver.new fileserver
//	./fileserver reload
//
// FILESERVER_ADDR and FILESERVER_DIR choose another address and directory.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/daemonocle/daemonocle"
)

// version is what the build says; the header Server has it.
var version = "1"

func main() {
	log.SetFlags(0)
	// Resolved here, where the current directory is still the caller's.
	dir, err := filepath.Abs(setting("FILESERVER_DIR", "."))
	if err != nil {
		log.Fatal(err)
	}
	d, err := daemonocle.New(daemonocle.Config{
		Name:         "fileserver",
		Layout:       daemonocle.XDG,
		RequireReady: true,
		Worker: func(ctx context.Context) error {
			return serve(ctx, setting("FILESERVER_ADDR", "127.0.0.1:8080"), dir)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(daemonocle.ExitCode(d.Do(context.Background(), os.Args[1:]...)))
}

func setting(name, usual string) string {
	if s := os.Getenv(name); s != "" {
		return s
	}
	return usual
}

// goodbye is how long answers may take when the daemon ends: less than StopTimeout, more
// than a connection may take to ask.
const goodbye = 8 * time.Second

func serve(ctx context.Context, addr, dir string) error {
	listener, err := daemonocle.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	requests := log.New(os.Stdout, "", log.LstdFlags)
	files := http.FileServer(http.Dir(dir))
	var open sync.WaitGroup // connections
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed, http.StateHijacked:
				open.Done()
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Printf("%s %s %q", r.RemoteAddr, r.Method, r.URL.Path)
			w.Header().Set("Server", "fileserver/"+version)
			files.ServeHTTP(w, r)
		}),
	}
	defer server.Close()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	// Whoever connects from now on is served: a daemon that is reloading may go.
	if err := daemonocle.Ready(ctx); err != nil {
		return err
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	// Shutdown would be shorter, but hangs up on a connection whose first request it
	// has not read yet. This hangs up on idle ones only: the others get their answer,
	// which says "Connection: close".
	listener.Close()
	<-served
	server.SetKeepAlivesEnabled(false)
	drained := make(chan struct{})
	go func() {
		open.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(goodbye):
		log.Printf("some answers took longer than %v and were cut off", goodbye)
	}
	return ctx.Err()
}
