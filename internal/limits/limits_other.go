//go:build !unix

package limits

func SpareFiles() error { return nil }
