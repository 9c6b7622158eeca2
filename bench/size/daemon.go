//go:build daemon

package main

import (
	"context"

	"github.com/daemonocle/daemonocle"
)

func use() error {
	d, err := daemonocle.New(daemonocle.Config{Name: "size", Worker: func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}})
	if err != nil {
		return err
	}
	return call(context.Background(), d)
}
