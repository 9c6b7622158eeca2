// Command size is a client of net/http, whose size is measured with and without a daemon in
// it: by tags, what it calls of one.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	err := use()
	if err == nil && len(os.Args) > 1 {
		err = get(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func get(url string) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	_, err = io.Copy(os.Stdout, r.Body)
	return err
}
