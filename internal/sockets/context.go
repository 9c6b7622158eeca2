package sockets

import "context"

type contextKey struct{}

// With gives a start, or a life, its own set: that of a daemon that starts this one is none of
// its business.
func With(ctx context.Context, shared bool) context.Context {
	return context.WithValue(ctx, contextKey{}, &Set{Shared: shared})
}

// Of is the set of a context, nil if it has none.
func Of(ctx context.Context) *Set {
	s, _ := ctx.Value(contextKey{}).(*Set)
	return s
}
