//go:build !linux

package signals

// Take does nothing: golang.org/x/sys has no call for it here.
func Take() {}
