// Command pool is an HTTP server of four processes, which share one listening
// socket: the kernel gives each connection to one that waits for it.
//
//	pool start
//	pool status
//	curl http://127.0.0.1:8080/
//	pool restart --worker-id 2
//	pool stop
//
// POOL_ADDR chooses another address.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/daemonocle/daemonocle"
	"github.com/daemonocle/daemonocle/cli"
	"github.com/daemonocle/daemonocle/httpserver"
)

func main() {
	log.SetFlags(0)
	addr := cmp.Or(os.Getenv("POOL_ADDR"), "127.0.0.1:8080")
	g, err := daemonocle.NewGroup(daemonocle.Config{
		Name:         "pool{n}",
		Help:         "An HTTP server of four processes.",
		Layout:       daemonocle.XDG,
		RequireReady: true,
		Hooks: daemonocle.Hooks{
			// What the launcher listens on here, all workers inherit.
			Start: func(ctx context.Context, _ daemonocle.StartInfo) error {
				_, err := daemonocle.Listen(ctx, "tcp", addr)
				return err
			},
		},
		Worker: func(ctx context.Context) error { return serve(ctx, addr) },
	}, 4)
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(cli.Main(g))
}

func serve(ctx context.Context, addr string) error {
	n, of := daemonocle.From(ctx).Worker()
	// At the socket that the start hook has opened.
	return httpserver.Serve(ctx, "tcp", addr, &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "worker %d of %d, PID %d\n", n, of, os.Getpid())
		}),
	})
}
