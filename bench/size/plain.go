//go:build !daemon

package main

func use() error { return nil }
