// Command subject is what the benchmark looks at: a program with one worker,
// which is ready at once and then idle. The build tag plain makes it one that
// does without this library, the tag web gives both net/http to begin with.
package main

import "context"

// begin is what the worker does before it is ready.
var begin = func() error { return nil }

// idle is the worker.
func idle(ctx context.Context, ready func(context.Context) error) error {
	if err := begin(); err != nil {
		return err
	}
	if err := ready(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
