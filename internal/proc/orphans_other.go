//go:build !linux

package proc

func sameImage(int) bool   { return false }
func ending(int) bool      { return false }
func programOf(int) string { return "" }

func adoptOrphans() func()       { return func() {} }
func orphans() []int             { return nil }
func session(int) ([]int, error) { return nil, nil }
func orphanParent() int          { return 1 }
