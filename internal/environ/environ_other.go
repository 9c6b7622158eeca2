//go:build !unix

package environ

func terminal(int) bool { return false }

func superServer(int, func(string) string) bool { return false }

func leads() (session, group int) { return 0, 0 }
