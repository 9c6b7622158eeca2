package sdnotify

import "context"

type descriptorKey struct{}

// WithDescriptor takes the descriptor of that number, if it is not 0. Nothing that is
// started inherits it.
func WithDescriptor(ctx context.Context, n int) (context.Context, error) {
	fd, err := TakeDescriptor(n)
	if err != nil || fd == nil {
		return ctx, err
	}
	return context.WithValue(ctx, descriptorKey{}, fd), nil
}

// DescriptorOf is nil if there is none.
func DescriptorOf(ctx context.Context) *Descriptor {
	fd, _ := ctx.Value(descriptorKey{}).(*Descriptor)
	return fd
}
