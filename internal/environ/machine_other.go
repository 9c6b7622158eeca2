//go:build !linux

package environ

func machineID() string { return "" }

func pidNamespace() string { return "" }
