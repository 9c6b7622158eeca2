// Command fileserver serves the current directory over HTTP on the loopback
// interface, and logs requests to its stdout file:
//
//	fileserver start
//	fileserver status
//	curl http://127.0.0.1:8080/README.md
//	fileserver reload
//	fileserver stop
//
// In a reload a new process serves beside the old one before that stops to accept
// connections, answers what it is asked, and goes: see package httpserver. What is executed
// is what the program's file is by then, so a reload is an upgrade as well:
//
//	go build -ldflags '-X main.version=2' -o fileserver.new ./examples/fileserver
//	mv fileserver.new fileserver
//	./fileserver reload
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
	"github.com/daemonocle/daemonocle/httpserver"
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
		NoArgs:       true,
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
	requests := log.New(os.Stdout, "", log.LstdFlags)
	files := http.FileServer(http.Dir(dir))
	err := httpserver.Serve(ctx, "tcp", addr, &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Printf("%s %s %q", r.RemoteAddr, r.Method, r.URL.Path)
			w.Header().Set("Server", "fileserver/"+version)
			files.ServeHTTP(w, r)
		}),
	})
	if errors.Is(err, httpserver.ErrCutOff) {
		log.Print(err)
	}
	return err
}
