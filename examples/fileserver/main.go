// Command fileserver serves the current directory over HTTP on the loopback
// interface, and logs requests to its stdout file:
//
//	fileserver start
//	fileserver status
//	curl http://127.0.0.1:8080/README.md
//	fileserver stop
//
// FILESERVER_ADDR and FILESERVER_DIR choose another address and directory.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/daemonocle/daemonocle"
)

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

func serve(ctx context.Context, addr, dir string) error {
	listener, err := daemonocle.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	requests := log.New(os.Stdout, "", log.LstdFlags)
	files := http.FileServer(http.Dir(dir))
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Printf("%s %s %q", r.RemoteAddr, r.Method, r.URL.Path)
			files.ServeHTTP(w, r)
		}),
	}
	stop := context.AfterFunc(ctx, func() {
		goodbye, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(goodbye)
	})
	defer stop()
	// The port is bound: whoever connects from now on is served.
	if err := daemonocle.Ready(ctx); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}
