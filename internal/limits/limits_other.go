//go:build !unix

package limits

func Poller() error { return nil }
